"""Queues with a known answer: Erlang's, and the arithmetic of the SDK's tick."""

import math
from statistics import fmean, stdev

import pytest

from coldburst.randomness import stream
from tests.support.virtual import AT_ONCE, endpoint, jump, prompt, simulation, submit

BATCHES, JOBS = 20, 600
T_99 = 2.861
"""Student's t with BATCHES - 1 degrees of freedom: 99 % of it lies within ± this."""


def erlang_c(servers, load):
    """The share of jobs that wait in M/M/c; ``load`` = arrival rate × mean service time, in servers.

    Source: Kleinrock, Queueing Systems I, 3.5.
    """
    term = load**servers / math.factorial(servers) * servers / (servers - load)
    return term / (sum(load**k / math.factorial(k) for k in range(servers)) + term)


def waits(servers, load, number, seed):
    """Seconds in the queue of so many jobs of mean service 1 s that arrive as a Poisson process of rate ``load``."""
    core = endpoint(seed=seed, platform={**AT_ONCE, "limits_on": False}, workers_min=servers, workers_max=servers)
    numbers, now, inputs, jobs = stream(seed, "arrivals"), 1.0, [], []
    for _ in range(number):
        now += numbers.expovariate(load)
        inputs.append((now, submit(core, into=jobs)))
    times = stream(seed, "service")
    jump(prompt(core, lambda job, _: times.expovariate(1.0)), inputs)
    assert [job.state for job in jobs] == ["COMPLETED"] * number
    return [job.delay_s for job in jobs]


def batch_means(servers, load, seed):
    """(mean wait, share that waits) of BATCHES batches of JOBS jobs of one run, after one batch to warm up."""
    found = waits(servers, load, (BATCHES + 1) * JOBS, seed)[JOBS:]
    batches = [found[number * JOBS : (number + 1) * JOBS] for number in range(BATCHES)]
    return [fmean(batch) for batch in batches], [fmean(wait > 0 for wait in batch) for batch in batches]


def interval(means):
    """Mean and half width at 99 %: batch means, t_19 × s / √20."""
    return fmean(means), T_99 * stdev(means) / math.sqrt(len(means))


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "load"), [(1, 0.6), pytest.param(3, 2.1, marks=pytest.mark.nightly)])
def test_many_jobs_on_c_workers_wait_as_erlang_says(servers, load):
    """M/M/c: P(wait) = C(c, a), mean wait = C(c, a) / (c − a) service times; e.g. M/M/1 at 0.6: 0.6 and 1.5 s.

    The interval is that of the batch means of one run (20 batches of 600 jobs after one to warm up; Student's t, 99 %).
    It must hold Erlang's value, and be so narrow that a neighbour's value lies outside.
    """
    share = erlang_c(servers, load)
    for means, true, neighbour in zip(
        batch_means(servers, load, seed=1),
        (erlang_c(servers, load) / (servers - load), share),
        (erlang_c(servers + 1, load) / (servers + 1 - load), erlang_c(servers + 1, load)),
        strict=False,
    ):
        mean, half = interval(means)
        assert abs(mean - true) <= half, (mean, half, true)
        assert abs(mean - neighbour) > half, "one worker more would pass as well"
        assert half < 0.3 * true


def test_erlang_c_is_the_textbooks():
    """M/M/1: the share that waits is the load. Two servers at one Erlang: 1/3."""
    assert erlang_c(1, 0.6) == pytest.approx(0.6)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("phase_s", [0.03, 0.05, 0.09])
def test_twenty_at_once_on_five_workers_of_one_are_four_batches(phase_s):
    """20 jobs of 60 s, 5 workers of concurrency 1 that were ready at 0; the burst comes at 10 + phase.

    Each worker has 20 / 5 = 4 jobs, one after the other.
    First job:  taken at 10 + phase at once; the loop that picks up looks at 10.1: begins 0.1 − phase later, ends at 70.1.
    Next job:   a full worker looks for work each whole second after its take: at 70 + phase the first still runs
                (70.1 > 70 + phase), so it is taken at 71 + phase: 61 s after the one before, not 60.
                Ticks of 0.1 s now count from the end at 70.1, and 71.1 is one of them: begins at 71.1, 61 s after the first.
    Starts:     10.1, 71.1, 132.1, 193.1; the last ends at 253.1.
    Wall:       4 × 60 (service) + 3 × 1 (the SDK's whole second) + 0.1 − phase (first pick-up) = 243.1 − phase.
    """
    core = endpoint(platform=AT_ONCE, workers_min=5, workers_max=5)
    jobs = []
    jump(simulation(core, 60.0), [(10.0 + phase_s, submit(core, into=jobs)) for _ in range(20)])
    assert max(job.finished_s for job in jobs) - (10.0 + phase_s) == pytest.approx(4 * 60 + 3 * 1 + 0.1 - phase_s, abs=1e-6)
    by_worker = {}
    for job in jobs:
        by_worker.setdefault(job.worker_id, []).append(job)
    assert [len(batch) for batch in by_worker.values()] == [4] * 5
    for batch in by_worker.values():
        assert [job.taken_s for job in batch] == pytest.approx([10 + phase_s + 61 * number for number in range(4)], abs=1e-6)
        assert [job.finished_s - 60 for job in batch] == pytest.approx([10.1, 71.1, 132.1, 193.1], abs=1e-6)
    assert [job.worker_id for job in jobs] == [job.worker_id for job in jobs[:5]] * 4, "first in, first out: batch by batch"


def test_without_the_tick_the_four_batches_take_four_services():
    core = endpoint(platform=AT_ONCE, workers_min=5, workers_max=5)
    jobs = []
    jump(prompt(core, lambda job, _: 30.0), [(10.05, submit(core, into=jobs)) for _ in range(20)])
    assert max(job.finished_s for job in jobs) == pytest.approx(10.05 + 4 * 30)
