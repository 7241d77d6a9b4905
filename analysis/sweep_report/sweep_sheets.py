"""The tables of a sweep as text."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..statistics.intervals import Interval
from ..statistics.percentiles import Percentile
from ..sweep import ratios
from ..sweep.decision import Decision, usd_text
from ..sweep.ratios import memory_plan, workers_that_fit
from ..sweep.setting_result import SettingResult
from ..sweep.stage_result import StageResult
from ..sweep.sweep_result import SweepResult
from ..sweep.usl import Usl
from ..text.number_format import NONE, number, percent, plural, seconds
from ..text.sheet import Sheet
from .video_sheet import video_sheet

KEYS = {"concurrency": "Requests at a time", "scaling": "Endpoint workers", "matrix": "Concurrency"}


def sweep_sheets(of: SweepResult) -> list[Sheet]:
    """Every table that the sweep can fill, except the decision."""
    axis = "endpoint workers" if of.settings.by_workers else "the achieved concurrency"
    made = [settings_sheet(of), _percentiles(of), _load(of), _relative(of), video_sheet(of), _costs(of)]
    made += [_quality(of), _split(of), law_sheet(of.law, axis), *_memory(of), _stages(of)]
    return [sheet for sheet in made if sheet.rows]


def policies_sheet(of: SweepResult, decision: Decision) -> Sheet:
    """The three policies side by side."""
    rows = tuple(
        (
            choice.policy,
            NONE if choice.cell is None else choice.cell.name,
            "yes" if choice is decision.main else "no",
            "; ".join(part for part in (choice.why, choice.which) if part),
            choice.change or NONE,
        )
        for choice in decision.choices
    )
    head = ("Policy", "Setting", "Decides", "Because", "What would change it")
    rules = "; ".join(f"{choice.policy}: {choice.rule}" for choice in decision.choices)
    return Sheet("Decision", head, rows, f"{rules[0].upper()}{rules[1:]}.", aside=True)


def settings_sheet(of: SweepResult) -> Sheet:
    """The main table: the result of each setting."""
    wer, costs = any(cell.wer_n for cell in of.cells), of.settings.price is not None
    rows = tuple(tuple(_setting(of, cell, wer, costs)) for cell in of.cells)
    head = ["Setting", "State", "n", "ok", "Throughput", "95 % interval", "P50", "P95", "P99"]
    head += ["WER"] * wer + ["USD per 1,000"] * costs + [limit.text for limit in of.settings.objectives]
    remark = "Throughput: ok per s of wall time, mean over repeats; failures do not count. "
    remark += "Percentiles: nearest rank of response times answered ok."
    knee = f" Knee: {of.knee.name}, the smallest setting within {percent(of.settings.gain)} of the best throughput." if of.knee else ""
    return Sheet("Settings", tuple(head), rows, remark + knee)


def _setting(of: SweepResult, cell: SettingResult, wer: bool, costs: bool) -> Iterator[str]:
    yield from (cell.name, cell.state, f"{cell.n:,}", percent(cell.success))
    yield from (number(cell.throughput.value, "per s"), ends(cell.throughput))
    yield from (seconds(cell.percentile(p).value) for p in (50, 95, 99))
    if wer:
        yield percent(cell.wer.value)
    if costs:
        yield usd_text(cell.usd_per_1000)
    missed = cell.misses(of.settings.objectives)
    yield from (("no" if limit in missed else "yes") if cell.n else NONE for limit in of.settings.objectives)


def ends(of: Interval, share: bool = False) -> str:
    """``1.2 to 3.4``, or why there is no interval."""
    say = percent if share else number
    return (of.basis if of.value is not None else NONE) if of.lower is None else f"{say(of.lower)} to {say(of.upper)}"


def _remarked(of: Percentile) -> str:
    if of.value is None:
        return NONE
    if of.lower is not None and not of.maximum:
        return f"{seconds(of.value)} ({seconds(of.lower)} to {seconds(of.upper)})"
    return f"{seconds(of.value)} ({sample_remark(of)})"


def sample_remark(of: Percentile) -> str:
    """Why a percentile has no interval: a small sample, or correlated answers."""
    above = of.n - max(-(-of.n * of.percent // 100), 1)
    return of.remark if of.maximum or of.alike else f"n = {of.n} with {plural(above, 'value')} above it, too few for an interval"


def _percentiles(of: SweepResult) -> Sheet:
    rows = tuple((cell.name, f"{len(cell.ok):,}", *(_remarked(cell.percentile(p)) for p in (50, 95, 99))) for cell in of.cells if cell.n)
    several = any(len(cell.each) > 1 for cell in of.cells)
    once = "cover this run only: from order statistics, or from blocks of time if successive answers are correlated"
    basis = "cover the repeats: Student's t on their percentiles" if several else once
    head = ("Setting", "n", "P50 (95 % interval)", "P95 (95 % interval)", "P99 (95 % interval)")
    return Sheet("Response time by setting", head, rows, f"Requests answered ok, all repeats together. Intervals {basis}.")


def _load(of: SweepResult) -> Sheet:
    rows = tuple(map(_loaded, (cell for cell in of.cells if cell.n)))
    head = (
        "Setting",
        "At a time, requested",
        "In flight",
        "Workers requested",
        "Seen",
        "Repeats",
        "Wall",
        "Throughput, least to most",
        "Steady",
        "Cold",
    )
    remark = "In flight: sum of done − sent ÷ wall. Seen: distinct worker ids in answers, otherwise as seen by the control. "
    remark += "Steady: the halves of the sending time differ by at most 10 %, or by no more than chance does."
    return Sheet("Load by setting", head, rows, remark)


def _loaded(cell: SettingResult) -> tuple[str, ...]:
    cold, known = cell.cold
    spread = f"{number(min(cell.each))} to {number(max(cell.each))} per s" if len(cell.each) > 1 else NONE
    return (
        cell.name,
        _whole(cell.concurrency),
        number(cell.in_flight),
        _whole(cell.workers_asked),
        ", ".join(map(str, cell.seen)) or NONE,
        str(len(cell.shown)),
        seconds(cell.wall_s),
        spread,
        {True: "yes", False: "no", None: NONE}[cell.steady],
        percent(cold / known) if known else NONE,
    )


def _whole(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"


def _relative(of: SweepResult) -> Sheet:
    if of.baseline is None:
        return Sheet("", (), ())
    rows = tuple(_compared(of, cell) for cell in of.deciding)
    common = (KEYS[of.settings.question], "Wall", "Multiplier", "95 % interval")
    remark = f"Multiplier = throughput ÷ that of {of.baseline.name}, equal to its wall ÷ wall if both did the same work without failures. "
    if of.settings.by_workers:
        target = f"target > {percent(ratios.TARGET)}, below {percent(ratios.BOTTLENECK)} look for a bottleneck."
        remark += f"Efficiency = (R_n ÷ R_1) ÷ (n ÷ n_1); {target}"
        return Sheet("Scaling", (*common, "Scaling efficiency", "95 % interval"), rows, remark)
    remark += "Contention = 1 − multiplier ÷ (c ÷ c of the baseline), lower is better. Savings = 1 − 1 ÷ multiplier, in worker-seconds; "
    last = ("Contention", f"≥ {of.settings.worth:g} c?", "Savings at equal wall time", "Workers needed")
    return Sheet(
        "Multiplier and contention", (*common, *last), rows, remark + "workers needed for the baseline's wall = workers ÷ multiplier."
    )


def _compared(of: SweepResult, cell: SettingResult) -> tuple[str, ...]:
    to, base = of.relative[cell.name], cell is of.baseline
    times = to.multiplier
    common = (cell.name, seconds(cell.wall_s), number(times.value, "×"), NONE if base else ends(times))
    if of.settings.by_workers:
        told = f"none: {to.refusal}" if to.refusal else percent(to.efficiency.value)
        return (*common, told, NONE if base or to.refusal else ends(to.efficiency, share=True))
    needed = ratios.workers_needed(cell.workers, times.value) if cell.workers and times.value else None
    return (
        *common,
        percent(to.contention),
        "baseline" if base else {True: "yes", False: "no", None: NONE}[to.worth],
        NONE if base or not times.value else percent(ratios.savings(times.value)),
        NONE if needed is None else f"{math.ceil(needed - 1e-9)} ({number(needed)})",
    )


def _costs(of: SweepResult) -> Sheet:
    rows = tuple(map(_cost, (cell for cell in of.deciding if cell.worker_seconds is not None)))
    head = ("Setting", "Workers", "Worker-seconds", "USD", "USD per hour", "USD per 1,000 ok", "USD per audio hour")
    price = of.settings.price
    remark = (
        "Worker-seconds = workers × wall of one repeat; compare them for equal work. Start-up, idle time and warm-up are not included. "
    )
    remark += (
        f"Price: {number(price.usd_per_s)} USD per worker-second, {price.name}, {price.source}, {price.date}." if price else "No price."
    )
    return Sheet("Cost", head, rows, remark)


def _cost(cell: SettingResult) -> tuple[str, ...]:
    paid = (cell.usd, cell.usd_per_hour, cell.usd_per_1000, cell.usd_per_audio_hour)
    return (cell.name, _whole(cell.workers), number(cell.worker_seconds), *map(usd_text, paid))


def _quality(of: SweepResult) -> Sheet:
    rows = tuple(
        (
            cell.name,
            f"{cell.wer_n:,}",
            percent(cell.wer.value),
            ends(cell.wer, share=True),
            "no" if cell.name in of.unfit else "yes",
        )
        for cell in of.deciding
        if cell.wer_n
    )
    remark = "Mean word error rate of requests answered ok. A setting cannot win if it is worse than the baseline, by the interval of the "
    remark += "difference (by more than a point if n is below 30), or has too many failures."
    return Sheet("Quality under load", ("Setting", "n", "WER", "95 % interval", "May win"), rows, remark)


def _split(of: SweepResult) -> Sheet:
    rows = tuple((cell.name, *(seconds(part) for part in cell.split.values())) for cell in of.cells if cell.split)
    remark = "Means of requests answered ok. Queue excludes the cold start; the rest is network, platform and polling."
    return Sheet("Where the time goes", ("Setting", "Queue", "Cold start", "Execution", "Rest"), rows, remark)


def law_sheet(law: Usl | str, axis: str) -> Sheet:
    """The fitted law with N as ``axis``, or why there is none."""
    title, head, form = "Universal Scalability Law", ("", "Value", "95 % interval", "Meaning"), "X(N) = λN ÷ (1 + σ(N − 1) + κN(N − 1))"
    if isinstance(law, str):
        return Sheet(title, head, (("no fit", NONE, NONE, law),), f"{form}.", aside=True)
    peak = law.peak
    end = "no upper end" if peak.upper is None else number(peak.upper)
    rows = (
        ("λ", number(law.rate.value, "per s"), ends(law.rate), "throughput at N = 1"),
        ("σ", f"{law.sigma.value:.4f}", f"{law.sigma.lower:.4f} to {law.sigma.upper:.4f}", "contention: serial share of the work"),
        (
            "κ",
            f"{law.kappa.value:.2g}",
            f"{law.kappa.lower:.2g} to {law.kappa.upper:.2g}",
            "coherency: cost that each adds to others",
        ),
        (
            "N*",
            NONE if law.peak_note else number(peak.value),
            NONE if law.peak_note or peak.lower is None else f"{number(peak.lower)} to {end}",
            law.peak_note or "throughput peaks here: sqrt((1 − σ) ÷ κ)",
        ),
    )
    remark = f"{form}, N is {axis}; R² = {law.r_squared:.3f}; points deviate by {percent(law.misfit)} of the mean."
    return Sheet(title, head, rows, remark, aside=True)


def _memory(of: SweepResult) -> Iterator[Sheet]:
    card = of.settings.card
    if card is None:
        return
    rows = tuple((str(n), number(usage, "GB"), percent(share), "yes" if fits else "no") for n, usage, share, fits in memory_plan(card))
    room = f" × {percent(card.headroom)}" if card.headroom < 1 else ""
    sizes = f"({number(card.vram_gb)} GB{room} − {number(card.shared_gb)}) ÷ {number(card.per_worker_gb)}"
    remark = f"{workers_that_fit(card)} fit: floor({sizes}); "
    remark += "usage(n) = shared + n × per worker. Calculated from the figures given, not measured."
    yield Sheet("Memory plan", ("Workers on the card", "Usage", "Share of the card", "Fits"), rows, remark)


def _stages(of: SweepResult) -> Sheet:
    rows = tuple(map(_stage, sorted(of.stages, key=_begin)))
    head = ("Stage", "Setting", "Repeat", "State", "Settling", "Sending", "ok", "Throughput", "95 % interval within", "Why")
    remark = "Settling: from the change of settings until the endpoint showed it. The warm-up is only in attempts.csv."
    return Sheet("Stages of the sweep", head, rows, remark, aside=True)


def _begin(window: StageResult) -> float:
    return next((at for at in (window.begin_s, window.start_s) if at is not None), math.inf)


def _stage(window: StageResult) -> tuple[str, ...]:
    return (
        window.stage,
        window.cell,
        str(window.repeat),
        window.state,
        _between(window.begin_s, window.ready_s),
        _between(window.start_s, window.stop_s),
        f"{len(window.ok):,} of {len(window.requests):,}",
        number(window.per_s, "per s"),
        ends(window.within),
        window.why or NONE,
    )


def _between(first: float | None, last: float | None) -> str:
    return NONE if first is None or last is None else seconds(last - first)
