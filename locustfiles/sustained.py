"""Can the endpoint sustain this rate?

    locust -f locustfiles/sustained.py --headless --schedule "warm 20s 1/s, steady 60s 3/s poisson"
    locust -f locustfiles/sustained.py --headless --schedule "climb 5m 1/s..20/s" --host http://127.0.0.1:8083

Requests leave when they are due, whether or not earlier ones were answered (open loop).
"""

from coldburst import ArrivalUser


class Sustained(ArrivalUser):
    """Arrivals at a rate."""

    schedule = "warm 5s 1/s, steady 20s 2/s poisson"
    max_in_flight = 500
