"""The decision card at the top of a report: answer, confidence, cost and next command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..command_name import PROGRAM
from ..runs import locust_csv
from ..runs.load import Run
from ..sweep.setting_result import SettingResult
from ..sweep_report.sweep_answer import SweepAnswer
from ..tables.cold_runs import cold_run
from ..tables.cost import cost
from ..tables.run_tables import Tables
from ..text.number_format import number, percent, plural, seconds
from ..verdict.confidence import Confidence
from ..verdict.verdict import Verdict

TRUSTED = "the ledger balances, the generator sent on time, and the run ended as scheduled"
NEXT_RUN = "Change one thing, run again, and compare"
AGAIN = "Fix the reasons above, and run again"


@dataclass(frozen=True)
class Tile:
    """A large figure with its name and a remark."""

    name: str
    value: str
    beside: str = ""


@dataclass(frozen=True)
class Card:
    """What the page shows first.

    Attributes:
        answer: the result in a sentence; ``change``: what would lead to another, or a second result, or "".
        tiles: up to six figures.
        verdict: of the run, with its reasons; ``confidence`` in its P95 or its pick, or None.
        cost: what the run cost, or why that is unknown.
        step: what to do next, in words, and ``command``, which may be "".
    """

    answer: str
    change: str
    tiles: tuple[Tile, ...]
    verdict: Verdict
    confidence: Confidence | None
    cost: str
    step: str
    command: str

    @property
    def trust(self) -> str:
        """The first reason not to trust the figures, or why to trust them."""
        return self.verdict.reasons[0] if self.verdict.reasons else f"{TRUSTED}."


def card(answer: str, tables: Tables, verdict: Verdict, sure: Confidence, found: SweepAnswer | None) -> Card:
    """The card of a run."""
    change = found.decision.change if found else ""
    step, command = _next(tables, verdict, sure)
    if tables.run.totals is not None:
        return Card(answer, change, tuple(_of_totals(tables.run)), verdict, sure, "", step, command)
    if found is not None:
        tiles = () if found.decision.main.cell is None else tuple(_of_setting(found.decision.main.cell))
        return Card(answer, change, tiles, verdict, sure, _cost_of_sweep(tables, found), step, command)
    first, _, second = answer.partition(". ")
    return Card(f"{first.removesuffix('.')}.", second, tuple(_of_run(tables)), verdict, sure, _cost_of_run(tables), step, command)


def _next(tables: Tables, verdict: Verdict, sure: Confidence) -> tuple[str, str]:
    run = tables.run
    if verdict.state == "invalid" or (run.totals is None and not tables.ledger.counts.get("ok")):
        return AGAIN, ""
    if sure.remedy:
        takes = f" (about {seconds(sure.remedy.duration_s)})" if sure.remedy.duration_s else ""
        return f"To be surer, {sure.remedy.what}{takes}", sure.remedy.command
    return NEXT_RUN, f"{PROGRAM} {'scaling 1=PREFIX 2=PREFIX' if run.totals is not None else f'compare {run.path} NEXT_RUN'}"


def _of_run(tables: Tables) -> Iterator[Tile]:
    book, times, cold = tables.ledger, tables.response["ok"], cold_run(tables)
    ok = book.counts.get("ok", 0)
    if book.planned:
        yield Tile("Success", percent(ok / book.planned), f"{ok:,} of {book.planned:,} ok")
    if cold is not None and cold.cold.n:
        yield Tile("Cold", seconds(cold.cold.at(50).value), f"median of {cold.cold.n:,}")
        yield Tile("Warm", seconds(cold.warm.at(50).value), f"median of {cold.warm.n:,}")
        yield Tile("Cold-start penalty", seconds(cold.penalty_s), "cold − warm")
        return
    if times.n:
        tail = times.at(95)
        yield Tile("Response time P50", seconds(times.at(50).value), f"mean {seconds(times.mean)}")
        yield Tile("Response time P95", seconds(tail.value), f"max {seconds(times.maximum)}")
    if tables.throughput.per_s is not None:
        yield Tile("Throughput", number(tables.throughput.per_s), "ok per second")
    if tables.audio is not None:
        yield Tile("Real-time factor P50", number(tables.audio.p50, "×"), "higher is faster")
    elif tables.tokens is not None and tables.tokens.tokens_out:
        yield Tile("Output tokens", number(tables.tokens.per_s), "per second")


def _of_setting(cell: SettingResult) -> Iterator[Tile]:
    yield Tile("Setting", cell.name, f"{plural(len(cell.ok), 'answer')} ok")
    yield Tile("Throughput", number(cell.throughput.value), "ok per second")
    yield Tile("Response time P95", seconds(cell.percentile(95).value), f"P50 {seconds(cell.percentile(50).value)}")
    yield Tile("Success", percent(cell.success))
    if cell.usd_per_1000 is not None:
        yield Tile("Cost of 1,000", f"${number(cell.usd_per_1000)}", "requests answered ok")


def _of_totals(run: Run) -> Iterator[Tile]:
    if run.totals is None:
        return
    row = locust_csv.aggregated(run.totals)
    yield Tile("Requests", f"{int(row['requests']):,}", f"{int(row['failures']):,} failed")
    yield Tile("Rate", number(row.get("requests_per_s")), "requests per second")
    yield Tile("Response time P50", seconds(row.get("p50_s")), f"mean {seconds(row.get('mean_s'))}")
    yield Tile("Response time P95", seconds(row.get("p95_s")), f"max {seconds(row.get('max_s'))}")


def _cost_of_run(tables: Tables) -> str:
    paid = cost(tables)
    if _is_local(tables.run):
        otherwise = "" if paid.usd is None else f"; at its GPU's price it would be ${number(paid.usd)}"
        return f"none: the endpoint ran on this machine{otherwise}."
    return f"{paid.why}." if paid.usd is None else f"${number(paid.usd)}: {number(paid.worker_s)} worker-seconds × price, an estimate."


def _cost_of_sweep(tables: Tables, found: SweepAnswer) -> str:
    cells = [cell for cell in found.sweep.cells if cell.usd is not None]
    if cells:
        return f"${number(sum(cell.usd or 0.0 for cell in cells))} for {plural(len(cells), 'setting')}, an estimate."
    return "none: the endpoint ran on this machine." if _is_local(tables.run) else "unknown: give --price, as in --price 4090."


def _is_local(run: Run) -> bool:
    target = run.about.get("target")
    return isinstance(target, dict) and target.get("embedded") is True
