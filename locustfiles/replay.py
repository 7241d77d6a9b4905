"""How does the endpoint handle recorded traffic: an earlier run, or a trace?

    locust -f locustfiles/replay.py --headless --arrivals runs/20261121-091502-burst --host https://api.runpod.ai/v2/ID
    locust -f locustfiles/replay.py --headless --arrivals trace.csv --speed 2

The arrivals are those of an earlier run, or of a CSV file with a column of times (seconds, or dates and
times). Requests leave at the recorded intervals, whatever the endpoint answers.
"""

from coldburst import ReplayUser


class Replay(ReplayUser):
    """Arrivals as they were recorded."""

    arrivals = "samples/arrivals.csv"
