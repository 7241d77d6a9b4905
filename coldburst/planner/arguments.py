"""The options of ``coldburst plan``: the endpoint, its workers, the traffic and the client; and what a run says of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from coldburst.planner.measured_run import KINDS, MOST_WORKERS, parameters_of, settings_of
from coldburst.planner.model import distributions, fit
from coldburst.planner.model.distributions import ALONE, Distribution, parse
from coldburst.planner.model.earlier_runs import starts
from coldburst.planner.model.scenario import SPREAD, Client, Scenario
from coldburst.record import prices, run_json
from coldburst.schedule import replay, stages
from coldburst.schedule.retries import Retries
from coldburst.schedule.stages import Stage
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.platform_settings import changed, platform_with
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.service_curve import ServiceCurve
from coldburst.service.process import number, whole

SCALERS = {"queue-delay": "QUEUE_DELAY", "request-count": "REQUEST_COUNT"}
EXAMPLE = "burst 30"
# Parameters of the platform that a plan has options of its own for.
ELSEWHERE = {"start_s": "--start", "load_s": "--load"}
DEFAULTS = {
    "workers_min": "the run's, else 0",
    "workers_max": "the run's, else 3",
    "concurrency": "the run's, else 1",
    "idle_timeout_s": "the run's, else 5",
}


class PlanError(ValueError):
    """The question is incomplete or wrong; one sentence with a remedy."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned for: the present setting, the traffic, and how much is known.

    Attributes:
        sources: of each assumption, for the answer: name and text.
    """

    scenario: Scenario
    stages: tuple[Stage, ...]
    sources: tuple[tuple[str, str], ...]


def add(parser: argparse.ArgumentParser, *, many: bool = False, traffic: bool = True, tried: Mapping[str, str] | None = None) -> None:
    """Adds the options.

    Args:
        many: settings take several values, as in 1,2,4 or 1..6.
        tried: by name of a setting, what is tried where it is not given.
    """
    _add_known(parser.add_argument_group("what is known of the endpoint").add_argument)
    title = "its settings" + (" (several values each: 1,2,4 or 1..6)" if many else "")
    _add_settings(parser.add_argument_group(title).add_argument, many, DEFAULTS | dict(tried or {}))
    if traffic:
        _add_traffic(parser.add_argument_group("traffic").add_argument)
    _add_client(parser.add_argument_group("client and price").add_argument)


def _add_known(option: Callable[..., Any]) -> None:
    option("--from", dest="run", type=Path, metavar="RUN", help="a run of this endpoint: times of service, starts and network come from it")
    option("--service-time", type=_time, metavar="TEXT", help=f"seconds of a job alone on its worker: {_times()}")
    option("--service-curve", type=_curve, metavar="N:S,…", help="seconds by jobs at a time on a worker, as in 1:0.284,64:0.439")
    option("--start", type=_time, metavar="TEXT", help="container start in seconds, as in 4 (default: 2)")
    option("--load", type=_time, metavar="TEXT", help="model load in seconds, as in lognormal:35:0.2 (default: 6)")
    option("--spread", type=number(0), metavar="SHARE", help=f"difference between workers, up and down (default: measured, else {SPREAD})")


def _add_settings(option: Callable[..., Any], many: bool, defaults: Mapping[str, str]) -> None:
    count: Any = _counts if many else whole(0, MOST_WORKERS)
    value: Any = _values if many else number(0)
    option("--kind", choices=KINDS, help="queue or load balancer (default: the run's, else queue)")
    option("--workers-min", type=count, metavar="N", help=f"minimum number of workers (default: {defaults['workers_min']})")
    option("--workers-max", type=count, metavar="N", help=f"maximum number of workers (default: {defaults['workers_max']})")
    option("--concurrency", type=count, metavar="N", help=f"jobs at a time on a worker (default: {defaults['concurrency']})")
    option(
        "--idle-timeout",
        dest="idle_timeout_s",
        type=value,
        metavar="S",
        help=f"seconds until an idle worker stops (default: {defaults['idle_timeout_s']})",
    )
    option("--scaler", choices=SCALERS, help="what adds workers (default: the run's, else queue-delay; request-count for a balancer)")
    option("--scaler-value", type=value, metavar="X", help="seconds in the queue, or requests per worker (default: the run's, else 4)")
    option("--flashboot", action="store_true", help="stopped workers are cached and resume fast")
    option(
        "--platform", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the platform, as in hold_s=60; help lists all"
    )


def _add_traffic(option: Callable[..., Any]) -> None:
    option("--schedule", metavar="TEXT", help=f"the load, as in '{EXAMPLE}' or 'steady 10m 0.5/s poisson' (default: the run's)")
    option("--arrivals", type=Path, metavar="PATH", help="recorded arrivals instead: a run, or a CSV or JSONL trace")
    option("--times", type=number(0.001), default=1.0, metavar="X", help="this many times the load of the schedule, as in 3 (default: 1)")
    option("--every", type=number(0), default=0.0, metavar="S", help="it comes again after S seconds: the minimum is billed until then")
    option("--speed", type=number(0.001), default=1.0, metavar="X", help="replay recorded arrivals this much faster (default: 1)")


def _add_client(option: Callable[..., Any]) -> None:
    option("--max-in-flight", type=whole(1, 10**6), metavar="N", help="cap of requests in flight (default: none)")
    option("--deadline", type=number(0.001), metavar="S", help="seconds after which a request is given up (default: never)")
    option("--retries", type=whole(0, 100), default=0, metavar="N", help="further tries of a rejected request (default: 0)")
    option("--price", metavar="GPU|USD", help="a GPU, as in 4090, or USD per worker-second, as in 0.00031 (default: the run's)")
    option("--seeds", type=whole(1, 10_000), default=20, metavar="N", help="simulated runs (default: 20)")


def question(asked: argparse.Namespace, defaults: dict[str, Any] | None = None) -> Question:
    """The question in parsed options; ``defaults`` replace settings that have several values.

    Raises:
        PlanError, FitError, RunJsonError, ScheduleError, PriceError, PolicyError.
    """
    about = run_json.read(asked.run) if asked.run else {}
    platform = _platform(asked.platform, parameters_of(about))
    present = _present(asked, about)
    found = fit.fit(asked.run, _places(asked, present | _given(defaults or {}))) if asked.run else None
    service, curve, seen, source = _service(asked, found)
    start, load, start_source, start_known = _start(asked, found)
    settings = {name: getattr(asked, name) for name in ("workers_min", "workers_max", "concurrency", "idle_timeout_s", "scaler_value")}
    settings |= defaults or {}
    kind = KINDS[asked.kind] if asked.kind else found.kind if found else "QUEUE"
    concurrency = settings.pop("concurrency")
    policy = _policy(kind, asked.scaler, asked.flashboot, settings, present)
    spread = asked.spread if asked.spread is not None else found.spread if found else SPREAD
    measured_spread = asked.spread is None and found is not None and found.spread_measured
    client = Client(asked.max_in_flight, asked.deadline, Retries(asked.retries), found.overhead_s if found else 0.0)
    scenario = Scenario(
        policy,
        platform,
        service,
        start,
        load,
        curve,
        concurrency=_at_a_time(policy, concurrency, found),
        spread=spread,
        spread_error=found.spread_error if measured_spread and found else 0.0,
        client=client,
        usd_per_s=_price(asked, about),
        every_s=getattr(asked, "every", 0.0),
        concurrency_seen=seen,
        workers_seen=found.workers if found and seen else 0,
        cold_seen=start_known,
        with_report=found is not None and asked.service_time is None and asked.service_curve is None,
    )
    sources = (
        ("service", source),
        ("start of a worker", start_source),
        ("workers differ", spread_text(spread) + (", measured" if measured_spread else ", assumed" if asked.spread is None else "")),
        *((("other settings", "those of the run"),) if present else ()),
        ("platform", "its default parameters" + _but(platform)),
    )
    return Question(scenario, traffic(asked, about), sources)


def spread_text(spread: float) -> str:
    """How much workers differ, in words."""
    return f"by ±{spread:.0%}" if spread >= 0.005 else "by less than 1%"


def _platform(settings: Sequence[str], usual: Mapping[str, Any]) -> Platform:
    for setting in settings:
        if option := ELSEWHERE.get(setting.partition("=")[0]):
            raise PlanError(f"'--platform {setting}': in a plan this is {option}, which takes distributions too")
    try:
        return platform_with(settings, usual)
    except ValueError as error:
        raise PlanError(str(error)) from None


def _but(platform: Platform) -> str:
    given = ", ".join(f"{name}={text}" for name, text in changed(platform).items())
    return f" but {given}" if given else ""


def _places(asked: argparse.Namespace, given: Mapping[str, Any]) -> int:
    """Requests at a time that a balancer forwards to a worker."""
    stated = asked.scaler_value if isinstance(asked.scaler_value, float) else None
    return max(int(stated or given.get("scaler_value") or 1), 1)


def _at_a_time(policy: Policy, stated: int | None, found: fit.Fit | None) -> int:
    if policy.kind == "LOAD_BALANCER":
        return int(policy.scaler_value)
    return stated if stated is not None else found.concurrency if found else 1


def traffic(asked: argparse.Namespace, about: dict[str, Any]) -> tuple[Stage, ...]:
    """The stages of the traffic in question. Raises PlanError and ScheduleError."""
    if asked.arrivals or (asked.run and not asked.schedule and _only_recorded(about)):
        if asked.times != 1:
            raise PlanError("--times multiplies a schedule's rates and counts: for recorded arrivals use --speed, or give a --schedule")
        return replay.recorded_arrivals(asked.arrivals or asked.run, asked.speed)
    if not (text := asked.schedule or about.get("schedule")):
        raise PlanError(f"which traffic? Give --schedule '{EXAMPLE}', --arrivals TRACE, or --from RUN")
    return tuple(_multiplied(stage, asked.times) for stage in stages.parse(text))


def _only_recorded(about: dict[str, Any]) -> bool:
    return "as recorded" in (about.get("schedule") or "")


def _multiplied(stage: Stage, times: float) -> Stage:
    if times == 1:
        return stage
    if stage.closed:
        return replace(stage, concurrency=max(round((stage.concurrency or 0) * times), 1))
    if stage.duration_s is None:
        return Stage(stage.name, count=max(round((stage.count or 0) * times), 1))
    return Stage(stage.name, stage.duration_s, None, stage.rate * times, stage.rate_end * times, stage.poisson, stage.free)


def _service(asked: argparse.Namespace, found: fit.Fit | None) -> tuple[Distribution, ServiceCurve, int, str]:
    if asked.service_curve:
        service, curve = asked.service_curve
        return asked.service_time or service, curve, 0, "as given by --service-curve"
    if asked.service_time:
        return asked.service_time, found.curve if found else ALONE, 0, f"{asked.service_time} s, as given"
    if found:
        text = f"{found.service}; at most {found.concurrency} at a time on a worker"
        return found.service, found.curve, found.concurrency, text
    raise PlanError(
        "how long does a job take? Give --from RUN of this endpoint, or --service-time 5 (also exp:5, uniform:4:6, lognormal:5:0.3)"
    )


def _start(asked: argparse.Namespace, found: fit.Fit | None) -> tuple[Distribution, Distribution, str, bool]:
    nothing, usual = Distribution("fixed", (0.0,)), parse(f"{Platform().start_s}")
    if asked.start or asked.load:
        start, load = asked.start or usual, asked.load or nothing
        return start, load, f"{start} s and load {load} s, as given", True
    if found:
        begun = starts(asked.run, found)
        return begun.time, nothing, f"{begun.time}{' s' if begun.assumed else ''}{', ' if begun.why else ''}{begun.why}", not begun.assumed
    load = parse(f"{Platform().load_s}")
    return usual, load, f"{usual} s and load {load} s, assumed: give --start and --load", True


def _present(asked: argparse.Namespace, about: Mapping[str, Any]) -> dict[str, Any]:
    """The run's settings, without those that go with another kind or scaler than is asked for."""
    present = settings_of(about)
    if asked.kind and present.get("kind") != KINDS[asked.kind]:
        return {}
    if asked.scaler and present.get("scaler") != SCALERS[asked.scaler]:
        present.pop("scaler_value", None)
    return present


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _policy(kind: str, scaler: str | None, flashboot: bool, settings: Mapping[str, Any], present: Mapping[str, Any]) -> Policy:
    given = dict(present) | _given(settings)
    if settings["workers_max"] is None:
        given["workers_max"] = max(present.get("workers_max", 3), given.get("workers_min", 0))
    usual = "QUEUE_DELAY" if kind == "QUEUE" else "REQUEST_COUNT"
    given["scaler"] = SCALERS[scaler] if scaler else present.get("scaler", usual)
    return Policy(**given | {"kind": kind, "flashboot": flashboot or present.get("flashboot", False)})


def _price(asked: argparse.Namespace, about: Mapping[str, Any]) -> float:
    """The price that is given, or that the run was given, or the catalogue's at its time."""
    if text := asked.price or (about.get("options") or {}).get("price"):
        return prices.read(text, date.today()).usd_per_s
    platform = about.get("platform")
    said = platform.get("price") if isinstance(platform, dict) else None
    usd_per_s = said.get("usd_per_s") if isinstance(said, dict) else None
    return float(usd_per_s) if isinstance(usd_per_s, int | float) and 0 < usd_per_s < 1 else 0.0


def _time(text: str) -> Distribution:
    try:
        return distributions.parse(text)
    except distributions.DistributionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _curve(text: str) -> tuple[Distribution, ServiceCurve]:
    try:
        return distributions.curve_and_service(text)
    except distributions.DistributionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _times() -> str:
    return "5, exp:5 (mean), uniform:4:6, lognormal:5:0.3 (median, spread), range:4:60 (not known where between)"


def _counts(text: str) -> Sequence[int]:
    return [int(value) for value in _values(text, whole_ones=True)]


def _values(text: str, *, whole_ones: bool = False) -> Sequence[float]:
    """``1,2,4``, ``1..6`` or both."""
    read: Any = whole(0, MOST_WORKERS) if whole_ones else number(0)
    found: list[float] = []
    for word in text.split(","):
        low, dots, high = word.partition("..")
        if not dots:
            found.append(read(word))
            continue
        first, last = whole(0, MOST_WORKERS)(low), whole(0, MOST_WORKERS)(high)
        if last < first:
            raise argparse.ArgumentTypeError(f"'{word}' goes down: write it as in '{last}..{first}'")
        found += range(first, last + 1)
    return sorted(set(found))
