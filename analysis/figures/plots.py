"""The figures of a report, in order; each is data from the tables and a function that draws it.

Each outcome has one colour and marker, each phase one colour; axes have units, captions n and the method.
"""

from __future__ import annotations

from ..sweep_report.sweep_answer import SweepAnswer
from ..tables.run_tables import Tables
from .anatomy import anatomy, burst, waterfall
from .endpoint_resources import endpoint_resources
from .generator_health import generator, lateness
from .locust_history import histories
from .response_times import distribution, outcomes, response
from .style import MissingPlot, Plot
from .timeline import timeline
from .what_if import what_if

OWN = (response, distribution, burst, anatomy, waterfall, timeline, outcomes, lateness, generator)
OF_A_SWEEP = (timeline, response, outcomes, lateness, generator)


def plots(tables: Tables, answer: SweepAnswer | None = None) -> list[Plot | MissingPlot]:
    """The figures of the report, in order; a sweep has its own first, and none that mixes its settings."""
    if tables.run.totals is not None:
        return histories(tables.run.totals)
    if answer is not None:
        return [*answer.plots(), *(make(tables) for make in OF_A_SWEEP), *endpoint_resources(tables)]
    return [*(make(tables) for make in OWN), *what_if(tables), *endpoint_resources(tables)]
