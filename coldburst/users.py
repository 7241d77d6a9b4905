"""What a locustfile is made of: one class a test, its attributes the defaults of its options.

Load is arrivals, not users: each process has one user, which runs the whole schedule.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from gevent.event import Event
from locust import User, task
from locust.exception import StopUser

from coldburst import startup
from coldburst.load import run_options, scale_to_zero
from coldburst.load.run_spec import RunKind
from coldburst.schedule import replay
from coldburst.session import Session
from coldburst.sweep import kinds

Numbers = tuple[int, ...] | list[int] | range | str


class ArrivalUser(User):
    """Sends requests when they are due, whether or not earlier ones were answered.

    Each option is an attribute too, under its name without dashes: ``schedule``, ``max_in_flight``, ``deadline``, ``clips`` …

    Attributes:
        schedule: the load, stage by stage, as in "burst 30" or "warm 20s 1/s, steady 60s 3/s poisson".
        max_in_flight: requests in flight at most.
        host: the endpoint, where --host names none.
    """

    abstract = True
    fixed_count = 1
    host = run_options.EMBEDDED
    kind: ClassVar[RunKind] = RunKind()
    schedule: ClassVar[str]
    max_in_flight: ClassVar[int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.abstract:
            startup.register(cls)

    @task
    def drive(self) -> None:
        """Sends the run's requests; ends with the last answer."""
        session: Session = cast("Any", self.environment).coldburst
        if session.generator:
            Event().wait()  # the load does not depend on Locust's users: they only stand for the generators
        elif session.current:
            session.current.drive()
        raise StopUser


class ReplayUser(ArrivalUser):
    """Sends requests at recorded instants.

    Attributes:
        arrivals: a run's directory, or a CSV file with a column of instants.
        speed: 2 replays in half the time.
    """

    abstract = True
    kind = RunKind(replay.OPTIONS, stages=replay.stages)
    arrivals: ClassVar[str]
    speed: ClassVar[float]


class ColdStartUser(ArrivalUser):
    """Waits until the endpoint has scaled to zero, sends one request, then some to the warm worker; again and again.

    Attributes:
        times: cold starts to measure.
        warm: requests after each, one at a time.
    """

    abstract = True
    kind = scale_to_zero.KIND
    times: ClassVar[int]
    warm: ClassVar[int]


class ConcurrencyUser(ArrivalUser):
    """Measures levels of concurrency against one endpoint worker, until a higher one brings nothing or fails.

    Attributes:
        levels: requests at a time, as in (1, 2, 4).
        level: what each level sends: a time or a number of requests, as in "20s" or 200.
        objective: what must hold, as in "p95<2s, success>95%".
    """

    abstract = True
    kind = kinds.CONCURRENCY.run_kind
    levels: ClassVar[Numbers]
    level: ClassVar[str | int]
    objective: ClassVar[str]


class ScalingUser(ArrivalUser):
    """Measures the throughput of 1, 2, 3 … endpoint workers, each with the same load.

    Attributes:
        workers: numbers of endpoint workers, as in (1, 2, 3).
        concurrency: requests at a time for each endpoint worker.
        requests: for each endpoint worker.
        objective: what must hold, as in "p95<2s, success>95%".
    """

    abstract = True
    kind = kinds.SCALING.run_kind
    workers: ClassVar[Numbers]
    concurrency: ClassVar[int]
    requests: ClassVar[int]
    objective: ClassVar[str]


class MatrixUser(ArrivalUser):
    """Measures the same work at several values of concurrency_modifier, with scalerValue set to the same.

    Attributes:
        concurrency: values of concurrency_modifier, as in (1, 2, 4); the smallest is the baseline.
        workers: endpoint workers, as minimum and maximum, in every run.
        requests: in every run.
        objective: what must hold, as in "p95<2s, success>95%".
    """

    abstract = True
    kind = kinds.MATRIX.run_kind
    concurrency: ClassVar[Numbers]
    workers: ClassVar[int]
    requests: ClassVar[int]
    objective: ClassVar[str]
