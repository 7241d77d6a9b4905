"""How long is the first answer after scale to zero?

    locust -f locustfiles/coldstart.py --headless                                            # the embedded endpoint
    locust -f locustfiles/coldstart.py --headless --times 5 --host https://api.runpod.ai/v2/ID

The run waits until the endpoint has no worker left, asks once, then asks a few times more with the
worker warm, and so on: each cold answer has its control beside it. The endpoint's minimum of workers
must be 0.
"""

from coldburst.load import scale_to_zero
from coldburst.users import ArrivalUser, ScheduleShape, ask

ask("coldstart", schedule="", max_in_flight=1, more=scale_to_zero.OPTIONS, stages=scale_to_zero.stages, conduct=scale_to_zero.ScaleToZero)


class ColdStart(ArrivalUser):
    """One at a time: cold, then warm."""


class Schedule(ScheduleShape):
    """Ends with the last answer."""
