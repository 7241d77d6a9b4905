"""What a run shows of its endpoint: rows that the planner wrote itself give back what they were made of."""

import itertools
from dataclasses import replace
from statistics import median

import pytest

from coldburst.planner import run_directory
from coldburst.planner.model import fit
from coldburst.planner.model.distributions import measured
from coldburst.planner.predict import PredictionError, check, predict
from coldburst.record import run_json
from coldburst.record.attempt import HEADER, row_line
from coldburst.schedule import stages
from coldburst.serverless.simulation.service_curve import ServiceCurve
from tests.planner.test_simulate import BALANCER, scenario

STEADY = stages.parse("steady 600s 0.4/s poisson")


def written(tmp_path, one, text=STEADY, seed=3):
    return run_directory.write(tmp_path, one, text, seed)


def test_service_times_and_concurrency_come_from_the_rows(tmp_path):
    found = fit.fit(written(tmp_path, scenario("uniform:2:4", workers_min=4, workers_max=4, concurrency=1)))
    assert found.kind == "QUEUE"
    assert found.concurrency == 1
    assert 1.9 < found.service.numbers[0] < 2.3
    assert 3.8 < found.service.numbers[-1] <= 4.45
    assert found.service.mean_s == pytest.approx(3.15, rel=0.03)  # with the report of a job's end
    assert found.start is None


def test_a_curve_comes_from_requests_that_shared_a_worker(tmp_path):
    one = scenario(
        "2",
        platform={"per_worker": 4},
        curve=ServiceCurve((1, 4), (1.0, 2.5)),
        concurrency=4,
        workers_min=1,
        workers_max=1,
        scaler_value=4,
        **BALANCER,
    )
    found = fit.fit(written(tmp_path, one, stages.parse("steady 900s 0.5/s poisson")))
    assert found.concurrency == 4
    assert found.curve.factor(1) == 1.0
    assert found.curve.factor(4) == pytest.approx(2.5, rel=0.05)
    assert median(found.service.numbers) == pytest.approx(2.0, rel=0.02)


def test_the_wait_for_a_balancers_worker_is_no_overhead_where_its_server_reports_its_own_queue(tmp_path):
    """All wait for the start of the only worker; the server's queue is empty, as behind this project's transcriber."""
    one = scenario("1", workers_min=0, workers_max=1, scaler_value=4, **BALANCER)
    folder = written(tmp_path, one, stages.parse("burst 20"))
    about = run_json.read(folder)
    run_json.write(folder, about | {"target": {"kind": "balancer"}})
    rows = [replace(row, queue_s=0.001) for row in fit.read_attempts(folder / "attempts.csv")]
    (folder / "attempts.csv").write_text("".join([HEADER, *map(row_line, rows)]), encoding="utf-8")
    assert fit.fit(folder, 4).overhead_s == 0.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_jobs_that_are_taken_together_do_not_bend_a_flat_curve(tmp_path, seed):
    """Times vary by themselves and not with the jobs beside: the shortest of a batch is not the one that began first."""
    one = scenario("lognormal:2:0.3", concurrency=4, workers_min=2, workers_max=2)
    text = stages.parse(", ".join(f"b{number} 8, rest{number} 15s 0/s" for number in range(12)))
    found = fit.fit(written(tmp_path, one, text, seed))
    assert found.concurrency == 4
    assert found.curve.factor(4) == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_a_run_that_never_left_a_job_alone_bounds_how_long_that_takes(tmp_path):
    """A job alone takes 2 s, and 4 s as one of 4: the run shows the 4 s only, so alone is between 1 s and 4 s."""
    curve = ServiceCurve((1, 4), (1.0, 2.0))
    one = scenario("2", curve=curve, platform={"slot_s": 0.0}, concurrency=4, workers_min=1, workers_max=1, scaler_value=4, **BALANCER)
    found = fit.fit(written(tmp_path, one, stages.parse("level 40 4 at a time")), 4)
    assert (found.curve.jobs, found.concurrency) == ((4,), 4)
    known = replace(one, service=found.service, curve=found.curve, concurrency_seen=4, workers_seen=1)
    alone, full = (predict(known, stages.parse(text), seeds=100)["p50_s"] for text in ("level 10 1 at a time", "level 40 4 at a time"))
    assert 1.0 <= alone.low < 1.3
    assert 3.7 < alone.high <= 4.05
    assert full.low == pytest.approx(4.0, rel=0.02)
    assert full.high == pytest.approx(4.0, rel=0.02)
    with pytest.raises(PredictionError, match="the run shows at least 4 at a time on a worker, so 2 at a time cannot be predicted"):
        check(replace(known, concurrency=2))


def test_how_much_workers_differ_is_as_uncertain_as_chance_makes_it(tmp_path):
    burst = stages.parse("burst 30")
    found = fit.fit(written(tmp_path, scenario("lognormal:5:0.25", workers_max=4), burst))
    assert found.spread_measured
    assert 0.05 < found.spread_error < 0.25
    constant = fit.fit(written(tmp_path, scenario("5", workers_max=4, platform={"report_s": 0.0}), burst))
    assert constant.spread_measured
    assert constant.spread_error < 0.01


def test_workers_that_differ_are_measured_as_such(tmp_path):
    steady = stages.parse("steady 1200s 0.4/s poisson")
    alike = fit.fit(written(tmp_path, scenario("lognormal:5:0.1", workers_min=4, workers_max=4), steady))
    apart = fit.fit(written(tmp_path, replace(scenario("lognormal:5:0.1", workers_min=4, workers_max=4), spread=0.3), steady))
    assert alike.spread_measured
    assert apart.spread_measured
    assert alike.spread < 0.05
    assert 0.1 < apart.spread <= 0.4


def test_the_start_is_the_wait_of_the_first_cold_answer(tmp_path):
    found = fit.fit(written(tmp_path, scenario("5", workers_max=2), stages.parse("burst 10")))
    assert found.start is not None
    assert found.start.mean_s == pytest.approx(8.0, abs=0.1)


def delayed(folder, *by_s):
    """The run as a client sees it whose submissions took so long, in turn."""
    rows = list(fit.read_attempts(folder / "attempts.csv"))
    for row, late_s in zip(rows, itertools.cycle(by_s)):
        row.done_s += late_s
    (folder / "attempts.csv").write_text(HEADER + "".join(map(row_line, rows)), encoding="utf-8")
    return folder


def test_submissions_that_hold_each_other_up_put_no_two_jobs_on_a_worker(tmp_path):
    """Each of 30 submissions takes between 0.2 and 2.6 s, so jobs of 2 s seem to overlap."""
    found = fit.fit(delayed(written(tmp_path, scenario("2", workers_max=4), stages.parse("burst 30")), 2.6, 0.2, 1.1))
    assert found.concurrency == 1
    assert found.overhead_s == pytest.approx(0.2, abs=0.001)


def test_the_overhead_is_that_of_requests_sent_apart(tmp_path):
    found = fit.fit(delayed(written(tmp_path, scenario("2", workers_min=1), stages.parse("steady 300s 0.1/s")), 0.2, 0.3, 0.3))
    assert found.overhead_s == pytest.approx(0.3, abs=0.001)


def test_at_a_balancer_an_end_at_the_instant_of_a_start_is_chance(tmp_path):
    """Places become free 0.16 s after an answer, and four requests that began together end 0.16 s apart: beside three or four others?"""
    curve = ServiceCurve((1, 2, 4), (1.0, 1.2, 1.75))
    one = scenario("0.8", curve=curve, concurrency=4, workers_max=1, scaler_value=4, **BALANCER)
    folder = written(tmp_path, one, stages.parse("level 40 1 at a time, more 80 4 at a time"))
    rows = [replace(row, queue_s=None, execution_s=None) for row in fit.read_attempts(folder / "attempts.csv")]
    (folder / "attempts.csv").write_text(HEADER + "".join(map(row_line, rows)), encoding="utf-8")
    found = fit.fit(folder, 4)
    assert found.curve.factor(4) == pytest.approx(1.75, rel=0.01)
    assert found.curve.factor(2) == pytest.approx(1.25, rel=0.01)  # not seen: on the line from 1 to 4
    assert found.service.mean_s == pytest.approx(0.8, rel=0.01)
    assert found.start is not None
    assert found.start.mean_s == pytest.approx(8.0, abs=0.1)


def test_starts_come_from_the_worker_list_to_the_millisecond(tmp_path):
    """A worker is ready at 8 s, when it takes a job; the list shows it a second later. Others had no work or were there before."""
    folder = written(tmp_path, scenario("5", workers_max=1), stages.parse("burst 10"))
    worker_id = next(iter(fit.read_attempts(folder / "attempts.csv"))).worker_id
    spans = [(worker_id, 0.312, 9.0), ("without work", 2.5, 9.0), ("before", -30.0, 0.01), ("never ready", 3.0, None)]
    workers = [dict(zip(("worker_id", "start_s", "ready_s"), span, strict=True)) for span in spans]
    run_json.write(folder, run_json.read(folder) | {"platform": {"workers": workers}})
    start = fit.fit(folder).start
    assert start is not None
    assert start.numbers == (pytest.approx(8.0 - 0.312, abs=0.01),)
    workers[0]["worker_id"] = "without work either"
    run_json.write(folder, run_json.read(folder) | {"platform": {"workers": workers}})
    assert fit.fit(folder).start == measured([9.0 - 1.05 - 2.5, 9.0 - 1.05 - 0.312])


def test_a_run_with_too_few_answers_is_refused(tmp_path):
    with pytest.raises(fit.FitError, match=r"known of 3 answers, but at least 8 are needed: use a run with more requests"):
        fit.fit(written(tmp_path, scenario("5"), stages.parse("burst 3")))


def test_what_was_not_measured_is_not_predicted():
    measured = replace(scenario("5", concurrency=2), concurrency_seen=1)
    with pytest.raises(PredictionError, match="at most 1 at a time on a worker, so 2 at a time cannot be predicted"):
        check(measured)
    curved = replace(scenario("5", concurrency=8, curve=ServiceCurve((1, 4), (1.0, 2.5))), concurrency_seen=4)
    with pytest.raises(PredictionError, match="at most 4 at a time on a worker, so 8 at a time cannot be predicted"):
        check(curved)
    with pytest.raises(PredictionError, match=r"the service curve 1:1,4:2\.5 ends at 4 at a time on a worker, so 8 at a time cannot"):
        check(replace(curved, concurrency_seen=0))
