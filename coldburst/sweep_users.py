"""The classes of sweeps: one setting after the other, each measured alone. Apart, because other tests need nothing of what a sweep does."""

from __future__ import annotations

from typing import ClassVar

from coldburst.sweep import kinds
from coldburst.users import ArrivalUser

Numbers = tuple[int, ...] | list[int] | range | str


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
