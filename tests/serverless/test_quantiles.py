"""Random times from tables of percentiles, and service times over the jobs at a worker."""

import pytest

from coldburst.randomness import stream
from coldburst.serverless.platform_parameters import RESUME
from coldburst.serverless.quantiles import Quantiles, draw, parse_quantiles
from coldburst.serverless.simulation.service_curve import parse_curve
from tests.support.virtual import AT_ONCE, endpoint, jump, simulation, submit


def test_values_lie_between_the_points_of_the_table():
    table = parse_quantiles("1@0,2@50,6@100")
    assert table == Quantiles((0, 50, 100), (1, 2, 6)) == parse_quantiles(str(table))
    assert [table.at(percentile) for percentile in (0, 25, 50, 75, 100)] == [1, 1.5, 2, 4, 6]


def test_draws_have_the_tables_percentiles():
    rng = stream(1, "resume")
    drawn = sorted(draw(RESUME, rng) for _ in range(20_000))
    assert drawn[0] >= 0.56 and drawn[-1] <= 42.0
    for percentile, value in ((50, 1.0), (90, 2.0), (95, 2.3)):
        assert sum(second <= value for second in drawn) / 200 == pytest.approx(percentile, abs=1)


def test_two_humps():
    rng = stream(2, "load")
    drawn = [draw(parse_quantiles("4@0,6@70,60@70,80@100"), rng) for _ in range(5000)]
    assert not any(6 < value < 60 for value in drawn)
    assert sum(value <= 6 for value in drawn) / 5000 == pytest.approx(0.7, abs=0.02)


def test_a_constant_draws_nothing():
    rng = stream(3, "load")
    state = rng.getstate()
    assert (draw(2.5, rng), rng.getstate()) == (2.5, state)


@pytest.mark.parametrize(
    "text", ["", "1", "x@0,1@100", "1@0", "2@0,1@100", "1@5,2@100", "1@0,2@90", "-1@0,2@100", "nan@0,1@100", "1@0,inf@100"]
)
def test_what_is_no_table(text):
    with pytest.raises(ValueError, match="table of percentiles"):
        parse_quantiles(text)


def test_a_service_curve_is_linear_between_its_points_and_flat_outside():
    curve = parse_curve("1:0.2,3:0.4,5:1")
    assert [curve.at(jobs) for jobs in (1, 2, 3, 4, 5, 9)] == pytest.approx([0.2, 0.3, 0.4, 0.7, 1.0, 1.0])
    assert (curve.factor(3), parse_curve(str(curve))) == (pytest.approx(2.0), curve)
    assert parse_curve("8:0.318,17:0.331").at(1) == 0.318


@pytest.mark.parametrize("text", ["", "0.5", "0:1", "2:1,1:2", "1:0", "1:x", "1:inf"])
def test_what_is_no_service_curve(text):
    with pytest.raises(ValueError, match="is not a service curve"):
        parse_curve(text)


def test_a_job_takes_as_long_as_the_curve_says_for_the_jobs_at_its_worker():
    core = endpoint(platform=AT_ONCE, workers_max=1)
    jobs: list = []
    driven = simulation(core, 4.0, load_s=0.0, concurrency=2, curve=parse_curve("1:1,2:3"), speed=0.5)
    jump(driven, [(0.0, submit(core, into=jobs)), (0.2, submit(core, into=jobs))], until_s=60.0)
    # The first starts alone at 0.1 s, the second beside it.
    assert [job.output["service_s"] for job in jobs] == [2.0, 6.0]


# hosts


def pulls(core):
    return [entry[2] for entry in core.log if entry[1] == "Changed" and entry[3] == "PULLING"]


def test_a_host_that_has_the_image_is_preferred():
    core = endpoint(platform={**AT_ONCE, "pull_s": 30.0}, workers_max=1, idle_timeout_s=1.0)
    jobs: list = []
    jump(simulation(core, 0.1, load_s=0.0), [(at_s, submit(core, into=jobs)) for at_s in (0.0, 100.0, 200.0)], until_s=300.0)
    assert len({job.worker_id for job in jobs}) == 3 and len(pulls(core)) == 1
    assert [round(job.delay_s) for job in jobs] == [30, 0, 0]


def test_without_the_preference_each_worker_is_on_a_new_host():
    core = endpoint(platform={**AT_ONCE, "pull_s": 30.0, "host_again": 0.0}, workers_max=1, idle_timeout_s=1.0)
    jump(simulation(core, 0.1, load_s=0.0), [(at_s, submit(core)) for at_s in (0.0, 100.0, 200.0)], until_s=300.0)
    assert len(pulls(core)) == 3


def test_each_host_has_its_own_pull_and_speed():
    varied = {"pull_s": parse_quantiles("10@0,1000@100"), "host_speed": parse_quantiles("0.8@0,1@100")}
    core = endpoint(seed=3, platform={**AT_ONCE, **varied}, workers_min=20, workers_max=20)
    jump(simulation(core, load_s=0.0), until_s=2000.0)
    ready = [entry[0] for entry in core.log if entry[1] == "Launch"]
    speeds = {core.host_speed(worker["id"]) for worker in core.workers(2000.0)}
    assert len(set(ready)) == 20 and min(ready) >= 10 and max(ready) <= 1000
    assert len(speeds) == 20 and min(speeds) >= 0.8 and max(speeds) <= 1.0
    assert core.host_speed("unknown") == 1.0


def test_a_parameter_draws_from_a_stream_of_its_own():
    """Another pull changes no start, and another start no resume."""

    def starts(pull_s):
        core = endpoint(seed=1, platform={"start_s": parse_quantiles("1@0,9@100"), "pull_s": pull_s}, workers_min=5, workers_max=5)
        jump(simulation(core, load_s=0.0), until_s=300.0)
        begun = {entry[2]: entry[0] for entry in core.log if entry[1] == "Changed" and entry[3] == "STARTING"}
        return sorted(round(entry[0] - begun[entry[2]], 9) for entry in core.log if entry[1] == "Launch")

    assert starts(0.0) == starts(parse_quantiles("5@0,50@100")) and len(set(starts(0.0))) == 5
