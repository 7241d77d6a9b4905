"""The same arrivals again: an earlier run's, or a trace's.

    locust -f locustfiles/replay.py --headless --arrivals runs/20261121-091502-burst --host https://api.runpod.ai/v2/ID
    locust -f locustfiles/replay.py --headless --arrivals trace.csv --speed 2

A trace is a CSV file with a column of instants, in seconds or as dates and times. What was asked for is
replayed, not what was answered: requests leave at the recorded intervals, whatever the endpoint does.
"""

from coldburst.schedule import replay
from coldburst.users import ArrivalUser, ScheduleShape, ask

ask("replay", schedule="", max_in_flight=500, more=replay.OPTIONS, stages=replay.stages)


class Replay(ArrivalUser):
    """Arrivals as they were recorded."""


class Schedule(ScheduleShape):
    """Ends with the last answer."""
