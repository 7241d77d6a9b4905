"""At how many requests at a time is one endpoint worker best?

    locust -f locustfiles/concurrency.py --headless                                            # the embedded endpoint
    locust -f locustfiles/concurrency.py --headless --levels 1,2,4,8 --objective "p95<2s, success>95%" --host http://127.0.0.1:8083

Level after level, each a closed loop against one worker, until a higher one brings nothing or fails.
The report names the level of the best goodput, the one that is worth it by the 0.7 rule, and the cheapest
within the objective.
"""

from coldburst import ConcurrencyUser


class Concurrency(ConcurrencyUser):
    """One level after the other, each measured alone."""

    levels = (1, 2, 4, 8, 16, 32, 64)
    level = "20s"
