"""The ten views that an operator of a GPU endpoint needs: where each is in the report, or why this run cannot show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..command_name import PROGRAM
from ..figures.style import MissingPlot, Plot

TOTALS = "Locust's totals have no row a request."
SCALING = f"One prefix of Locust's files was read: {PROGRAM} scaling 1=PREFIX 2=PREFIX shows several numbers of workers."
COMPARE = f"It takes a second run: {PROGRAM} compare BASE CANDIDATE writes a page that sets them side by side."


@dataclass(frozen=True)
class ViewSpec:
    """A view, by what shows it (figures by name, tables by title, the page's own sections), and what it takes where nothing does.

    ``of_totals`` is what it takes where there are Locust's totals only.
    """

    name: str
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    takes: str = ""
    of_totals: str = TOTALS


VIEWS = (
    ViewSpec(
        "Verdict, and what to do",
        sections=("Verdict", "Decision", "Objectives"),
        takes="A best setting and its price take a sweep: locustfiles/concurrency.py, scaling.py or matrix.py.",
    ),
    ViewSpec("Timeline", ("timeline", "history")),
    ViewSpec(
        "Throughput and P95 against concurrency",
        ("sweep_throughput", "scaling_p95"),
        takes="One setting was measured: locustfiles/concurrency.py or matrix.py measures several.",
        of_totals=SCALING,
    ),
    ViewSpec(
        "Scaling efficiency against endpoint workers",
        ("sweep_efficiency",),
        takes="One number of endpoint workers was measured: locustfiles/scaling.py measures several.",
        of_totals=SCALING,
    ),
    ViewSpec("Anatomy of a request, cold against warm", ("anatomy", "waterfall", "sweep_split")),
    ViewSpec("Cost against P95", ("sweep_cost",), takes="It takes several settings with a price: a sweep with --price."),
    ViewSpec(
        "Cold starts",
        tables=("Cold starts", "Response time, cold and warm", "What cold requests waited for"),
        takes="No answer says which endpoint worker gave it, and no start of one was seen.",
    ),
    ViewSpec(
        "Errors and their causes",
        tables=("Ledger", "By outcome", "Why", "Requests and attempts", "Failures"),
        takes="No request has a row.",
    ),
    ViewSpec(
        "Real-time factor and word error rate",
        ("sweep_quality",),
        ("Audio",),
        takes="No audio length is recorded: it takes a transcription, or a job that tells the length.",
    ),
    ViewSpec("Comparison of runs", takes=COMPARE, of_totals=COMPARE),
)


@dataclass(frozen=True)
class View:
    """A view of this report: links to what shows it (anchor and title), and in a sentence what is not there."""

    name: str
    links: tuple[tuple[str, str], ...]
    missing: str


def views(
    plots: Sequence[Plot | MissingPlot], tables: Mapping[str, str], sections: Mapping[str, str], *, totals: bool = False
) -> list[View]:
    """Each of VIEWS in this report; ``tables`` and ``sections`` are those that the page has: title → anchor."""
    return [_view(wanted, plots, tables, sections, totals=totals) for wanted in VIEWS]


def _view(
    wanted: ViewSpec, plots: Sequence[Plot | MissingPlot], tables: Mapping[str, str], sections: Mapping[str, str], *, totals: bool
) -> View:
    links = [*_links(wanted.sections, sections), *((f"figure-{plot.name}", plot.title) for plot in plots if _shows(plot, wanted))]
    links += _links(wanted.tables, tables)
    reasons = [
        f"{plot.reason[:1].upper()}{plot.reason[1:]}." for plot in plots if isinstance(plot, MissingPlot) and plot.name in wanted.figures
    ]
    alone = "Verdict" in wanted.sections and "Decision" not in sections
    missing = "" if links and not alone else next(iter(reasons), wanted.of_totals if totals and not alone else wanted.takes)
    return View(wanted.name, tuple(links), missing)


def _shows(plot: Plot | MissingPlot, wanted: ViewSpec) -> bool:
    return isinstance(plot, Plot) and plot.name in wanted.figures


def _links(titles: tuple[str, ...], there: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((there[title], title) for title in titles if title in there)
