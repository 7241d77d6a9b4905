"""Load generators of a distributed run: a master and its Locust workers, as processes of their own."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

from coldburst.record.attempt import Attempt
from tests.support.locusts import Locust, Result, locust
from tests.support.machines import Machine
from tests.support.serving import reserved


@dataclass
class Crew:
    """A master and the generators that were started for it."""

    master: Locust
    address: str
    port: int
    file: str
    stack: ExitStack
    generators: list[Locust] = field(default_factory=list)

    def add(self, on: Machine | None = None, before: Sequence[str] = (), **env: str) -> Locust:
        """Starts another generator; ``on``: the machine that it runs on; ``before``: what starts it."""
        words = ("--worker", "--master-host", self.address, "--master-port", str(self.port))
        with on.inside() if on else nullcontext():
            self.generators.append(self.stack.enter_context(locust(*words, file=self.file, headless=False, before=before, **env)))
        return self.generators[-1]


def per_second(rows: Sequence[Attempt]) -> Counter[int]:
    """Requests sent, by the second of the schedule in which they were due."""
    first_s = min(row.scheduled_s for row in rows)
    return Counter(int(row.scheduled_s - first_s + 1e-6) for row in rows if row.sent_s is not None)


def dealt_s(run: Result) -> float:
    """When shares were last dealt, as events.csv has it; 0 if nobody was there to take one. A busy machine may deal again."""
    return max((float(event["at_s"]) for event in run.table("events.csv") if event["kind"] == "share_dealt"), default=0.0)


def settled(rows: Sequence[Attempt], since_s: float = 0.0) -> list[int]:
    """Requests sent in each whole second of the schedule after ``since_s`` and the last that was not sent, up to the run's end.

    The end is where the first of the generators that went on after ``since_s`` sent its last: an end by Ctrl-C reaches each by itself.
    """
    lasts_s: dict[str | None, float] = {}
    for row in rows:
        if row.sent_s is not None and row.scheduled_s > since_s:
            lasts_s[row.generator] = max(row.scheduled_s, lasts_s.get(row.generator, 0.0))
    if not lasts_s:
        return []
    first_s, end_s, sent = min(row.scheduled_s for row in rows), min(lasts_s.values()), per_second(rows)
    begin_s = max([since_s, *(row.scheduled_s for row in rows if row.sent_s is None and row.scheduled_s < end_s)])
    return [sent[second] for second in range(int(begin_s - first_s) + 1, int(end_s - first_s))]


@contextmanager
def across(master: Machine, generators: Sequence[Machine], *arguments: str, file: str = "locustfiles/sustained.py") -> Iterator[Crew]:
    """A headless master on one machine and a generator on each of the others."""
    bind = ("--master", "--master-bind-host", master.address, "--expect-workers", str(len(generators)))
    with ExitStack() as stack:
        with master.inside():
            started = stack.enter_context(locust(*bind, *arguments, file=file))
        crew = Crew(started, master.address, 5557, file, stack)
        for machine in generators:
            crew.add(machine)
        yield crew


@contextmanager
def distributed(
    *arguments: str, generators: int = 2, file: str = "locustfiles/sustained.py", keyed: bool = True, **env: str
) -> Iterator[Crew]:
    """A headless master with ``arguments``, and so many generators; all are killed at the end if they still run.

    ``keyed``: the generators have the master's environment; else its variables are empty there.
    """
    with ExitStack() as stack:
        port = stack.enter_context(reserved())
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port), "--expect-workers", str(max(generators, 1)))
        crew = Crew(stack.enter_context(locust(*bind, *arguments, file=file, **env)), "127.0.0.1", port, file, stack)
        for _ in range(generators):
            crew.add(**(env if keyed else dict.fromkeys(env, "")))
        yield crew
