"""The core beside queueing theory: with textbook servers it must be an M/M/c queue."""

import math

import pytest
from scipy import stats

from rig.schedule import stream
from tests.virtual import AT_ONCE, endpoint, jump, prompt, submit

BATCHES, BATCH = 20, 400


def erlang_c(servers, offered):
    """Probability that an arrival must wait; offered = arrival rate / service rate. Source: Kleinrock, Queueing Systems I, 3.5."""
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)


def simulated(servers, rate, seed):
    """Waits of the jobs, in seconds, at ``servers`` workers of service rate 1/s; the first batch is left out (an empty start)."""
    core, jobs = endpoint(platform=AT_ONCE, workers_min=servers, workers_max=servers), []
    arrivals, at_s, inputs = stream(seed, "arrivals"), 0.0, []
    for _ in range(BATCH * (BATCHES + 1)):
        at_s += arrivals.expovariate(rate)
        inputs.append((at_s, submit(core, into=jobs)))
    jump(prompt(core, lambda job, rng: rng.expovariate(1.0)), inputs)
    assert {job.state for job in jobs} == {"COMPLETED"}
    return [job.delay_s for job in jobs[BATCH:]]


def interval(values):
    """99 % interval of the mean by batch means: the batches' means are all but independent, though neighbours in a queue are not;
    Student's t with one degree of freedom less than there are batches. Source: Law and Kelton, 9.5.3."""
    means = [sum(values[start : start + BATCH]) / BATCH for start in range(0, len(values), BATCH)]
    assert len(means) == BATCHES
    mean = sum(means) / BATCHES
    spread = math.sqrt(sum((value - mean) ** 2 for value in means) / (BATCHES - 1) / BATCHES)
    half = stats.t.ppf(0.995, BATCHES - 1) * spread
    return mean - half, mean + half


@pytest.mark.parametrize(("servers", "rate"), [(1, 0.5), (3, 2.1), (8, 5.6)])
def test_waits_are_those_of_erlang_c(servers, rate):
    waits = simulated(servers, rate, seed=7)
    must_wait = erlang_c(servers, rate)
    for values, expected in (
        (waits, must_wait / (servers - rate)),  # mean wait: C / (c mu - lambda)
        ([wait > 0 for wait in waits], must_wait),
        ([wait > 0.25 for wait in waits], must_wait * math.exp((rate - servers) * 0.25)),  # P(W > t) = C exp(-(c mu - lambda) t)
    ):
        lower, upper = interval(values)
        assert lower <= expected <= upper
        assert upper - lower < expected  # an interval that tells something


def test_erlang_c_itself():
    assert erlang_c(1, 0.5) == pytest.approx(0.5)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert erlang_c(3, 2.0) == pytest.approx(4 / 9)
