"""At how many requests at a time is one endpoint worker best?

    locust -f locustfiles/concurrency.py --headless                                            # the embedded endpoint
    locust -f locustfiles/concurrency.py --headless --levels 1,2,4,8 --objective "p95<2s, success>95%" --host http://127.0.0.1:8083

Level after level, each a closed loop against one worker, until more at a time brings nothing or fails.
The report names the level of the best goodput, the one that is worth it by the 0.7 rule, and the cheapest
within the objective.
"""

from coldburst.sweep.kinds import CONCURRENCY as sweep
from coldburst.users import ArrivalUser, ScheduleShape, ask

ask(**sweep.question, embedded=("--concurrency", "4"))


class Concurrency(ArrivalUser):
    """One setting after the other, each measured alone."""


class Schedule(ScheduleShape):
    """Ends with the last answer."""
