"""The place of each figure in a report: the one picture of the question, those that everybody reads, and the folded ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..figures.style import MissingPlot, Plot
from ..tables.cold_runs import cold_run
from ..tables.run_tables import Tables

Plots = Sequence[Plot | MissingPlot]
# The picture of the question, the first that could be drawn: a burst, a cold start, a sweep, anything else.
OF_A_BURST = ("burst", "response_time")
OF_COLD_STARTS = ("waterfall", "burst", "response_time")
OF_A_SWEEP = {"scaling": ("sweep_efficiency", "sweep_throughput")}
OF_MOST = ("sweep_throughput", "response_time", "timeline", "history")
# Figures about the load generator, which answer whether the others can be trusted.
OF_TRUST = ("lateness", "generator")
# Folded, because others show the same for most readers; outcomes only if all were ok.
SELDOM = ("response_time_ecdf", "anatomy", "resources")

# Figures beside the table of the same section.
BESIDE = ("what_if",)

# Figures of a sweep over all of its settings.
MIXED = ("timeline", "response_time", "outcomes")


@dataclass(frozen=True)
class FigurePlaces:
    """Names of figures by their place in the page; ``first`` is "" if none could be drawn."""

    first: str
    shown: tuple[str, ...]
    more: tuple[str, ...]
    trust: tuple[str, ...]


def figure_places(plots: Plots, tables: Tables, question: str = "") -> FigurePlaces:
    """The place of each figure that was drawn."""
    drawn = [plot.name for plot in plots if isinstance(plot, Plot)]
    first = next((name for name in (*_wanted(tables, question), *drawn) if name in drawn and name not in BESIDE), "")
    trust = tuple(name for name in drawn if name in OF_TRUST)
    rest = [name for name in drawn if name not in (first, *trust, *BESIDE)]
    seldom = (*SELDOM, *(MIXED if question else ()), *(("outcomes",) if _all_ok(tables) else ()))
    more = tuple(name for name in rest if name in seldom)
    return FigurePlaces(first, tuple(name for name in rest if name not in more), more, trust)


def _wanted(tables: Tables, question: str) -> tuple[str, ...]:
    if question:
        return (*OF_A_SWEEP.get(question, ()), *OF_MOST)
    if tables.run.totals is not None:
        return OF_MOST
    if cold_run(tables) is not None:
        return OF_COLD_STARTS
    return OF_A_BURST if tables.throughput.not_offered == "all at once" else OF_MOST


def _all_ok(tables: Tables) -> bool:
    return tables.run.totals is None and tables.ledger.counts.get("ok", 0) == tables.ledger.planned
