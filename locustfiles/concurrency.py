"""How many requests at a time suit one endpoint worker best?

    locust -f locustfiles/concurrency.py --headless                                            # the embedded endpoint
    locust -f locustfiles/concurrency.py --headless --levels 1,2,4,8 --objective "p95<2s, success>95%" --host http://127.0.0.1:8083

Each level is a closed loop against one worker; the run stops when a higher level brings nothing or fails.
The report names the level with the best goodput, the highest that is worth it by the 0.7 rule, and the
cheapest within the objective.
"""

from coldburst import ConcurrencyUser


class Concurrency(ConcurrencyUser):
    """One level after the other, each measured alone."""

    levels = (1, 2, 4, 8, 16, 32, 64)
    level = "20s"
