"""Which concurrency_modifier and scalerValue pay off, and how much do they save?

    locust -f locustfiles/matrix.py --headless                                                 # the embedded endpoint
    locust -f locustfiles/matrix.py --headless --concurrency 1,2,4 --workers 5 --requests 50 --host https://api.runpod.ai/v2/ID --yes

Each setting gets the same work, with a fixed number of workers (minimum = maximum) and scalerValue equal to
the concurrency; the smallest setting is the baseline. The endpoint's handler must read its concurrency from
the environment (--concurrency-env).
"""

from coldburst import MatrixUser


class Matrix(MatrixUser):
    """One setting after the other, each measured alone."""

    concurrency = (1, 2, 4)
    workers = 1
    requests = 24
