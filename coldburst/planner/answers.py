"""The answers as text: one sentence first, then a table, then what it rests on; and the same as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, astuple
from typing import Any

from coldburst.planner.arguments import Question
from coldburst.planner.model import theory
from coldburst.planner.model.scenario import SETTINGS, Scenario
from coldburst.planner.predict import Prediction, Range, a_day, figure_text, ranges_text
from coldburst.planner.search import Rated, Recommendation
from coldburst.record.objectives import Objective

SHORT = {
    "workers_min": "min",
    "workers_max": "max",
    "idle_timeout_s": "idle time-out s",
    "scaler": "scaler",
    "scaler_value": "scaler value",
    "concurrency": "at a time",
    "flashboot": "FlashBoot",
}
# A rate at which P95 is this many times that of the lowest rate is beyond the cliff.
CLIFF = 3.0
DAY_S = 86400.0
PHASES = ("start_s", "execution_s", "idle_s")


def predicted(question: Question, one: Prediction) -> str:
    """The answer of ``predict``."""
    scenario = question.scenario
    head = (
        f"P95 {_seconds(one['p95_s'])}, P50 {_seconds(one['p50_s'])}; {one['ok'].median:,.0f} of {_count(one.planned, 'request')} ok"
        f"{_timeouts(one)}; {_cost(one)}."
    )
    rows = [
        ("P50 / P95 / P99 response time", " / ".join(_seconds(one[name]) for name in ("p50_s", "p95_s", "p99_s"))),
        ("ok per second", _range(one["throughput_per_s"])),
        ("requests that met a cold start", _range(one["cold"], _whole)),
        ("worker-seconds: start, execution, idle", ", ".join(f"{one[name].median:,.0f}" for name in PHASES)),
        ("worker-seconds in all", _range(one["worker_s"], _whole)),
    ]
    return "\n".join([head, "", *_lines(rows), "", *_sanity(question), *_standby(scenario), *_basis(question, len(one.runs))])


def swept(question: Question, rated: Sequence[Rated], axes: Sequence[str], objectives: Sequence[Objective]) -> str:
    """The answer of ``sweep``: a row a setting, the cheapest first."""
    ordered = sorted(rated, key=lambda one: (one.cost, one.prediction["p95_s"].median))
    useful = _useful(ordered)
    rows = [_setting_row(one, axes, objectives, "*" if one in useful else "") for one in ordered]
    head = f"{_count(len(rated), 'setting')}; * marks those that no other one beats in both cost and P95."
    if objectives:
        holding = [one for one in ordered if one.holds]
        said = f"{_objectives(objectives)} in nine of ten runs"
        if holding:
            cheapest = _setting(holding[0].prediction.scenario, axes)
            head += f" 1 meets {said}: {cheapest}." if len(holding) == 1 else f" {len(holding)} meet {said}; the cheapest: {cheapest}."
        else:
            head += f" None meets {said}: coldburst plan recommend says which limit binds."
    return "\n".join(
        [
            head,
            "",
            *_settings(question, axes, objectives, rows),
            "",
            *_basis(question, len(ordered[0].prediction.runs)),
        ]
    )


def recommended(question: Question, found: Recommendation, objectives: Sequence[Objective]) -> str:
    """The answer of ``recommend``."""
    said = _objectives(objectives)
    if found.best is None:
        head = f"None of {_count(found.tried, 'setting')} meets {said} in nine of ten runs. {found.limit}."
        shown = found.verified or found.closest
    else:
        best = found.best.prediction
        head = (
            f"{_setting(best.scenario, SETTINGS)}: the cheapest of {_count(found.tried, 'setting')} that meets {said}, in "
            f"{found.best.met:.0%} of {_count(len(best.runs), 'simulated run')}. P95 {_seconds(best['p95_s'])}; {_cost(best)}."
        )
        shown = (found.best, *found.neighbours)
    axes = [name for name in ("workers_min", "workers_max", "idle_timeout_s", "concurrency", "scaler_value") if _differ(shown, name)]
    rows = [_setting_row(one, axes, objectives, "<" if one is found.best else "") for one in shown]
    note = ["", "One step away from it, with the same arrivals:"] if found.best else []
    runs = len(shown[0].prediction.runs) if shown else 0
    standby = _standby(found.best.prediction.scenario) if found.best else []
    return "\n".join([head, *note, "", *_settings(question, axes, objectives, rows), "", *standby, *_basis(question, runs)])


def rates(question: Question, found: Sequence[tuple[float, Prediction]]) -> str:
    """The answer of ``whatif``."""
    base_s = found[0][1]["p95_s"].median
    beyond = next((index for index, (_, one) in enumerate(found) if not one["p95_s"].median <= CLIFF * base_s), None)
    if beyond is None:
        head = f"This setting carries up to {found[-1][0]:.3g}/s: P95 stays within {CLIFF:g} times that of {found[0][0]:.3g}/s."
    elif beyond == 0:
        head = f"This setting answers nothing at {found[0][0]:.3g}/s."
    else:
        head = (
            f"This setting carries {found[beyond - 1][0]:.3g}/s and breaks by {found[beyond][0]:.3g}/s: "
            f"P95 goes from {figure_text(found[beyond - 1][1]['p95_s'].median)} s to {figure_text(found[beyond][1]['p95_s'].median)} s."
        )
    rows = [
        (
            f"{one_rate:.3g}/s",
            _seconds(one["p50_s"]),
            _seconds(one["p95_s"]),
            f"{one['not_ok'].median / max(one.planned, 1):.1%}",
            _per_day(one, one["end_s"].median),
            "cliff" if index == beyond else "",
        )
        for index, (one_rate, one) in enumerate(found)
    ]
    table = _table(("rate", "P50", "P95", "not ok", _unit_day(question), ""), rows)
    return "\n".join([head, "", *table, "", *_basis(question, len(found[0][1].runs))])


def workers(question: Question, rate_per_s: float, found: Sequence[Rated], objectives: Sequence[Objective]) -> str:
    """The answer of ``workers``."""
    best = found[-1]
    count = best.prediction.scenario.policy.workers_max
    scenario = question.scenario
    alone_s = scenario.service.mean_s * scenario.curve.factor(scenario.concurrency) / scenario.concurrency
    head = (
        f"{_count(count, 'worker')} always on {'carries' if count == 1 else 'carry'} {rate_per_s:g}/s within {_objectives(objectives)} in "
        f"{best.met:.0%} of {_count(len(best.prediction.runs), 'simulated run')}: P95 {_seconds(best.prediction['p95_s'])}."
    )
    rows = [_setting_row(one, ("workers_max",), objectives, "<" if one is best else "") for one in found]
    wait_s = theory.mgc_wait_s(rate_per_s, alone_s, scenario.service.variance * (alone_s / scenario.service.mean_s) ** 2, count)
    textbook = theory.mmc_response_percentile_s(rate_per_s, alone_s, count, 0.95)
    notes = [
        f"Little's law: {rate_per_s:g}/s x {alone_s:.3g} s of a worker = {rate_per_s * alone_s:.3g} workers busy on average, "
        f"{theory.utilisation(rate_per_s, alone_s, count):.0%} of {count}.",
        "Erlang C, which knows neither the platform nor how times vary, gives "
        f"P95 {figure_text(textbook)} s for {_count(count, 'worker')}.",
        f"With the variance of these times (M/G/c) the mean wait is {figure_text(wait_s)} s.",
    ]
    return "\n".join([head, "", *_settings(question, ("workers_max",), objectives, rows), "", *notes, *_basis(question, 0)])


def idle(question: Question, rate_per_s: float, found: Sequence[Prediction]) -> str:
    """The answer of ``idle``."""
    ordered = sorted(found, key=lambda one: one["worker_s"].median / one["end_s"].median)
    cheapest = ordered[0]
    head = (
        f"Cheapest at {rate_per_s:g}/s: {_setting(cheapest.scenario, ('workers_min', 'idle_timeout_s'))}, where "
        f"{_cold_share(cheapest):.0%} of requests meet a cold start; {_per_day(cheapest, cheapest['end_s'].median)} {_unit_day(question)}."
    )
    rows = [
        (
            str(one.scenario.policy.workers_min),
            f"{one.scenario.policy.idle_timeout_s:g}",
            f"{_cold_share(one):.1%}",
            _seconds(one["p50_s"]),
            _seconds(one["p95_s"]),
            f"{one['start_s'].median:,.0f}",
            f"{one['idle_s'].median:,.0f}",
            _per_day(one, one["end_s"].median),
        )
        for one in ordered
    ]
    table = _table(("min", "idle time-out s", "cold", "P50", "P95", "start s", "idle s", _unit_day(question)), rows)
    return "\n".join([head, "", *table, "", *_basis(question, len(cheapest.runs))])


def as_data(one: Prediction) -> dict[str, Any]:
    """A prediction for JSON; figures without a value are null. A day has the load again and again, or as --every says."""
    day, usd_per_s = a_day(one), one.scenario.usd_per_s
    of_day = {"worker_s_a_day": day} | ({"usd_a_day": Range(*(end * usd_per_s for end in astuple(day)))} if usd_per_s else {})
    ranges = {
        name: {key: None if math.isnan(value) else round(value, 6) for key, value in asdict(value_range).items()}
        for name, value_range in {**one.ranges, **of_day}.items()
    }
    return {
        "settings": one.scenario.settings,
        "runs": len(one.runs),
        "planned": one.planned,
        "outcomes": dict(one.outcomes),
        "figures": ranges,
    }


def _useful(ordered: Sequence[Rated]) -> list[Rated]:
    """Of settings in order of cost those whose P95 no cheaper one reaches."""
    found: list[Rated] = []
    for one in ordered:
        if not found or one.prediction["p95_s"].median < found[-1].prediction["p95_s"].median:
            found.append(one)
    return found


def _settings(question: Question, axes: Sequence[str], objectives: Sequence[Objective], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table of settings, with USD if the price is known."""
    usd, met = (("USD",) if question.scenario.usd_per_s else ()), (("met",) if objectives else ())
    return _table((*(SHORT[name] for name in axes), "P50", "P95", "not ok", "worker-seconds", *usd, *met, ""), rows)


def _setting_row(one: Rated, axes: Sequence[str], objectives: Sequence[Objective], mark: str) -> tuple[str, ...]:
    figures, settings = one.prediction, one.prediction.scenario.settings
    usd = (figure_text(figures["usd"].median),) if figures.scenario.usd_per_s else ()
    return (
        *(_plain(settings[name]) for name in axes),
        _seconds(figures["p50_s"]),
        _seconds(figures["p95_s"]),
        f"{figures['not_ok'].median:,.0f}",
        f"{figures['worker_s'].median:,.0f}",
        *usd,
        *((f"{one.met:.0%}",) if objectives else ()),
        mark,
    )


def _differ(rated: Sequence[Rated], name: str) -> bool:
    return len({one.prediction.scenario.settings[name] for one in rated}) > 1 or name in ("workers_min", "workers_max")


def _setting(scenario: Scenario, axes: Sequence[str]) -> str:
    settings, queue = scenario.settings, scenario.policy.kind == "QUEUE"
    words = {
        "workers_min": "min workers {}",
        "workers_max": "max workers {}",
        "idle_timeout_s": "idle time-out {} s",
        "concurrency": "{} at a time",
        "scaler_value": "scaler value {}" + (" s" if settings["scaler"] == "QUEUE_DELAY" else ""),
    }
    shown = [name for name in axes if name in words and not (name == "concurrency" and not queue)]
    return ", ".join(words[name].format(_plain(settings[name])) for name in shown)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seconds(found: Range) -> str:
    return _range(found) + " s"


def _range(found: Range, write: Callable[[float], str] = figure_text) -> str:
    if math.isnan(found.median):
        return "none"
    shown = [write(value) for value in (found.median, found.low, found.high)]
    return shown[0] if shown[1] == shown[2] else f"{shown[0]} ({shown[1]} to {shown[2]})"


def _count(number: float, noun: str) -> str:
    return f"{number:,.0f} {noun}{'' if round(number) == 1 else 's'}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _timeouts(one: Prediction) -> str:
    count = one["queue_timeouts"].median
    return f", {count:,.0f} given up by the platform" if count else ""


def _cost(one: Prediction) -> str:
    usd = one["usd"]
    return f"{_range(usd)} USD" if usd.median else f"{one['worker_s'].median:,.0f} worker-seconds"


def _per_day(one: Prediction, lasts_s: float) -> str:
    usd = one["usd"].median
    of_day = (usd or one["worker_s"].median / 3600) * DAY_S / lasts_s
    return figure_text(of_day)


def _unit_day(question: Question) -> str:
    return "USD a day" if question.scenario.usd_per_s else "worker-hours a day"


def _cold_share(one: Prediction) -> float:
    return one["cold"].median / max(one.planned, 1)


def _objectives(objectives: Sequence[Objective]) -> str:
    return ", ".join(one.text for one in objectives)


def _standby(scenario: Scenario) -> list[str]:
    """What the minimum of workers costs without traffic."""
    least = scenario.policy.workers_min
    if not least:
        return []
    a_day = f"{figure_text(least * DAY_S * scenario.usd_per_s)} USD" if scenario.usd_per_s else f"{least * 24} worker-hours"
    billed = f"once every {scenario.every_s:g} s" if scenario.every_s else "of this traffic alone: --every says how often it comes"
    return [f"The minimum of {least} costs {a_day} a day, traffic or not; the cost above is {billed}."]


def _sanity(question: Question) -> list[str]:
    """Little's law for each stage with a rate."""
    scenario = question.scenario
    alone_s = scenario.service.mean_s * scenario.curve.factor(scenario.concurrency) / scenario.concurrency
    most = scenario.policy.workers_max
    return [
        f"Little's law, stage {stage.name}: {stage.rate_end:.3g}/s x {alone_s:.3g} s of a worker = {stage.rate_end * alone_s:.3g} workers "
        f"busy, {theory.utilisation(stage.rate_end, alone_s, most):.0%} of {most}"
        + (": more than there are." if stage.rate_end * alone_s >= most else ".")
        for stage in question.stages
        if stage.rate_end and most
    ]


def _basis(question: Question, runs: int) -> list[str]:
    return [*([ranges_text(runs)] if runs else []), "It rests on:", *_lines(question.sources)]


def _lines(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}}  {text}" for name, text in rows]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    return ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (header, *rows)]
