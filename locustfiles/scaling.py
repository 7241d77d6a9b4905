"""Do N endpoint workers give N times the throughput?

    locust -f locustfiles/scaling.py --headless                                                # the embedded endpoint
    locust -f locustfiles/scaling.py --headless --workers 1,2,3 --requests 50 --host https://api.runpod.ai/v2/ID --yes yes

The run sets the number of workers itself, waits until that many have shown themselves, measures, and puts the
settings back. Without a host and with --target transcription, transcription services behind nginx are started
on this machine.
"""

from coldburst.sweep.kinds import SCALING as sweep
from coldburst.users import ArrivalUser, ScheduleShape, ask

ask(**sweep.question)


class Scaling(ArrivalUser):
    """One setting after the other, each measured alone."""


class Schedule(ScheduleShape):
    """Ends with the last answer."""
