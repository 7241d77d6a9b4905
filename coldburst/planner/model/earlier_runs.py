"""Earlier runs of the same endpoint: what they measured fills in what a run does not show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coldburst.planner.model.distributions import Distribution
from coldburst.planner.model.fit import Fit, fit
from coldburst.record import run_json

# Earlier runs that are looked at, and the longest rows that are read.
RUNS, MOST_BYTES = 20, 2_000_000
# A worker's start where nothing tells it: RunPod's documents call 10 to 60 s typical, and large models take longer.
LEAST_START_S, MOST_START_S = 10.0, 120.0
ASSUMED = Distribution("range", (LEAST_START_S, MOST_START_S))


@dataclass(frozen=True, slots=True)
class Starts:
    """How long a worker takes to start.

    Attributes:
        source: the id of the earlier run that measured it; "" if the run itself did, or nothing did.
        assumed: whether nothing did.
    """

    time: Distribution
    source: str = ""
    assumed: bool = False

    @property
    def why(self) -> str:
        """Where it comes from if not from the run itself."""
        if self.assumed:
            return "assumed, as none started in the run: coldburst run coldstart measures it"
        return f"of {self.source}, as none started in the run" if self.source else ""


def starts(folder: Path, found: Fit) -> Starts:
    """Those of the run in ``folder``, else of the newest other run of its endpoint beside it, else a range that is assumed."""
    if found.start is not None:
        return Starts(found.start)
    target = run_json.read(folder).get("target")
    host = target.get("host") if isinstance(target, dict) else None
    for name, other in fits(folder.parent, str(host)) if host else ():
        if other.start is not None and name != folder.name:
            return Starts(other.start, name)
    return Starts(ASSUMED, assumed=True)


def fits(runs: Path, host: str) -> Iterator[tuple[str, Fit]]:
    """The last runs of that endpoint in the directory ``runs``, newest first, and what they show; without those that show too little."""
    for folder in sorted((path for path in runs.iterdir() if path.is_dir()), reverse=True)[:RUNS]:
        try:
            target = run_json.read(folder).get("target") or {}
            measured = target.get("host") == host and target.get("simulated") is not True
            if not measured or (folder / "attempts.csv").stat().st_size > MOST_BYTES:
                continue
            found = fit(folder)
        except (ValueError, OSError, LookupError, TypeError, AttributeError):
            # Not a run, a damaged one, or one with too few answers.
            continue
        yield folder.name, found
