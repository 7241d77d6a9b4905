"""What does an endpoint need to be predicted? One cold request, some alone, some together.

    locust -f locustfiles/calibrate.py --headless                                            # the embedded endpoint
    locust -f locustfiles/calibrate.py --headless --host https://api.runpod.ai/v2/ID

`coldburst plan calibrate HOST` runs this with a schedule that it chooses by the endpoint's settings, after an
estimate of what it costs, and says what the requests showed. `coldburst plan` predicts from the run.
"""

from coldburst import ArrivalUser


class Calibrate(ArrivalUser):
    """Each stage begins after the last answer of the one before."""

    schedule = "cold 1 1 at a time, alone 5 1 at a time, together 8 4 at a time"
