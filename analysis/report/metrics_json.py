"""metrics.json: the figures of a run for other programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from coldburst.planner.what_if import as_data

from ..gate import objective_results
from ..gate.objective_metrics import MeasuredRun
from ..runs import locust_csv
from ..statistics.percentiles import Percentile, TimeSummary
from ..sweep_report.sweep_answer import SweepAnswer
from ..tables.attempt_tables import dispatched_again, events, failure_causes, retry_summary, run_polling
from ..tables.burst import BURST, Prediction, prediction
from ..tables.cold_starts import cold_starts
from ..tables.run_tables import Tables
from ..tables.scale_up import scale_up
from ..tables.units import units
from ..tables.videos import fleets, price_per_s, run_videos
from ..tables.what_if import run_what_if
from ..verdict.verdict import Verdict, lateness_limit_s

FORMAT = 1


def metrics(of: Tables, verdict: Verdict, answer: SweepAnswer | None = None) -> dict[str, Any]:
    """The content of metrics.json, described by metrics.schema.json; times are in seconds, null means not measured.

    ``sweep`` leaves the warm-up out, unlike the other figures. Plain Locust input has ``totals`` instead of all from ``ledger`` on.
    """
    about = of.run.about
    named = {key: about.get(key) for key in ("schedule", "seed", "state", "ended_by", "elapsed_s")}
    said = {"state": verdict.state, "reasons": list(verdict.reasons), "notes": list(verdict.notes)}
    swept = {"sweep": None if answer is None else answer.metrics()}
    body = (
        {**_measured(of, swept=answer is not None), **swept}
        if of.run.totals is None
        else {"totals": locust_csv.by_name(of.run.totals).to_dict("records")}
    )
    kept = objective_results.results_for_json(objective_results.own_results(MeasuredRun(of, verdict, answer)))
    content: dict[str, Any] = _plain({"format": FORMAT, "run": {"id": of.run.id, **named}, "verdict": said, "objectives": kept, **body})
    return content


def _measured(of: Tables, *, swept: bool) -> dict[str, Any]:
    book, late, flow = of.ledger, of.lateness, of.throughput
    return {
        "ledger": {
            "planned": book.planned,
            "counts": dict(book.counts),
            "missing": book.missing,
            "balanced": book.balanced,
            "ok_share": book.counts.get("ok", 0) / book.planned if book.planned else None,
        },
        "response_time_s": {policy: _sample(times) for policy, times in of.response.items()},
        "next_burst_s": _next_s(prediction(of), burst=True),
        "next_run_s": _next_s(prediction(of), burst=False),
        "what_if": _what_if(of),
        "service_time_s": {policy: _sample(times) for policy, times in of.service.items()},
        "lateness_s": {**_sample(late.times), "limit": lateness_limit_s(of), "held": late.held, "held_max": late.held_max_s},
        "throughput": {"ok": flow.ok, "wall_s": flow.wall_s, "per_s": flow.per_s, "offered_per_s": flow.offered_per_s},
        "audio": _audio(of),
        "tokens": _tokens(of),
        "units": _units(of),
        "objects": _objects(of),
        "videos": _videos(of, swept=swept),
        "endpoint": _endpoint(of),
        "cold": _cold(of),
        "tries": _tries(of),
        "why": failure_causes(of).to_dict("records"),
        "stages": of.stages.to_dict("records"),
        "events": events(of.run).set_index("kind").to_dict("index"),
    }


def _endpoint(of: Tables) -> dict[str, Any]:
    seen = run_polling(of)
    return {
        **{f"{name.replace(' ', '_')}_s": _sample(times) for name, times in of.queue_and_execution.items()},
        "dispatched_again": dispatched_again(of.requests),
        "polling": None if seen is None else {"late_s": _sample(seen.late), "polls": _sample(seen.polls)},
    }


def _what_if(of: Tables) -> dict[str, Any] | None:
    made = run_what_if(of)
    if made is None:
        return None
    nothing: dict[str, Any] = {"requests": 0, "planned": 0, "closed": False, "every_s": 0.0, "settings": []}
    return {"why": made.why, **(as_data(made.found) if made.found else nothing)}


def _cold(of: Tables) -> dict[str, Any]:
    found = cold_starts(of)
    return {
        "known": found.known,
        "cold": found.cold,
        "uncertain": found.uncertain,
        "share": found.share,
        "by": dict(found.by),
        "starts": found.starts,
        "cold_start_s": _sample(found.start_s),
        "response_time_s": {condition: _sample(times) for condition, times in found.response.items()},
        "parts": {part: _sample(times) for part, times in found.parts.items()},
        "whole": _sample(found.whole),
        "bounds": {"least_s": _sample(found.bounds[0]), "most_s": _sample(found.bounds[1])},
        "scale_up": _scale_up(of),
    }


def _scale_up(of: Tables) -> dict[str, Any] | None:
    found = scale_up(of)
    if found is None:
        return None
    return {"waited": found.waited, "of": found.of, "least_s": _sample(found.least_s), "most_s": _sample(found.most_s)}


def _tries(of: Tables) -> dict[str, Any] | None:
    found = retry_summary(of)
    if found is None:
        return None
    counts = {"requests": found.requests, "attempts": found.attempts, "amplification": found.amplification}
    return {**counts, "outcomes": found.outcomes.to_dict("records"), "success": found.success.to_dict("records")}


def _sample(times: TimeSummary) -> dict[str, Any]:
    return {
        "n": times.n,
        "left_out": times.left_out,
        **{f"p{p.percent}": p.value for p in times.percentiles},
        "max": times.maximum,
        "mean": times.mean,
        "intervals": {f"p{p.percent}": _ends(p) for p in times.percentiles},
    }


def _ends(of: Percentile) -> list[float | None] | None:
    return None if of.lower is None else [of.lower, of.upper]


def _audio(of: Tables) -> dict[str, Any] | None:
    heard = of.audio
    if heard is None:
        return None
    factors = {"real_time_factor_p50": heard.p50, "real_time_factor_p5": heard.p5}
    errors = {"wer_n": heard.wer_n, "wer_mean": heard.wer_mean, "wer_max": heard.wer_max}
    return {"n": heard.n, "seconds": heard.seconds, "per_s": heard.per_s, **factors, **errors}


def _tokens(of: Tables) -> dict[str, Any] | None:
    found = of.tokens
    if found is None:
        return None
    times = {"ttft_s": _sample(found.ttft), "per_token_s": _sample(found.per_token)}
    return {
        "n": found.n,
        **times,
        "gap_p50_s": found.gap_p50.at(50).value if found.gap_p50.n else None,
        "gap_p95_s": found.gap_p95.at(95).value if found.gap_p95.n else None,
        "gap_max_s": found.gap_max_s,
        "tokens_in": found.tokens_in,
        "tokens_out": found.tokens_out,
        "per_s": found.per_s,
        "counted": found.counted,
    }


def _units(of: Tables) -> dict[str, Any] | None:
    found = units(of)
    if found is None:
        return None
    each = {"per_s": found.per_s, "per_request": found.total / found.n, "usd_per_unit": found.usd}
    return {"name": found.name, "n": found.n, "of": found.of, "total": found.total, **each}


def _objects(of: Tables) -> dict[str, Any] | None:
    found = of.object_transfers
    if found is None:
        return None
    times = {f"{name}_s": _sample(getattr(found, name)) for name in ("upload", "download", "end_to_end")}
    return {**times, "retried": found.retried, "discarded": found.discarded, "pool": found.pool, "at_once": found.at_once}


def _videos(of: Tables, *, swept: bool) -> dict[str, Any] | None:
    """Phases, and what more workers would make of the same burst; a sweep has measured that instead."""
    found = run_videos(of)
    if found is None:
        return None
    phases = {
        phase.name: {"time_s": _sample(phase.times), "share": phase.share, "real_time_factor": phase.factor} for phase in found.phases
    }
    per_s = of.throughput.per_s
    return {
        "n": found.n,
        "seconds": found.audio_s,
        "per_hour": None if per_s is None else per_s * 3600,
        "phases": phases,
        "projection": [] if swept else [asdict(one) for one in fleets(of.ledger.planned, found.work_s, price_per_s(of))],
    }


def _plain(value: Any) -> Any:
    """``value`` with plain numbers, rounded to nine decimals, and null for NaN and infinity."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float):
        return round(value, 9) if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else None


def _next_s(ahead: Prediction | None, *, burst: bool) -> dict[str, list[float]] | None:
    """The prediction intervals of the next burst, or of the next run."""
    if ahead is None or (ahead.unit == BURST) != burst:
        return None
    return {f"p{percent}": list(ends) for percent, ends in ahead.ranges.items()}
