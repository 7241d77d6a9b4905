"""The same arrivals again: an earlier run's, or a trace's.

    locust -f locustfiles/replay.py --headless --arrivals runs/20261121-091502-burst --host https://api.runpod.ai/v2/ID
    locust -f locustfiles/replay.py --headless --arrivals trace.csv --speed 2

A trace is a CSV file with a column of instants, in seconds or as dates and times. The requests are
replayed, not the answers: they leave at the recorded intervals, whatever the endpoint does.
"""

from coldburst import ReplayUser


class Replay(ReplayUser):
    """Arrivals as they were recorded."""

    arrivals = "samples/arrivals.csv"
