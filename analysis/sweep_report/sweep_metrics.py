"""A sweep's figures for other programs: the "sweep" of metrics.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..statistics.intervals import Interval
from ..statistics.percentiles import Percentile
from ..sweep.decision import Decision
from ..sweep.memory_plan import workers_that_fit
from ..sweep.setting_result import SettingResult
from ..sweep.stage_result import StageResult
from ..sweep.sweep_result import SweepResult
from ..sweep.usl import Usl


def metrics(of: SweepResult, decision: Decision, notes: list[str]) -> dict[str, Any]:
    """What ``metrics_json.metrics`` says under "sweep"; an interval is an object of value, lower, upper and basis."""
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
        "memory": None if of.settings.card is None else {**asdict(of.settings.card), "fit": workers_that_fit(of.settings.card)},
        "settings": [_setting(of, cell) for cell in of.cells],
        "stages": [_stage(window) for window in of.stages],
    }


def _name(cell: SettingResult | None) -> str | None:
    return None if cell is None else cell.name


def _law(law: Usl) -> dict[str, Any]:
    figures = {name: asdict(getattr(law, name)) for name in ("rate", "sigma", "kappa", "peak")}
    return {**figures, "peak_note": law.peak_note, "r_squared": law.r_squared, "misfit": law.misfit, "levels": list(law.levels)}


def _setting(of: SweepResult, cell: SettingResult) -> dict[str, Any]:
    cold, known = cell.cold
    return {
        "setting": cell.name,
        "state": cell.state,
        "why": cell.why,
        "decides": cell.decides,
        "concurrency": cell.concurrency,
        "workers": cell.workers_asked,
        "workers_seen": list(cell.seen),
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
    }


def _relative(of: SweepResult, cell: SettingResult) -> dict[str, Any] | None:
    to = of.relative.get(cell.name)
    if to is None:
        return None
    plain = {"share": to.share, "contention": to.contention, "worth_it": to.worth, "refusal": to.refusal}
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
