"""The classes that a locustfile is made of: one class for each test, whose attributes are the defaults of its options.

Load is arrivals, not users: each process has one user, which runs the whole schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from gevent.event import Event
from locust import User, task
from locust.exception import StopUser

from coldburst import startup
from coldburst.load import repeated, run_options, scale_to_zero
from coldburst.load.run_spec import RunKind
from coldburst.schedule import replay
from coldburst.session import Session
from coldburst.targets.own_calls import Http
from coldburst.targets.own_request import Job, JobResult, current_job


class ArrivalUser(User):
    """Sends requests when they are due, whether or not earlier ones were answered.

    Every option is also an attribute, by its name without dashes: ``schedule``, ``max_in_flight``, ``deadline``, ``clips`` …

    Attributes:
        schedule: the load, stage by stage, as in "burst 30" or "warm 20s 1/s, steady 60s 3/s poisson".
        repeats: times that a burst is sent, each after the last answer of the one before.
        pause: seconds between two of them.
        max_in_flight: limit on requests in flight.
        host: the endpoint if --host is not given.
        request: a method ``request(self, job)`` makes each request instead of the usual ones (docs/guides/own-requests.md).
    """

    abstract = True
    fixed_count = 1
    host = run_options.EMBEDDED
    kind: ClassVar[RunKind] = repeated.KIND
    schedule: ClassVar[str]
    repeats: ClassVar[int]
    pause: ClassVar[float]
    max_in_flight: ClassVar[int]
    request: Callable[[Job], object] | None = None

    @property
    def http(self) -> Http:
        """Calls below the host, in ``request``."""
        return current_job().http

    def submit(self, given: Mapping[str, Any]) -> JobResult:
        """Submits a job with that input to the queue endpoint, in ``request``, and returns how it ended."""
        return current_job().submit(given)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.abstract:
            startup.register(cls)

    @task
    def drive(self) -> None:
        """Sends the run's requests and ends with the last answer."""
        session: Session = cast("Any", self.environment).coldburst
        if session.generator:
            # In a distributed run, users only represent the generators: the load does not depend on them.
            Event().wait()
        elif session.current:
            session.current.drive()
        raise StopUser


class ReplayUser(ArrivalUser):
    """Sends requests at recorded times.

    Attributes:
        arrivals: a run's directory, or a CSV file with a column of times.
        speed: factor, as in 2 for half the time.
    """

    abstract = True
    kind = RunKind(replay.OPTIONS, stages=replay.stages)
    arrivals: ClassVar[str]
    speed: ClassVar[float]


class ColdStartUser(ArrivalUser):
    """Repeatedly waits until the endpoint has scaled to zero, sends one request, then some to the warm worker.

    Attributes:
        times: cold starts to measure.
        warm: requests after each, one at a time.
    """

    abstract = True
    kind = scale_to_zero.KIND
    times: ClassVar[int]
    warm: ClassVar[int]
