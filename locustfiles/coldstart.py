"""How long does the first answer take after scale to zero?

    locust -f locustfiles/coldstart.py --headless                                            # the embedded endpoint
    locust -f locustfiles/coldstart.py --headless --times 5 --host https://api.runpod.ai/v2/ID

The run waits until the endpoint has no worker left, sends one request, then a few more to the warm worker
for comparison, and repeats. The endpoint's minimum of workers must be 0.
"""

from coldburst import ColdStartUser


class ColdStart(ColdStartUser):
    """One at a time: cold, then warm."""

    times = 3
    warm = 3
