"""What a distributed run's load generators went through: which were lost, and whose clocks differed."""

from __future__ import annotations

from collections.abc import Iterator

from coldburst.lines import one_line

from ..command_name import PROGRAM
from ..runs.load import Run
from ..text.number_format import seconds

CLOCK_S = 0.02
"""A difference between a generator's clock and the master's above this is told."""


def lost_names(run: Run) -> list[str]:
    """Generators that the master lost at some time, in that order; those that came back too."""
    if run.events is None:
        return []
    told = run.events[run.events["kind"] == "generator_lost"]["generator"].dropna()
    return [one_line(str(name)) for name in dict.fromkeys(told)]


def loss_reasons(run: Run, missing: int, planned: int) -> Iterator[str]:
    """Sentences on lost generators, for the verdict."""
    names = lost_names(run)
    if not names:
        return
    who = f"generator {names[0]} was" if len(names) == 1 else f"generators {', '.join(names)} were"
    left = (
        f"{missing:,} of {planned:,} planned requests are missing with it; rows that it kept can be added: "
        f"{PROGRAM} merge {run.path} DIRECTORY_OF_THE_GENERATOR"
        if missing > 0
        else "the offered rate fell short until its share was dealt to others"
    )
    yield f"The {who} lost: {left}."


def clock_notes(run: Run) -> Iterator[str]:
    """Sentences on clocks that differ."""
    if run.generator is None or "clock_s" not in run.generator:
        return
    most = run.generator["clock_s"].abs().groupby(run.generator["generator"]).max().dropna()
    for name, ahead_s in most[most > CLOCK_S].items():
        who = one_line(str(name))
        yield f"The clock of generator {who} differs by {seconds(float(ahead_s))} from the master's; times are corrected for it."
