"""Which concurrency_modifier, with which scalerValue, is worth it, and what does it save?

    locust -f locustfiles/matrix.py --headless                                                 # the embedded endpoint
    locust -f locustfiles/matrix.py --headless --concurrency 1,2,4 --workers 5 --requests 50 --host https://api.runpod.ai/v2/ID --yes

The same work at each setting, with the number of workers locked (minimum = maximum) and scalerValue equal to
the concurrency; the smallest setting is the baseline. The endpoint's handler must take its concurrency from the
environment (--concurrency-env).
"""

from coldburst import MatrixUser


class Matrix(MatrixUser):
    """One setting after the other, each measured alone."""

    concurrency = (1, 2, 4)
    workers = 1
    requests = 24
