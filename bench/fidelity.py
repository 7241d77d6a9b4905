"""The platform model beside public traces of RunPod, in virtual time: docs/fidelity.md.

    python -m bench.fidelity            # prints the page, in a few seconds
    python -m bench.fidelity --write    # writes it

Each replay gets what the trace says of its circumstances (settings, service times, the first worker's start) and is compared in
what follows from them. Bounds were chosen before the replays were run. CR: alexostapiuk11/coldstart-recon-worker, paid runs
of August to October 2026; GPnn: the golden paths in runpod/runpod-plugins-official, live in July and August 2026.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldburst.randomness import stream
from coldburst.serverless.actions import Action, Changed, Forward
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.job import Job
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.quantiles import Quantiles, draw
from coldburst.serverless.simulation.driver import Simulation, WorkerResult
from coldburst.serverless.simulation.modelled_worker import ModelledWorker
from coldburst.serverless.simulation.service_curve import ServiceCurve, parse_curve

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fidelity.md"
STARTS = 1000
LB_SECONDS = 30.0
Event = tuple[float, Action | WorkerResult]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a trace and of the model; ``bound``: how far they may differ, None = shown without a bound; "" = no unit."""

    trace: str
    what: str
    unit: str
    measured: float
    modelled: float
    bound: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the model is within the bound."""
        return None if self.bound is None else abs(self.modelled - self.measured) <= self.bound


@dataclass(slots=True)
class Replay:
    """An endpoint with modelled workers, in virtual time."""

    core: Endpoint
    simulation: Simulation

    def play(self, inputs: Sequence[tuple[float, Callable[[float], object]]], until_s: float) -> list[Event]:
        """Everything that is reported until ``until_s``."""
        events: list[Event] = []
        for at_s, call in [*inputs, (until_s, None)]:
            while (wake_s := self.simulation.wake_s()) is not None and wake_s <= at_s:
                events += [(wake_s, action) for action in self.simulation.pump(wake_s)]
            if call:
                call(at_s)
        return events


def replay(policy: Policy, platform: Platform, service_s: float, seed: int = 0, curve: ServiceCurve | None = None, **worker: Any) -> Replay:
    """A fresh endpoint; its modelled workers take ``service_s`` a job."""
    core, numbers = Endpoint(policy, platform, seed=seed), itertools.count()
    loads, reports = stream(seed, "load"), stream(seed, "report")
    reported = policy.kind == "QUEUE"

    def make(worker_id: str) -> ModelledWorker:
        return ModelledWorker(
            worker_id,
            load_s=draw(platform.load_s, loads),
            service=lambda job, rng: service_s,
            rng=stream(next(numbers), "service"),
            curve=curve,
            report=(lambda: draw(platform.report_s, reports)) if reported else float,
            **worker,
        )

    return Replay(core, Simulation(core, make))


def submissions(core: Endpoint, at_s: Iterable[float], jobs: list[Job]) -> list[tuple[float, Callable[[float], object]]]:
    return [(instant, lambda now: jobs.append(core.submit({"input": {"n": 1}}, now))) for instant in at_s]


def burst_of_two() -> list[Figure]:
    """CR fixtures/a2_recon: two jobs on a cold endpoint, the second 0.18 s later; the first was taken after 18.5 s."""
    platform = Platform(start_s=4.5, load_s=14.0)
    run, jobs = replay(Policy(workers_max=2, scaler_value=4.0), platform, 150.0), list[Job]()
    run.play(submissions(run.core, (0.0, 0.18), jobs), 400.0)
    delays = [job.delay_s or math.nan for job in jobs]
    trace = "CR, burst of two, QUEUE_DELAY 4"
    workers = len({job.worker_id for job in jobs})
    return [
        Figure(trace, "first delay (given)", "s", 18.5, delays[0]),
        Figure(trace, "second delay", "s", 24.3, delays[1], 2.0),
        Figure(trace, "workers", "", 2, workers, 0),
    ]


def balancer(cap: int, service_s: float, rate: float, curve: ServiceCurve | None = None) -> tuple[float, float, float]:
    """Two ready workers, an arrival every 1 / rate s for 30 s: answers per second, the first worker's share, the median client time."""
    policy = Policy("LOAD_BALANCER", workers_min=2, workers_max=2, scaler="REQUEST_COUNT", scaler_value=cap)
    run = replay(policy, Platform(start_s=0.0, load_s=0.0), service_s, concurrency=cap, curve=curve)
    core, begun_s = run.core, 1.0
    arrivals = [begun_s + number / rate for number in range(round(LB_SECONDS * rate))]
    calls = [(at_s, lambda now, name=str(number): core.arrive(name, now)) for number, at_s in enumerate(arrivals)]
    events = run.play(calls, 400.0)
    answers = {action.request_id: at_s for at_s, action in events if isinstance(action, WorkerResult)}
    workers = Counter(action.worker_id for _, action in events if isinstance(action, Forward))
    share = 100 * max(workers.values()) / workers.total()
    client_s = statistics.median(answers[name] - arrivals[int(name)] for name in answers)
    return len(answers) / (max(answers.values()) - begun_s), share, client_s


def probe_1() -> list[Figure]:
    """CR data/a2/lb-probes/probe-1: cap 4, two workers, P50 of the engine 0.311 s; what was offered made no difference."""
    trace = "CR, balancer probe 1, cap 4"
    found = []
    for rate, client_s in ((25, 3.8), (50, 21.7), (100, 52.0)):
        answered, _, modelled_s = balancer(4, 0.311, rate)
        found.append(Figure(trace, f"throughput at {rate}/s offered", "/s", 17.1, answered, 1.0))
        found.append(Figure(trace, f"client P50 at {rate}/s", "s", client_s, modelled_s + NETWORK_S))
    return found


NETWORK_S = 0.21
"""CR: client P50 − engine P50 in probe 3 up to 300/s, which the model does not have."""
PROBE_3 = parse_curve("8:0.318,17:0.331,37:0.370,91:0.462,99:0.473,112:0.488")
"""The engine's P50 in probe 3 by its requests at a time (rate × P50)."""


def probe_3() -> list[Figure]:
    """CR data/a2/lb-probes/probe-3: cap 128, two workers; the share of the first."""
    trace = "CR, balancer probe 3, cap 128"
    found = []
    for rate, share, client_s in (
        (25, 100, 0.533),
        (50, 100, 0.542),
        (100, 100, 0.583),
        (200, 98.7, 0.677),
        (300, 70.2, 0.687),
        (450, 51.0, 0.793),
    ):
        _, modelled, modelled_s = balancer(128, PROBE_3.at(1), rate, PROBE_3)
        found.append(Figure(trace, f"first worker's share at {rate}/s", "%", share, modelled, 5.0))
        found.append(Figure(trace, f"client P50 at {rate}/s", "s", client_s, modelled_s + NETWORK_S))
    return found


GP13 = {"workers_max": 3, "idle_timeout_s": 5.0, "flashboot": True}


def running(events: Iterable[Event], number: int) -> float:
    """When so many workers ran at once for the first time; infinity = never."""
    at_work: set[str] = set()
    for at_s, action in events:
        if isinstance(action, Changed):
            (at_work.add if action.state == "RUNNING" else at_work.discard)(action.worker_id)
            if len(at_work) == number:
                return at_s
    return math.inf


def snapshot(jobs: Sequence[Job], at_s: float) -> tuple[int, int]:
    """Jobs in the queue and in progress at an instant."""
    taken = [job for job in jobs if job.taken_s is not None and job.taken_s <= at_s]
    return len(jobs) - len(taken), sum(job.finished_s is None or job.finished_s > at_s for job in taken)


def gp13_cold() -> list[Figure]:
    """GP13, REQUEST_COUNT 1, six jobs of 8 s from zero workers: the first was dispatched by 8 s."""
    trace = "GP13, REQUEST_COUNT 1, cold burst of 6"
    run, jobs = replay(Policy(scaler="REQUEST_COUNT", scaler_value=1, **GP13), Platform(), 8.0), list[Job]()
    events = run.play(submissions(run.core, [0.0] * 6, jobs), 200.0)
    found = [
        Figure(trace, "all done", "s", 52.0, max(job.finished_s or math.inf for job in jobs), 6.0),
        Figure(trace, "workers that ran", "", 2, len({job.worker_id for job in jobs}), 0),
        Figure(trace, "second worker initializing, seen at", "s", 12.0, nth_start(events, 2)),
        Figure(trace, "two running, seen at", "s", 32.0, running(events, 2)),
    ]
    return found + snapshots(trace, jobs, 0.0, ((2, 6, 0), (8, 5, 1), (18, 4, 1), (32, 3, 1)))


def nth_start(events: Iterable[Event], number: int) -> float:
    started = [at_s for at_s, action in events if isinstance(action, Changed) and action.state in ("PULLING", "STARTING")]
    return started[number - 1] if len(started) >= number else math.inf


def snapshots(trace: str, jobs: Sequence[Job], begun_s: float, seen: Iterable[tuple[float, int, int]]) -> list[Figure]:
    found = []
    for at_s, waiting, working in seen:
        queued, in_progress = snapshot(jobs, begun_s + at_s)
        found.append(Figure(trace, f"in queue at {at_s:g} s", "", waiting, queued))
        found.append(Figure(trace, f"in progress at {at_s:g} s", "", working, in_progress))
    return found


def warmed(policy: Policy, warm: int) -> tuple[Replay, float]:
    """An endpoint whose ``warm`` workers FlashBoot caches, and an instant by then."""
    run = replay(policy.changed(workers_min=warm), Platform(), 8.0)
    run.play([(30.0, lambda now: run.core.change(now, workers_min=0))], 120.0)
    return run, 120.0


def gp13_warm() -> list[Figure]:
    """GP13, the same with nine jobs and three workers "ready" but not running."""
    trace = "GP13, REQUEST_COUNT 1, 9 jobs, 3 warm"
    run, begun_s = warmed(Policy(scaler="REQUEST_COUNT", scaler_value=1, **GP13), 3)
    jobs: list[Job] = []
    events = run.play(submissions(run.core, [begun_s] * 9, jobs), 400.0)
    found = [Figure(trace, "three running", "s", 16.0, running(events, 3) - begun_s, 4.0)]
    return found + snapshots(trace, jobs, begun_s, ((2, 7, 2), (16, 6, 3), (34, 1, 3)))


def gp13_delay() -> list[Figure]:
    """GP13, QUEUE_DELAY 4, six jobs and two warm workers."""
    trace = "GP13, QUEUE_DELAY 4, 6 jobs, 2 warm"
    run, begun_s = warmed(Policy(scaler_value=4.0, **GP13), 2)
    jobs: list[Job] = []
    events = run.play(submissions(run.core, [begun_s] * 6, jobs), 400.0)
    found = [
        Figure(trace, "all done, seen at", "s", 34.0, max(job.finished_s or math.inf for job in jobs) - begun_s),
        Figure(trace, "two running, seen at", "s", 8.0, running(events, 2) - begun_s),
        Figure(trace, "workers that ran", "", 2, len({job.worker_id for job in jobs})),
    ]
    return found + snapshots(trace, jobs, begun_s, ((2, 6, 0), (8, 4, 2), (24, 1, 1)))


# Jobs of the burst came so far apart, by their delays. CR's delay of a job at a warm worker: 0.127 s.
GP18_GAP_S, HAND_OVER_S = (0.151 - 0.056) / 3, 0.127


def gp18() -> list[Figure]:
    """GP18, one warm worker, four jobs that wait 5 s, with and without a time in which the platform collects jobs."""
    found = []
    for hand_over_s in (HAND_OVER_S, 0.0):
        platform = Platform(hand_over_s=hand_over_s)
        trace = f"GP18, 4 jobs of 5 s at concurrency 4, hand_over_s {hand_over_s:g}"
        run, jobs = replay(Policy(workers_min=1, workers_max=1), platform, 5.0, concurrency=4), list[Job]()
        run.play(submissions(run.core, [60.0 + n * GP18_GAP_S for n in range(4)], jobs), 200.0)
        delays = [1000 * ((job.taken_s or math.nan) - job.submitted_s) for job in jobs]
        found += [
            Figure(trace, "longest delay", "ms", 151.0, max(delays)),
            Figure(trace, "shortest delay", "ms", 56.0, min(delays)),
            Figure(trace, "all done, seen at", "s", 5.66, max(job.finished_s or math.inf for job in jobs) - 60.0),
        ]
    trace = f"GP18, 4 jobs of 5 s at concurrency 1, hand_over_s {HAND_OVER_S:g}"
    run, jobs = replay(Policy(workers_min=1, workers_max=1), Platform(hand_over_s=HAND_OVER_S), 5.0), list[Job]()
    run.play(submissions(run.core, [60.0 + n * GP18_GAP_S for n in range(4)], jobs), 200.0)
    taken = [job.taken_s or math.nan for job in jobs]
    gaps = [after - before for before, after in itertools.pairwise(taken)]
    return [
        *found,
        Figure(trace, "all done, seen at", "s", 25.2, max(job.finished_s or math.inf for job in jobs) - 60.0),
        Figure(trace, "time between starts", "s", 6.4, statistics.mean(gaps)),
    ]


ARMS = (("nothing cached", 81.12, 96.27, 96.35), ("weights cached", 65.43, 85.93, 86.38), ("weights and compiled", 39.37, 54.84, 54.93))
"""CR data/analysis.json: total of 100 cold starts each, P50, P90 and P95."""
PLATFORM_S = 4.5
"""CR: the platform's part, medians 4.1 to 4.8 s; the least of a total is not published, and taken as 10 s below its median."""


def cold_start_arms() -> list[Figure]:
    """CR data/analysis.json, FlashBoot off: starts drawn from each arm's percentiles, one job each on an endpoint without workers."""
    found = []
    for arm, p50_s, p90_s, p95_s in ARMS:
        parts = (p50_s - 10, p50_s, p90_s, p95_s, p95_s + 1)
        loads = Quantiles((0, 50, 90, 95, 100), tuple(part - PLATFORM_S for part in parts))
        run, jobs = replay(Policy(workers_max=1, idle_timeout_s=1.0), Platform(start_s=PLATFORM_S, load_s=loads), 0.1), list[Job]()
        run.play(submissions(run.core, [number * 300.0 for number in range(STARTS)], jobs), STARTS * 300.0)
        delays = sorted(job.delay_s or math.inf for job in jobs)
        for percent, measured_s in ((50, p50_s), (95, p95_s)):
            modelled_s = delays[math.ceil(percent / 100 * STARTS) - 1]
            found.append(Figure(f"CR, cold starts, {arm}", f"P{percent}", "s", measured_s, modelled_s, 0.05 * measured_s))
    return found


RUNS: tuple[Callable[[], list[Figure]], ...] = (burst_of_two, probe_1, probe_3, gp13_cold, gp13_warm, cold_start_arms, gp13_delay, gp18)
"""The six fixtures, and two without bounds."""


def figures() -> list[Figure]:
    """All of them, in order."""
    return [figure for run in RUNS for figure in run()]


HEAD = """\
# The model beside RunPod

The emulator's platform model, replayed in virtual time against public traces of RunPod, figure by figure. `python -m bench.fidelity
--write` writes this page, and a test compares the two. Bounds were set before the replays were run; a figure without a bound is
shown, not tested. Where a parameter is fitted to a figure, the figure only shows that the model can follow the trace; predicted
figures show more.

CR: [alexostapiuk11/coldstart-recon-worker](https://github.com/alexostapiuk11/coldstart-recon-worker), paid runs of August to October
2026. GP: the golden paths of [runpod/runpod-plugins-official](https://github.com/runpod/runpod-plugins-official), live in July and
August 2026. What the traces do not show is unverified: `python -m coldburst emulator --platform help` says so for each parameter.
"""
NOTES = {
    "CR, burst of two": "Predicted from the first worker's start.",
    "CR, balancer probe 1": "`slot_s` is fitted to the throughput; the client's P50 is not fitted.",
    "CR, balancer probe 3": "Predicted from `slot_s` and the engine's times in the same probe. RunPod served 450/s; in the model a\n"
    "place is held for 0.16 s longer at any load, so it falls behind there.",
    "GP13, REQUEST_COUNT 1, cold": "`rise_s` is fitted to the end. The trace saw the second worker initialize long before it ran; the\n"
    "model starts it late instead.",
    "GP13, REQUEST_COUNT 1, 9": "`rise_cached_s` is fitted to the third worker. The trace has two jobs in progress after 2 s and\n"
    "none done after 16 s, which jobs of 8 s do not explain.",
    "CR, cold starts": "By construction: starts are drawn from the trace's percentiles. This tests the draws, and the way from a start\n"
    "to a job's delay.",
    f"GP18, 4 jobs of 5 s at concurrency 4, hand_over_s {HAND_OVER_S:g}": "The trace's worker has SDK 1.7.6, which begins jobs\n"
    "together only if they come together. That SDK, unmodified, in the emulator: 5.4 s in all, 10 s without `hand_over_s`. In the\n"
    "trace's first burst, soon after another job, 3 of the 4 began together, and so they do in the emulator (10.4 s).",
    "GP13, QUEUE_DELAY": "Not fitted. The trace stayed at two workers; the model adds the third.",
}


def page(found: Sequence[Figure]) -> str:
    """docs/fidelity.md."""
    bounded = [figure.holds for figure in found if figure.holds is not None]
    parts = [HEAD, f"{sum(bounded)} of {len(bounded)} figures with a bound are within it."]
    for trace, group in itertools.groupby(found, key=lambda figure: figure.trace):
        parts += ["", f"## {trace}", ""]
        if note := next((note for start, note in NOTES.items() if trace.startswith(start)), ""):
            parts += [note, ""]
        parts += ["| figure | RunPod | model | difference | bound |", "|---|---|---|---|---|", *map(_row, group)]
    return "\n".join(parts) + "\n"


def _row(figure: Figure) -> str:
    unit = figure.unit and (figure.unit if figure.unit.startswith("/") else f" {figure.unit}")
    bound = "" if figure.bound is None else f"± {figure.bound:.3g}{unit}, {'within' if figure.holds else '**outside**'}"
    modelled = "never" if math.isinf(figure.modelled) else f"{figure.modelled:.3g}{unit}"
    difference = "" if math.isinf(figure.modelled) else f"{figure.modelled - figure.measured:+.2g}{unit}"
    return f"| {figure.what} | {figure.measured:.3g}{unit} | {modelled} | {difference} | {bound} |"


def main() -> int:
    parser = argparse.ArgumentParser(description="The platform model beside public traces of RunPod")
    parser.add_argument("--write", action="store_true", help="write docs/fidelity.md instead of printing it")
    text = page(figures())
    if parser.parse_args().write:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
