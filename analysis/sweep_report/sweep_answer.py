"""The answer of a sweep: settings, decision, notes for the reader, and its part of metrics.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from coldburst.lines import one_line
from coldburst.record.prices import stale

from ..command_name import RESTORE
from ..figures.style import MissingPlot, Plot
from ..statistics.intervals import Interval
from ..statistics.percentiles import Percentile
from ..sweep import ratios
from ..sweep.decision import UNDECIDED, Decision, decide
from ..sweep.ratios import memory_plan, workers_that_fit
from ..sweep.setting_result import SettingResult
from ..sweep.setting_videos import recommended_workers, setting_videos
from ..sweep.stage_result import StageResult
from ..sweep.sweep_result import SweepResult, sweep_result
from ..sweep.usl import Usl
from ..tables.run_tables import Tables
from ..text.number_format import number, percent, seconds
from ..text.sheet import Sheet
from . import sweep_figures, sweep_sheets


@dataclass(frozen=True, eq=False)
class SweepAnswer:
    """A sweep with its decision and notes."""

    sweep: SweepResult
    decision: Decision
    notes: tuple[str, ...]

    def headline(self, verdict: str) -> str:
        """The decision in a sentence, with a warning if the run is invalid."""
        sentence = self.decision.sentence
        doubted = verdict == "invalid" and not sentence.startswith(UNDECIDED)
        return f"The run is invalid, so do not rely on this: {sentence}" if doubted else sentence

    @property
    def policies(self) -> Sheet:
        """The three policies side by side."""
        return sweep_sheets.policies_sheet(self.sweep, self.decision)

    @property
    def main(self) -> Sheet:
        """The table of settings."""
        return sweep_sheets.settings_sheet(self.sweep)

    def sheets(self) -> list[Sheet]:
        """Every table of the sweep but the policies."""
        return sweep_sheets.sweep_sheets(self.sweep)

    def plots(self) -> list[Plot | MissingPlot]:
        """Every figure of the sweep."""
        return sweep_figures.sweep_plots(self.sweep)

    def metrics(self) -> dict[str, Any]:
        """The sweep for other programs."""
        return metrics(self.sweep, self.decision, list(self.notes))


def sweep_answer(of: Tables) -> SweepAnswer | None:
    """The answer of a sweep; None for other runs."""
    found = sweep_result(of)
    return None if found is None else SweepAnswer(found, decide(found), tuple(sweep_notes(of, found)))


DRAINED = 0.9
# Controls that change nothing that outlives the run.
ENDED_WITH_IT = ("none", "replicas")


def sweep_notes(of: Tables, found: SweepResult) -> list[str]:
    """The notes, most serious first."""
    said = [*_settings(of), *_ended(found), *_wrong(found), *found.unfit.values(), *_unverified(found)]
    return [*said, *_repeats(found), *_alike(found), *_price(found), *found.settings.notes]


def _settings(of: Tables) -> Iterator[str]:
    settings = of.run.settings
    if not settings or settings.get("restored") is True or settings.get("way") in ENDED_WITH_IT:
        return
    where, note = (one_line(str(settings.get(key) or "")) for key in ("where", "note"))
    if settings.get("way") == "hand":
        yield f"The endpoint was changed by hand: {note or f'restore what you changed ({where})'}."
        return
    command = f"{RESTORE} {of.run.path}{' --yes' if settings.get('harmless') is False else ''}"
    yield f"The endpoint's settings were not restored{f' ({where})' if where else ''}: {command} restores them. {note}".strip()


def _ended(found: SweepResult) -> Iterator[str]:
    for state in ("cut", "skipped", "not reached"):
        stages = [window for window in found.stages if window.state == state]
        whys = {window.why for window in stages}
        for why in sorted(whys):
            names = ", ".join(window.stage for window in stages if window.why == why)
            yield f"Not part of the decision: {names}, {state}{f': {why}' if why else ''}."
    early = [window.stage for window in found.stages if window.state == "done" and window.why]
    if early:
        yield f"Ended early, because too many requests failed: {', '.join(early)}."
    if found.baseline is None and found.smallest is not None:
        first = found.smallest.name
        yield f"No multiplier or efficiency: no stage of the baseline {first} was completed with an answer ok."


def _wrong(found: SweepResult) -> Iterator[str]:
    for cell in found.deciding:
        for window in cell.done:
            yield from _of_window(window, ids_matter=not found.settings.by_workers)


def _of_window(window: StageResult, *, ids_matter: bool) -> Iterator[str]:
    asked, achieved, per_s = window.concurrency, window.in_flight or 0.0, window.per_s or 0.0
    mean_s = float(window.ok["service_s"].mean()) if len(window.ok) else 0.0
    if asked and ratios.exceeds_asked_concurrency(per_s, mean_s, asked):
        held = f"{number(per_s)} ok per s × {seconds(mean_s)} means {number(ratios.in_flight(per_s, mean_s))} in flight"
        yield f"{window.stage} is inconsistent: {held}, but the limit was {asked} (Little's law); it has rows of another setting."
    elif asked and achieved < DRAINED * asked:
        why, instead = "fewer were in flight while the last answers came in", "send more requests per setting"
        if len(window.attempts) > len(window.requests):
            why, instead = "requests paused between retries", "run sweeps without --retries"
        yield (
            f"{window.stage}: {number(achieved)} of {asked} requests in flight on average, because {why}; "
            f"throughput may read up to {percent(1 - achieved / asked)} low: {instead}."
        )
    if window.steady is not None and not window.steady.yes:
        halves = f"{window.steady.first:,} ok in the first half and {window.steady.second:,} in the second"
        yield f"{window.stage} was not steady: {halves}; use a longer warm-up or measure longer."
    if ids_matter and window.workers is not None and window.seen is not None and window.seen != window.workers:
        yield f"{window.stage}: {window.workers} workers requested, {window.seen} seen; its price is for those requested."


def _unverified(found: SweepResult) -> Iterator[str]:
    doubted = [name for name, to in found.relative.items() if to.claim or to.nothing_gained]
    if doubted:
        yield (
            f"Nothing shows how many workers there were in {', '.join(doubted)}: neither answers nor /health name the worker. "
            "Behind nginx, one line proves it: add_header X-Worker-ID $upstream_addr always;"
        )


def _repeats(found: SweepResult) -> Iterator[str]:
    if found.deciding and all(len(cell.each) < 2 for cell in found.deciding):
        yield (
            "With one repeat, intervals cover this run only: they miss differences between runs (hosts, neighbours) and can be too "
            "narrow for a few hundred answers behind a queue; use --repeats 3 or more."
        )


def _alike(found: SweepResult) -> Iterator[str]:
    names = []
    for cell in found.deciding:
        shown = [cell.percentile(percent_of) for percent_of in (50, 95, 99)]
        if any(of.alike and (of.lower is None or len(cell.each) == 1) for of in shown):
            names.append(cell.name)
    if names:
        yield (
            f"Successive answers are correlated in {', '.join(names)}, as behind a queue, so intervals of percentiles are wide or missing: "
            "send more requests per setting, or repeat it."
        )


def _price(found: SweepResult) -> Iterator[str]:
    price = found.settings.price
    if price is None:
        yield "No price was given, so settings are compared by worker-seconds; add --price to compare by USD."
    elif "catalogue" not in price.source and (old := stale(price, found.settings.started)):
        yield old
    if price is not None and any(cell.workers is None for cell in found.deciding):
        yield "No costs: the number of endpoint workers is unknown."


def metrics(of: SweepResult, decision: Decision, notes: list[str]) -> dict[str, Any]:
    """The "sweep" of metrics.json; an interval is an object with value, lower, upper and basis."""
    law = of.law
    return {
        "question": of.settings.question,
        "decision": {
            "sentence": decision.sentence,
            "change": decision.change,
            "by": decision.main.policy,
            "setting": _name(decision.main.cell),
        },
        "policies": [
            {
                "policy": choice.policy,
                "rule": choice.rule,
                "setting": _name(choice.cell),
                "why": choice.why,
                "no_difference_from": [cell.name for cell in choice.rivals],
                "change": choice.change,
            }
            for choice in decision.choices
        ],
        "notes": notes,
        "baseline": _name(of.baseline),
        "knee": {"setting": _name(of.knee), "within": of.settings.gain},
        "usl": _law(law) if isinstance(law, Usl) else {"refused": law},
        "memory": _memory(of),
        "settings": [_setting(of, cell) for cell in of.cells],
        "stages": [_stage(window) for window in of.stages],
    }


def _name(cell: SettingResult | None) -> str | None:
    return None if cell is None else cell.name


def _memory(of: SweepResult) -> dict[str, Any] | None:
    card = of.settings.card
    if card is None:
        return None
    plan = [{"workers": n, "gb": gb, "share": share, "fits": fits} for n, gb, share, fits in memory_plan(card)]
    return {**asdict(card), "fit": workers_that_fit(card), "plan": plan, "recommended_workers": recommended_workers(of)}


def _law(law: Usl) -> dict[str, Any]:
    figures = {name: asdict(getattr(law, name)) for name in ("rate", "sigma", "kappa", "peak")}
    return {**figures, "peak_note": law.peak_note, "r_squared": law.r_squared, "misfit": law.misfit, "levels": list(law.levels)}


def _setting(of: SweepResult, cell: SettingResult) -> dict[str, Any]:
    (cold, known), made = cell.cold, setting_videos(of, cell)
    return {
        "setting": cell.name,
        "state": cell.state,
        "why": cell.why,
        "decides": cell.decides,
        "concurrency": cell.concurrency,
        "workers": cell.workers_asked,
        "workers_seen": list(cell.seen),
        "workers_seen_by": sorted({window.seen_by for window in cell.shown} - {""}),
        "per_worker": cell.per_worker,
        "repeats": len(cell.shown),
        "n": cell.n,
        "ok": len(cell.ok),
        "success": cell.success,
        "wall_s": cell.wall_s,
        "in_flight": cell.in_flight,
        "throughput_per_s": asdict(cell.throughput),
        "each_per_s": list(cell.each),
        "response_time_s": {f"p{p}": _percentile(cell.percentile(p)) for p in (50, 95, 99)},
        "audio_per_s": cell.audio_per_s,
        "wer": {**asdict(cell.wer), "n": cell.wer_n},
        "misses": [objective.text for objective in cell.misses(of.settings.objectives)],
        "steady": cell.steady,
        "cold": {"cold": cold, "known": known},
        "split_s": cell.split or None,
        "worker_seconds": cell.worker_seconds,
        "usd": cell.usd,
        "usd_per_hour": cell.usd_per_hour,
        "usd_per_1000": cell.usd_per_1000,
        "usd_per_audio_hour": cell.usd_per_audio_hour,
        "relative": _relative(of, cell),
        "videos": None if made is None else asdict(made),
    }


def _relative(of: SweepResult, cell: SettingResult) -> dict[str, Any] | None:
    to = of.relative.get(cell.name)
    if to is None:
        return None
    plain = {"share": to.share, "contention": to.contention, "worth_it": to.worth, "refusal": to.refusal, "claim": to.claim}
    return {"multiplier": asdict(to.multiplier), "efficiency": _interval(to.efficiency), **plain}


def _interval(of: Interval) -> dict[str, Any] | None:
    return None if of.value is None else asdict(of)


def _percentile(of: Percentile) -> dict[str, Any]:
    return {"n": of.n, "value": of.value, "lower": of.lower, "upper": of.upper, "maximum": of.maximum}


def _stage(window: StageResult) -> dict[str, Any]:
    instants = {name: getattr(window, name) for name in ("begin_s", "ready_s", "start_s", "stop_s", "end_s")}
    named = {"stage": window.stage, "setting": window.cell, "repeat": window.repeat, "state": window.state, "why": window.why}
    counts = {"requests": len(window.requests), "ok": len(window.ok), "throughput_per_s": window.per_s, "wall_s": window.wall_s}
    return {**named, **instants, **counts, "in_flight": window.in_flight, "workers_seen": window.seen}
