"""Long runs of the whole platform, set up as a textbook's queue, against the textbook's mean response time."""

from functools import partial
from statistics import fmean, stdev

import pytest

from coldburst.planner.model import theory
from coldburst.planner.model.simulate import simulate
from coldburst.planner.processes import processes
from coldburst.record.attempt import response_s
from coldburst.schedule import stages
from tests.planner.test_simulate import fixed

# Student's t by the number of runs (degrees of freedom and one): 95 % and 99 % of it lie within ± these.
STUDENT = {10: (2.262, 3.250), 20: (2.093, 2.861)}
WITHIN = 0.02
# Runs, and arrivals of each, so that the 95 % interval of the mean is within ± 2 %: the busier and the fewer the servers, the more.
# Source: Whitt, Planning queueing simulations, Management Science 1989: the variance of the mean grows as 1 / (1 - load)^4.
SIMULATED = {
    ("exp:1", 1, 0.5): (10, 20_000),
    ("exp:1", 1, 0.8): (20, 110_000),
    ("exp:1", 1, 0.9): (20, 325_000),
    ("exp:1", 5, 0.5): (10, 10_000),
    ("exp:1", 5, 0.8): (10, 60_000),
    ("exp:1", 5, 0.9): (20, 220_000),
    ("exp:1", 20, 0.5): (10, 10_000),
    ("exp:1", 20, 0.8): (10, 20_000),
    ("exp:1", 20, 0.9): (20, 60_000),
    ("1", 1, 0.5): (10, 20_000),
    ("1", 1, 0.8): (10, 80_000),
    ("uniform:0:2", 1, 0.8): (10, 120_000),
    ("lognormal:0.8:0.668", 1, 0.8): (10, 160_000),
}
VARIANCES = {"exp:1": 1.0, "1": 0.0, "uniform:0:2": 1 / 3}


def mean_response_s(service, servers, load, arrivals, seed):
    """Of one run."""
    rate = servers * load
    found = simulate(fixed(servers, service), stages.parse(f"steady {arrivals / rate:.3f}s {rate}/s poisson free"), seed)
    return fmean(map(response_s, found.rows))


@pytest.mark.nightly
@pytest.mark.parametrize(("service", "servers", "load"), SIMULATED)
def test_mean_response_times_are_those_of_queueing_theory(service, servers, load):
    """M/M/c, M/D/1 and M/G/1: the exact mean lies in the 99 % interval of the runs, whose 95 % interval is at most ± 2 %."""
    law = fixed(servers, service).service
    assert law.mean_s == pytest.approx(1.0, abs=2e-4)
    assert law.variance == pytest.approx(VARIANCES.get(service, law.variance))
    exact_s = law.mean_s + theory.mgc_wait_s(servers * load, law.mean_s, law.variance, servers)
    runs, arrivals = SIMULATED[service, servers, load]
    run = partial(mean_response_s, service, servers, load, arrivals)
    with processes(runs) as pool:
        means = pool(run, list(range(runs))) if pool else list(map(run, range(runs)))
    error_s = stdev(means) / runs**0.5
    t_95, t_99 = STUDENT[runs]
    assert t_95 * error_s <= WITHIN * exact_s
    assert abs(fmean(means) - exact_s) <= t_99 * error_s
