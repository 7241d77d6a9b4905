"""What happens when N requests arrive at once?

    locust -f locustfiles/burst.py --headless                                  # the embedded endpoint
    locust -f locustfiles/burst.py --headless --host http://127.0.0.1:8083     # a service of yours
    locust -f locustfiles/burst.py                                             # the web UI

Thirty transcriptions are requested at once, with at most 15 in flight. The others wait, and their wait
counts: response time runs from the moment of the burst.
"""

from coldburst import ArrivalUser


class Burst(ArrivalUser):
    """Everyone at once."""

    schedule = "burst 30"
    max_in_flight = 15
