"""Do N endpoint workers give N times the throughput?

    locust -f locustfiles/scaling.py --headless                                                # the embedded endpoint
    locust -f locustfiles/scaling.py --headless --workers 1,2,3 --requests 50 --host https://api.runpod.ai/v2/ID --yes

The run sets the number of workers, waits until that many are ready, measures, and restores the settings.
With --target transcription and no host, transcription services behind nginx are started on this machine.
"""

from coldburst import ScalingUser


class Scaling(ScalingUser):
    """One number of workers after the other, each measured alone."""

    workers = (1, 2, 3)
    concurrency = 4
    requests = 20
