"""The figures of a report, in its order; each is data from the tables, and a function that draws that data.

House style (analysis/figures/marks.py, frame.py): one fixed colour and marker an outcome, one colour a phase; units on
the axes; few keys; n and the method in the caption.
"""

from __future__ import annotations

from analysis.figures.anatomy import anatomy, waterfall
from analysis.figures.burst import burst
from analysis.figures.generator import generator, lateness
from analysis.figures.history import histories
from analysis.figures.marks import Absent, Plot
from analysis.figures.outcomes import outcomes
from analysis.figures.requests import distribution, response
from analysis.figures.timeline import timeline
from analysis.sweep.answer import Answer
from analysis.tables import Tables

OWN = (response, distribution, burst, anatomy, waterfall, timeline, outcomes, lateness, generator)
OF_A_SWEEP = (timeline, response, outcomes, lateness, generator)


def plots(tables: Tables, answer: Answer | None = None) -> list[Plot | Absent]:
    """Every figure of the report, in its order; of a sweep its own first, and none that mixes its settings together."""
    if tables.run.totals is not None:
        return histories(tables.run.totals)
    if answer is not None:
        return [*answer.plots(), *(make(tables) for make in OF_A_SWEEP)]
    return [make(tables) for make in OWN]
