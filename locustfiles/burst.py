"""What happens when N requests arrive at once?

    locust -f locustfiles/burst.py --headless                                  # the embedded endpoint
    locust -f locustfiles/burst.py --headless --host http://127.0.0.1:8083     # a service of yours
    locust -f locustfiles/burst.py                                             # the web UI

30 transcriptions are asked for at once, with at most 15 in flight; the others wait their turn, and
their wait counts: response time runs from the moment of the burst.
"""

from coldburst.users import ArrivalUser, ScheduleShape, ask

ask("burst", schedule="burst 30", max_in_flight=15)


class Burst(ArrivalUser):
    """Everyone at once."""


class Schedule(ScheduleShape):
    """Ends with the last answer."""
