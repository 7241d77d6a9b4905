"""What happens when N requests arrive at once?

    locust -f locustfiles/burst.py --headless                                  # the embedded endpoint
    locust -f locustfiles/burst.py --headless --host http://127.0.0.1:8083     # your own service
    locust -f locustfiles/burst.py --headless --repeats 5                      # five bursts, to predict the next
    locust -f locustfiles/burst.py                                             # the web UI

Thirty transcriptions are requested at once. Response time counts from the moment of the burst, so it
includes the wait in the endpoint's queue.
"""

from coldburst import ArrivalUser


class Burst(ArrivalUser):
    """Everyone at once."""

    schedule = "burst 30"
