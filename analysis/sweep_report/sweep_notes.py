"""What to know before one decides by a sweep, as sentences with numbers and the next step."""

from __future__ import annotations

from collections.abc import Iterator

from coldburst.lines import one_line
from coldburst.record.prices import stale

from ..command_name import RESTORE
from ..statistics.intervals import WITHIN
from ..sweep import ratios
from ..sweep.stage_result import StageResult
from ..sweep.sweep_result import SweepResult
from ..tables.run_tables import Tables
from ..text.number_format import number, percent, seconds

DRAINED = 0.9
ENDED_WITH_IT = ("none", "replicas")
"""Ways that leave nothing behind, however the run ended."""


def sweep_notes(of: Tables, found: SweepResult) -> list[str]:
    """The notes, gravest first."""
    said = [*_settings(of), *_ended(found), *_wrong(found), *found.unfit.values(), *_repeats(found), *_alike(found), *_price(found)]
    return [*said, *found.settings.notes]


def _settings(of: Tables) -> Iterator[str]:
    settings = of.run.settings
    if not settings or settings.get("restored") is True or settings.get("way") in ENDED_WITH_IT:
        return
    where, note = (one_line(str(settings.get(key) or "")) for key in ("where", "note"))
    if settings.get("way") == "hand":
        yield f"The endpoint was changed by hand: {note or f'put back what you changed ({where})'}."
        return
    command = f"{RESTORE} {of.run.path}{' --yes' if settings.get('harmless') is False else ''}"
    yield f"The endpoint's settings were not put back{f' ({where})' if where else ''}: {command} does that. {note}".strip()


def _ended(found: SweepResult) -> Iterator[str]:
    for state in ("cut", "skipped", "not reached"):
        stages = [window for window in found.stages if window.state == state]
        whys = {window.why for window in stages}
        for why in sorted(whys):
            names = ", ".join(window.stage for window in stages if window.why == why)
            yield f"No part in the decision: {names}, {state}{f': {why}' if why else ''}."
    if found.baseline is None and found.smallest is not None:
        first = found.smallest.name
        yield f"The baseline {first} has no whole stage with an answer ok, so there is neither a multiplier nor an efficiency."


def _wrong(found: SweepResult) -> Iterator[str]:
    """Stages that are not what was asked for."""
    for cell in found.deciding:
        for window in cell.done:
            yield from _of_window(window, ids_matter=not found.settings.by_workers)


def _of_window(window: StageResult, *, ids_matter: bool) -> Iterator[str]:
    asked, achieved, per_s = window.concurrency, window.in_flight or 0.0, window.per_s or 0.0
    mean_s = float(window.ok["service_s"].mean()) if len(window.ok) else 0.0
    if asked and ratios.exceeds_asked_concurrency(per_s, mean_s, asked):
        held = f"{number(per_s)} ok per s of {seconds(mean_s)} each are {number(ratios.in_flight(per_s, mean_s))} in flight"
        yield f"{window.stage} contradicts itself: {held}, and {asked} were allowed (Little's law); its rows are not of this setting alone."
    elif asked and achieved < DRAINED * asked:
        why, instead = "the last answers were awaited with fewer", "send more requests a setting"
        if len(window.attempts) > len(window.requests):
            why, instead = "requests paused between their tries", "leave --retries out of a sweep"
        yield (
            f"{window.stage}: {number(achieved)} of {asked} requests in flight on average, as {why}: "
            f"throughput reads low by up to {percent(1 - achieved / asked)}; {instead}."
        )
    if window.steady is not None and not window.steady.yes:
        halves = f"{window.steady.first:,} ok in the first half and {window.steady.second:,} in the second"
        yield f"{window.stage} was not steady: {halves}; warm up for longer, or measure for longer."
    if ids_matter and window.workers is not None and window.seen is not None and window.seen != window.workers:
        yield f"{window.stage}: {window.workers} endpoint workers asked for, {window.seen} seen; its price is for those asked for."


def _repeats(found: SweepResult) -> Iterator[str]:
    if found.deciding and all(len(cell.each) < 2 for cell in found.deciding):
        yield (
            f"One repeat: the intervals hold {WITHIN}. They know nothing of what differs from run to run (other hosts, other "
            "neighbours), and are too narrow where a few hundred answers behind a queue do not show that they are alike; "
            "--repeats 3 or more tells."
        )


def _alike(found: SweepResult) -> Iterator[str]:
    """Settings whose neighbouring answers are alike, so that percentiles have intervals from blocks of time in one repeat, or none."""
    names = []
    for cell in found.deciding:
        shown = [cell.percentile(percent_of) for percent_of in (50, 95, 99)]
        if any(of.alike and (of.lower is None or len(cell.each) == 1) for of in shown):
            names.append(cell.name)
    if names:
        yield (
            f"Neighbouring answers are alike in {', '.join(names)}, as behind a queue: P50, P95 and P99 have an interval there only where "
            "blocks of time or repeats are long enough to tell one; send more requests a setting, or repeat it."
        )


def _price(found: SweepResult) -> Iterator[str]:
    price = found.settings.price
    if price is None:
        yield "No price was given, so settings are compared by worker-seconds and not by USD; --price tells it."
    elif old := stale(price, found.settings.started):
        yield old
    if price is not None and any(cell.workers is None for cell in found.deciding):
        yield "The number of endpoint workers is not known, so there are no costs."
