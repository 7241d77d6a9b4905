"""A comparison as text: the sentence, the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coldburst.record.attempt import OUTCOMES

from ..statistics.intervals import Interval
from ..text.number_format import NONE, brief, number, percent, seconds
from ..text.sheet import Sheet
from .compared_run import ComparedRun
from .comparison_lines import CANNOT_TELL, NOT_SHOWN, WITHOUT_ROWS, ComparisonLine
from .differences import BLOCK_TIMES, DRAWS

MAIN = ("response_ok.p95", "response_ok.p50")
BLOCKS = (
    f"Moving-block bootstrap, {DRAWS:,} draws a run, of requests in order of the instants when due; a block is at least n^(1/3) "
    f"requests and {BLOCK_TIMES:g} correlation times long."
)
SHARES = "Shares: Newcombe's interval, n divided by the correlation time."
EACH = "Each line stands for itself: of twenty lines without a difference one or two show one by chance."


def method(base: ComparedRun, candidate: ComparedRun) -> str:
    """How the intervals are made, in sentences: of rows, of two sweeps, or of Locust's totals, which have none."""
    if base.run.totals is not None:
        return f"Locust's own figures side by side, without intervals: {WITHOUT_ROWS}."
    within = "The intervals are within these runs; what differs from run to run is not in them, so repeat both before a dear decision."
    if base.sweep is None or candidate.sweep is None:
        return f"{BLOCKS} {SHARES} {EACH} {within}"
    said = "Settings: from the intervals that each sweep gives, over its repeats or within its run, by the method of variance estimates "
    said += f"recovery (Zou and Donner); percentiles of a setting with one repeat: {BLOCKS[0].lower()}{BLOCKS[1:]}"
    few = any(len(cell.each) < 2 for side in (base.sweep, candidate.sweep) for cell in side.deciding)
    return f"{said} {SHARES} {EACH}{f' {within}' if few else ''}"


def headline(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> str:
    """What the comparison comes to, in a sentence or two."""
    by_key = {line.key: line for line in found}
    if base.sweep is not None and candidate.sweep is not None:
        return _of_settings(base, candidate, found)
    main = next((by_key[key] for key in MAIN if key in by_key and by_key[key].word != CANNOT_TELL), None)
    said = _main(base, candidate, main or by_key.get(MAIN[0]))
    success = by_key.get("share.ok")
    if success is None or success.word not in ("better", "worse"):
        return said
    return f"{said} {'More' if success.word == 'better' else 'Fewer'} requests were ok: {change(success)}."


def _main(base: ComparedRun, candidate: ComparedRun, line: ComparisonLine | None) -> str:
    pair = f"{candidate.label} differs from {base.label}"
    if base.run.totals is not None:
        return f"Cannot tell whether {pair}: {WITHOUT_ROWS}."
    if line is None or line.word == CANNOT_TELL:
        why = line.of.why if line is not None else "no response time is in both"
        return f"Cannot tell whether {pair}: {why}."
    if line.word == NOT_SHOWN:
        return f"No difference shown between {base.label} and {candidate.label}: {line.label} {change(line)}."
    return f"{candidate.label} is {'faster' if line.word == 'better' else 'slower'} than {base.label}: {line.label} {change(line)}."


def _of_settings(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> str:
    flows = [line for line in found if line.key.endswith(".throughput")]
    apart = [f"{line.group.removeprefix('Setting ')} {change(line)}" for line in flows if line.word in ("better", "worse")]
    if not flows:
        return f"Cannot tell whether {candidate.label} differs from {base.label}: no setting was measured whole in both."
    if apart:
        return f"{candidate.label} differs from {base.label} in throughput at {len(apart)} of {len(flows)} settings: {', '.join(apart)}."
    if all(line.word == CANNOT_TELL for line in flows):
        return f"Cannot tell whether {candidate.label} differs from {base.label}: {flows[0].of.why}."
    return f"No difference in throughput shown between {base.label} and {candidate.label} at any of {len(flows)} settings."


def change(line: ComparisonLine) -> str:
    """The difference in percent with its interval: ``+31 % (12 % to 48 %)``; of shares in points, of a base of none in its unit."""
    relative = line.of.relative
    if line.unit == "%" or relative.lower is None:
        return absolute(line)
    return _between(relative, _percent, _percent)


def absolute(line: ComparisonLine) -> str:
    """The difference in the figure's unit, with its interval where there is one."""
    unit = "points" if line.unit == "%" else line.unit
    return _between(line.of.absolute, lambda value: _in_unit(value, unit), lambda value: _in_unit(value, _bare(unit)))


def _bare(unit: str) -> str:
    """The unit of an interval's ends, which the figure before them has named already."""
    return unit if unit == "s" else "bare points" if unit == "points" else ""


def _between(of: Interval, said: Callable[[float], str], of_ends: Callable[[float], str]) -> str:
    if of.value is None:
        return NONE
    sign = "+" if of.value > 0 else ""
    ends = "" if of.lower is None or of.upper is None else f" ({of_ends(of.lower)} to {of_ends(of.upper)})"
    return f"{sign}{said(of.value)}{ends}"


def _percent(share: float) -> str:
    return brief(share * 100).replace("-", "−") + " %"


def _in_unit(value: float | None, unit: str) -> str:
    if value is None:
        return NONE
    if unit == "s":
        return seconds(value).replace("-", "−")
    if unit == "%":
        return percent(value)
    if unit in ("points", "bare points"):
        return number(value * 100, unit.removeprefix("bare").removeprefix(" points")).replace("-", "−")
    return number(value, unit).replace("-", "−")


def tables(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> list[Sheet]:
    """A table a group of lines."""
    groups = dict.fromkeys(line.group for line in found)
    return [_sheet(group, (base.label, candidate.label), [line for line in found if line.group == group]) for group in groups]


def _sheet(
    title: str, labels: tuple[str, str], found: Sequence[ComparisonLine], named: Callable[[ComparisonLine], str] = lambda line: line.label
) -> Sheet:
    """The lines as rows; why nothing can be told stands in a last column, where there is such a line."""
    head: tuple[str, ...] = ("", "in a word", *labels, "difference (95 % interval)", "in % (95 % interval)", "n")
    rows: list[tuple[str, ...]] = [(named(line), *_row(line)) for line in found]
    if any(line.of.why for line in found):
        head = (*head, "why no interval")
        rows = [(*row, line.of.why) for row, line in zip(rows, found, strict=True)]
    return Sheet(title, head, tuple(rows), aside=any(line.of.why for line in found))


def _row(line: ComparisonLine) -> tuple[str, ...]:
    both = (_in_unit(line.of.base, line.unit), _in_unit(line.of.candidate, line.unit))
    relative = NONE if line.unit == "%" else _between(line.of.relative, _percent, _percent)
    return (line.word, *both, absolute(line), relative, " / ".join(f"{n:,}" for n in line.n))


def short(base: ComparedRun, candidate: ComparedRun, found: Sequence[ComparisonLine]) -> Sheet:
    """The lines that a terminal shows: percentiles of answered ok, shares, throughput; of sweeps all, of Locust's totals too."""
    chosen = [line for line in found if line.key.startswith(("response_ok.", "share.", "throughput"))]
    rows = chosen if any(line.key.startswith("response_ok.") for line in found) else found
    return _sheet("Differences", (base.label, candidate.label), rows, _named)


def _named(line: ComparisonLine) -> str:
    if line.key.startswith("response_ok."):
        return f"response time {line.label}"
    return f"{line.group.removeprefix('Setting ')} {line.label}" if line.group.startswith("Setting ") else line.label


def ledgers(sides: Sequence[ComparedRun]) -> Sheet | None:
    """The ledgers side by side; None for Locust's totals, which have none."""
    if any(side.run.totals is not None for side in sides):
        return None
    books = [side.tables.ledger for side in sides]
    names = [name for name in OUTCOMES if any(book.counts.get(name) for book in books)]
    rows = [("verdict", *(side.verdict.state for side in sides)), ("planned", *(f"{book.planned:,}" for book in books))]
    rows += [(name, *(f"{book.counts.get(name, 0):,}" for book in books)) for name in names]
    rows.append(("missing", *(f"{book.missing:,}" for book in books)))
    return Sheet("Ledger", ("", *(side.label for side in sides)), tuple(rows), "A retried request counts with its last attempt.")
