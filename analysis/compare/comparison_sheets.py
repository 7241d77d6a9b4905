"""A comparison as text: the headline, the method and the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coldburst.record.attempt import OUTCOMES

from ..statistics.intervals import Interval
from ..text.number_format import NONE, brief, number, percent, seconds
from ..text.sheet import Sheet
from .compared_run import ComparedRun
from .comparison_lines import CANNOT_TELL, NOT_SHOWN, WITHOUT_ROWS, ComparisonLine

MAIN = ("response_ok.p95", "response_ok.p50")
CORRELATED = "n is divided by the correlation time of the requests in the order in which they were due"
SHARES = f"Shares: Newcombe's interval; {CORRELATED}."
EACH = "Each line is a test of its own: of twenty lines without a difference, one or two show one by chance."


def method(base: ComparedRun, candidate: ComparedRun) -> str:
    """How the intervals are computed, in sentences."""
    if base.run.totals is not None:
        return f"Locust's own figures side by side, without intervals: {WITHOUT_ROWS}."
    within = "The intervals do not include what differs from run to run: repeat both runs before an expensive decision."
    if base.sweep is None or candidate.sweep is None:
        return f"Percentiles: order statistics; means and rates: Student's t; {CORRELATED}. {SHARES} {EACH} {within}"
    settings = "Settings: the difference of each sweep's own intervals, over its repeats or within its run (Zou and Donner); "
    settings += "percentiles of a setting with one repeat: order statistics, n divided by the correlation time."
    single = any(len(cell.each) < 2 for side in (base.sweep, candidate.sweep) for cell in side.deciding)
    return f"{settings} {SHARES} {EACH}{f' {within}' if single else ''}"


def headline(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> str:
    """The result of the comparison in one or two sentences."""
    by_key = {line.key: line for line in found}
    if base.sweep is not None and candidate.sweep is not None:
        return _of_settings(base, candidate, found)
    main = next((by_key[key] for key in MAIN if key in by_key and by_key[key].word != CANNOT_TELL), None)
    first = _main(base, candidate, main or by_key.get(MAIN[0]))
    success = by_key.get("share.ok")
    if success is None or success.word not in ("better", "worse"):
        return first
    return f"{first} {'More' if success.word == 'better' else 'Fewer'} requests were ok: {change(success)}."


def _main(base: ComparedRun, candidate: ComparedRun, line: ComparisonLine | None) -> str:
    unknown = f"Cannot tell whether {candidate.label} differs from {base.label}"
    if base.run.totals is not None:
        return f"{unknown}: {WITHOUT_ROWS}."
    if line is None or line.word == CANNOT_TELL:
        return f"{unknown}: {line.of.why if line is not None else 'no response time is in both'}."
    if line.word == NOT_SHOWN:
        return f"No difference shown between {base.label} and {candidate.label}: {line.label} {change(line)}."
    return f"{candidate.label} is {'faster' if line.word == 'better' else 'slower'} than {base.label}: {line.label} {change(line)}."


def _of_settings(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> str:
    flows = [line for line in found if line.key.endswith(".throughput")]
    apart = [f"{line.group.removeprefix('Setting ')} {change(line)}" for line in flows if line.word in ("better", "worse")]
    if apart:
        return f"{candidate.label} differs from {base.label} in throughput at {len(apart)} of {len(flows)} settings: {', '.join(apart)}."
    if all(line.word == CANNOT_TELL for line in flows):
        why = flows[0].of.why if flows else "no setting was measured completely in both"
        return f"Cannot tell whether {candidate.label} differs from {base.label}: {why}."
    return f"No difference in throughput shown between {base.label} and {candidate.label} at any of {len(flows)} settings."


def change(line: ComparisonLine) -> str:
    """The difference in percent with its interval: ``+31 % (12 % to 48 %)``; shares in points, without a ratio in the figure's unit."""
    relative = line.of.relative
    if line.unit == "%" or relative.lower is None:
        return absolute(line)
    return _between(relative, _percent, _percent)


def absolute(line: ComparisonLine) -> str:
    """The difference in the figure's unit, with its interval if there is one."""
    if line.unit == "s":
        return _between(line.of.absolute, seconds, seconds)
    unit, scale = ("points", 100) if line.unit == "%" else (line.unit, 1)
    return _between(line.of.absolute, lambda value: number(value * scale, unit), lambda value: number(value * scale, ""))


def _between(of: Interval, shown: Callable[[float], str], shown_end: Callable[[float], str]) -> str:
    if of.value is None:
        return NONE
    ends = "" if of.lower is None or of.upper is None else f" ({shown_end(of.lower)} to {shown_end(of.upper)})"
    return f"{'+' if of.value > 0 else ''}{shown(of.value)}{ends}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{brief(share * 100)} %"


def _in_unit(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    return seconds(value) if unit == "s" else percent(value) if unit == "%" else number(value, unit)


def tables(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> list[Sheet]:
    """One table per group of lines."""
    groups = dict.fromkeys(line.group for line in found)
    return [_sheet(group, (base.label, candidate.label), [line for line in found if line.group == group]) for group in groups]


def _sheet(
    title: str, labels: tuple[str, str], found: Sequence[ComparisonLine], named: Callable[[ComparisonLine], str] = lambda line: line.label
) -> Sheet:
    """The lines as rows, with a last column for missing intervals if there are any."""
    head = ("", "result", *labels, "difference (95 % interval)", "in % (95 % interval)", "n", "why no interval")
    rows = tuple((named(line), *_row(line), line.of.why) for line in found)
    if any(line.of.why for line in found):
        return Sheet(title, head, rows, aside=True)
    return Sheet(title, head[:-1], tuple(row[:-1] for row in rows))


def _row(line: ComparisonLine) -> tuple[str, ...]:
    both = (_in_unit(line.of.base, line.unit), _in_unit(line.of.candidate, line.unit))
    relative = NONE if line.unit == "%" else _between(line.of.relative, _percent, _percent)
    return (line.word, *both, absolute(line), relative, " / ".join(f"{n:,}" for n in line.n))


def short(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> Sheet:
    """The lines shown on a terminal: percentiles of answered ok, shares, throughput; all lines for sweeps and Locust's totals."""
    chosen = [line for line in found if line.key.startswith(("response_ok.", "share.", "throughput"))]
    rows = chosen if any(line.key.startswith("response_ok.") for line in found) else found
    return _sheet("Differences", (base.label, candidate.label), rows, _named)


def _named(line: ComparisonLine) -> str:
    if line.key.startswith("response_ok."):
        return f"response time {line.label}"
    return f"{line.group.removeprefix('Setting ')} {line.label}" if line.group.startswith("Setting ") else line.label


def ledgers(sides: Sequence[ComparedRun]) -> Sheet | None:
    """The ledgers side by side; None for Locust's totals."""
    if any(side.run.totals is not None for side in sides):
        return None
    books = [side.tables.ledger for side in sides]
    names = [name for name in OUTCOMES if any(book.counts.get(name) for book in books)]
    rows = [("verdict", *(side.verdict.state for side in sides)), ("planned", *(f"{book.planned:,}" for book in books))]
    rows += [(name, *(f"{book.counts.get(name, 0):,}" for book in books)) for name in names]
    rows.append(("missing", *(f"{book.missing:,}" for book in books)))
    return Sheet("Ledger", ("", *(side.label for side in sides)), tuple(rows), "A retried request counts once, by its last attempt.")
