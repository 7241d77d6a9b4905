"""Load generators of a distributed run: a master and its Locust workers, as processes of their own."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

from tests.support.locusts import Locust, locust
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
