"""About ten requests that show the planner an endpoint: their schedule by its settings, and what they did not show.

Requests that are sent one at a time show the service time of a job alone, whatever the worker takes at once, and start no second worker.
Closed loops of N then hold N at a worker, which an open burst does for its first requests only. The cold request comes first and alone:
others would wait for its worker and tell nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldburst.planner.model.distributions import ENOUGH, FEW_VARY, Distribution
from coldburst.planner.model.fit import LEAST_EACH, Fit
from coldburst.planner.model.scenario import SPREAD
from coldburst.schedule.stages import Stage

# Requests one at a time where they are all that is sent, and before others are sent together: with the cold one and the first of those
# others, ENOUGH to show how service times vary.
ALL_ALONE, FIRST_ALONE = 10, 6
# Requests at a time: tried where nothing tells how many a worker takes, and the most that a balancer's setting leads to.
USUAL, MOST = 4, 16
COLD, ALONE, TOGETHER = "cold", "alone", "together"
BALANCED = "LOAD_BALANCER"


@dataclass(frozen=True, slots=True)
class Calibration:
    """The requests that are sent.

    Attributes:
        settings: of the endpoint, see ``targets.platform_facts``; empty for a service without workers that start.
        at_a_time: most requests at a time.
    """

    settings: Mapping[str, Any]
    at_a_time: int

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The schedule. Of ``together`` the first requests meet fewer others, and LEAST_EACH all of them."""
        cold = (Stage(COLD, count=1, concurrency=1),) if self.starts else ()
        if self.at_a_time == 1:
            return (*cold, Stage(ALONE, count=ALL_ALONE - len(cold), concurrency=1))
        together = Stage(TOGETHER, count=self.at_a_time - 1 + LEAST_EACH, concurrency=self.at_a_time)
        return (*cold, Stage(ALONE, count=FIRST_ALONE, concurrency=1), together)

    @property
    def starts(self) -> bool:
        """Whether the endpoint has no worker without load, so that the first request can meet a cold start."""
        return bool(self.settings) and not self.settings.get("workers_min")

    @property
    def places(self) -> int:
        """Requests at a time that one worker gets at a balancer, or a service of unknown workers."""
        return int(self.settings.get("scaler_value") or 1) if self.settings.get("type") == BALANCED else self.at_a_time


def calibration(settings: Mapping[str, Any], at_a_time: int | None = None) -> Calibration:
    """The requests for an endpoint with these settings.

    Args:
        at_a_time: requests at a time to try; None: as many as one worker gets by the settings, or USUAL where they do not tell.
    """
    return Calibration(settings, at_a_time or _at_a_time(settings))


def _at_a_time(settings: Mapping[str, Any]) -> int:
    """More than its value of REQUEST_COUNT would start a second worker, which takes part of them."""
    if settings.get("scaler") == "REQUEST_COUNT" or settings.get("type") == BALANCED:
        return min(int(settings.get("scaler_value") or 1), MOST if settings.get("type") == BALANCED else USUAL)
    return USUAL


def found(fit: Fit) -> list[tuple[str, str]]:
    """What the run showed: names and texts."""
    grows = "".join(f"; service time {factor:.3g} x at {jobs}" for jobs, factor in factors(fit).items() if jobs > 1)
    return [
        ("service time of a request alone", _times(fit.service)),
        ("requests at a time on a worker", f"at most {fit.concurrency} seen{grows}"),
        ("start of a worker", _times(fit.start) if fit.start else "not seen"),
        ("outside queue and worker", f"{fit.overhead_s:.3f} s" if fit.overhead_s else "not told by the answers"),
        ("workers that answered", f"{fit.workers}"),
    ]


def _times(of: Distribution) -> str:
    low, high, count = of.numbers[0], of.numbers[-1], len(of.numbers)
    return f"{low:.3g} s (1 seen)" if count == 1 else f"{low:.3g} to {high:.3g} s, mean {of.mean_s:.3g} s ({count} seen)"


def factors(fit: Fit) -> dict[int, float]:
    """How much longer a request takes by requests at a time, itself included, where that is known."""
    return {int(jobs): round(fit.curve.factor(int(jobs)), 4) for jobs in fit.curve.jobs}


def plain(fit: Fit) -> dict[str, Any]:
    """``found`` for JSON; times in seconds, as measured."""
    return {
        "service_s": list(fit.service.numbers),
        "curve": factors(fit),
        "at_a_time": fit.concurrency,
        "start_s": list(fit.start.numbers) if fit.start else [],
        "overhead_s": round(fit.overhead_s, 4),
        "workers": fit.workers,
    }


def unseen(of: Calibration, fit: Fit) -> Iterator[str]:
    """What a plan from this run assumes or refuses, each with what would show it."""
    yield from _unseen_starts(of, fit)
    yield from _unseen_at_a_time(of, fit)
    if not fit.spread_measured:
        yield f"how much workers differ: ±{SPREAD:.0%} is assumed; plan from a run with more workers, such as a burst of 30"
    if of.settings:
        yield "time-outs, limits and host choice of the platform: none was met, and plans assume RunPod's (--platform)"


def _unseen_starts(of: Calibration, fit: Fit) -> Iterator[str]:
    least = of.settings.get("workers_min")
    if fit.start is None and not of.settings:
        yield "starts of workers: this service shows none; plan with as many workers as it has (--workers-min N --workers-max N)"
    elif fit.start is None and least:
        yield f"a cold start: the endpoint keeps {least:g} ready; for plans with more, give --start and --load"
    elif fit.start is None:
        yield "a cold start: a worker was warm; calibrate again when none is up, or give --start and --load"
    elif of.settings.get("flashboot"):
        yield "whether that start was a FlashBoot resume or from nothing: give --start and --load for the other"
    if fit.start and fit.start.form == "measured" and len(fit.start.numbers) < ENOUGH:
        yield f"how much starts vary: plans take ±{FEW_VARY:.0%} at least; more cold starts: coldburst run coldstart"


def _unseen_at_a_time(of: Calibration, fit: Fit) -> Iterator[str]:
    tried, gets = of.at_a_time, of.settings.get("scaler_value") if of.settings.get("type") == BALANCED else None
    if gets and gets > fit.concurrency:
        yield f"{gets:g} requests at a time on a worker, the scaler's value: plans refuse it; --at-a-time {gets:g} tries it"
    elif tried == 1 and not gets:
        yield "more than 1 request at a time on a worker: not tried; --at-a-time 4 tries it"
    elif 1 < tried <= fit.concurrency:
        yield f"more than {tried} requests at a time on a worker: not tried; --at-a-time {2 * tried} tries it"
    if fit.concurrency > 1 and len(fit.curve.jobs) == 1:
        yield "how service times grow with requests at a time: too few answers beside others; give --service-curve"


def spent_s(about: Mapping[str, Any]) -> float | None:
    """Seconds of workers from second 0 until the last ones have idled out, by the worker list in run.json; None without it."""
    platform = about.get("platform")
    spans: Sequence[Mapping[str, Any]] = platform["workers"] if platform else ()
    if not platform or not spans:
        return None
    settings, end_s = platform["settings"], float(about["elapsed_s"])
    keeps = int(settings.get("workers_min") or 0)
    idle_s = float(settings.get("idle_timeout_s") or 0.0)
    tail_s = max(sum(span["gone_s"] is None for span in spans) - keeps, 0) * idle_s
    lives_s = (float(end_s if span["gone_s"] is None else span["gone_s"]) - max(float(span["start_s"]), 0.0) for span in spans)
    return tail_s + sum(max(life_s, 0.0) for life_s in lives_s)
