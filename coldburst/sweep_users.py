"""The classes of sweeps, which measure one setting after the other. A module of its own, so that other tests do not import sweeps."""

from __future__ import annotations

from typing import ClassVar

from coldburst.sweep import runner
from coldburst.users import ArrivalUser

Numbers = tuple[int, ...] | list[int] | range | str


class _SweepUser(ArrivalUser):
    """A sweep; ``objective``: limits for each setting, such as "p95<2s, success>95%"."""

    abstract = True
    objective: ClassVar[str]


class ConcurrencyUser(_SweepUser):
    """Raises the concurrency at one endpoint worker until a higher level gains nothing or fails.

    Attributes:
        levels: requests at a time, such as (1, 2, 4).
        level: load of each level: a time or a number of requests, such as "20s" or 200.
    """

    abstract = True
    kind = runner.CONCURRENCY.run_kind
    levels: ClassVar[Numbers]
    level: ClassVar[str | int]


class ScalingUser(_SweepUser):
    """Measures the throughput of 1, 2, 3 … endpoint workers with the same load per worker.

    Attributes:
        workers: numbers of endpoint workers, such as (1, 2, 3).
        concurrency: requests at a time per endpoint worker.
        requests: number of requests per endpoint worker.
    """

    abstract = True
    kind = runner.SCALING.run_kind
    workers: ClassVar[Numbers]
    concurrency: ClassVar[int]
    requests: ClassVar[int]


class MatrixUser(_SweepUser):
    """Measures the same work at several values of concurrency_modifier, with scalerValue set to the same.

    Attributes:
        concurrency: values of concurrency_modifier, such as (1, 2, 4); the smallest is the baseline.
        workers: endpoint workers, as minimum and maximum, in every run.
        requests: number of requests in every run.
    """

    abstract = True
    kind = runner.MATRIX.run_kind
    concurrency: ClassVar[Numbers]
    workers: ClassVar[int]
    requests: ClassVar[int]
