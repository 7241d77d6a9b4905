"""What do 20 simultaneous requests do to a video service, and what do 2 or 3 workers on one GPU really gain?

    locust -f locustfiles/video.py --headless Video                                       # the embedded service
    locust -f locustfiles/video.py --headless Video --host http://127.0.0.1:8085 --price 0.0003861 --yes
    locust -f locustfiles/video.py --headless VideoScaling --replica-args "--engine fixed --contention 0.15"

The report splits the time into queue, speech and pictures, each with its real-time factor, and names the cause of each failure:
double loads, races, memory. VideoScaling starts the service with 1, 2 and 3 workers and compares them with the projection n × 1.
"""

from coldburst import ArrivalUser, ScalingUser


class Video(ArrivalUser):
    """Twenty at once."""

    target = "video"
    schedule = "burst 20"
    max_in_flight = 20


class VideoScaling(ScalingUser):
    """One number of workers after the other, each measured alone, and the memory that they need."""

    target = "video"
    workers = (1, 2, 3)
    concurrency = 2
    requests = 10
    warm_up = "2"
    memory = "24,3.4,3.3"
    headroom = 0.8
