"""Runs in virtual time against hand-worked timelines and queueing theory."""

from statistics import fmean

import pytest

from coldburst.planner.model import theory
from coldburst.planner.model.distributions import ALONE, parse
from coldburst.planner.model.scenario import Client, Scenario
from coldburst.planner.model.simulate import simulate
from coldburst.record.attempt import response_s
from coldburst.schedule import stages
from coldburst.schedule.retries import Retries
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.service_curve import ServiceCurve

BALANCER = {"kind": "LOAD_BALANCER", "scaler": "REQUEST_COUNT"}


def scenario(service="5", *, platform=None, client=None, concurrency=1, curve=None, start="2", load="6", **policy):
    return Scenario(
        Policy(**policy),
        Platform(**(platform or {})),
        parse(service),
        parse(start),
        parse(load),
        curve or ALONE,
        concurrency=concurrency,
        spread=0.0,
        client=client or Client(),
    )


def run(one, text, seed=1):
    return simulate(one, stages.parse(text), seed, phase_s=0.0)


def fixed(count, service, **policy):
    """Workers of the textbook: always on, one request at a time, taken at once."""
    platform = {"per_worker": 1, "hold_s": 1e9, "processing_s": 1e9, "slot_s": 0.0}
    return scenario(service, platform=platform, workers_min=count, workers_max=count, scaler_value=1, **BALANCER, **policy)


def test_a_cold_request_at_a_balancer_waits_for_start_and_load_and_then_is_served():
    one = scenario(scaler_value=1, workers_max=1, idle_timeout_s=5, **BALANCER)
    found = run(one, "burst 2")
    first, second = found.rows
    assert (first.queue_s, first.execution_s, first.done_s, first.cold) == (8.0, 5.0, 13.0, True)
    assert (second.queue_s, second.execution_s, second.done_s, second.cold) == (
        13.16,
        5.0,
        18.16,
        False,
    )  # its place is free 0.16 s after the answer
    assert (found.bill.start_s, found.bill.execution_s + found.bill.idle_s) == (8.0, pytest.approx(15.32))


def test_a_cold_job_of_a_queue_waits_for_start_and_load_and_for_the_sdk():
    found = run(scenario(workers_max=1), "burst 1")
    (row,) = found.rows
    assert row.queue_s == pytest.approx(8.0, abs=0.01)
    assert row.execution_s == pytest.approx(5.24, abs=0.17)  # picked up within 0.1 s, reported 0.07 to 0.31 s after its end
    assert row.cold is True
    assert found.bill.idle_s == pytest.approx(5.0)


def test_a_minimum_of_workers_is_up_at_second_0_and_stays_on_the_bill():
    found = run(scenario(workers_min=1, workers_max=1), "burst 1")
    (row,) = found.rows
    assert (row.cold, row.queue_s) == (False, pytest.approx(0.127))  # collected for that long
    assert (found.bill.start_s, found.bill.execution_s) == (0.0, pytest.approx(row.execution_s))


def test_a_balancer_gives_up_after_its_hold():
    found = run(scenario(load="200", scaler_value=4, workers_max=1, **BALANCER), "burst 3")
    assert [(row.outcome, row.done_s, row.worker_id) for row in found.rows] == [("queue_timeout", 120.0, "")] * 3


def test_a_rejected_request_is_tried_again_in_a_row_of_its_own():
    client = Client(retries=Retries(2))
    found = run(scenario(load="200", scaler_value=4, workers_max=1, client=client, **BALANCER), "burst 1")
    assert [(row.seq, row.attempt, row.outcome) for row in found.rows] == [(0, 1, "queue_timeout"), (0, 2, "ok")]
    assert response_s(found.rows[1]) == pytest.approx(207.0, abs=0.1)


def test_a_deadline_gives_up_a_job_and_frees_its_worker():
    found = run(scenario(workers_max=1, workers_min=1, client=Client(deadline_s=7.0)), "burst 3")
    ends = {row.seq: (row.outcome, round(row.done_s, 1)) for row in found.rows}
    assert ends[0][0] == "ok"
    assert ends[1] == ends[2] == ("abandoned", 7.0)


def test_a_cap_holds_further_arrivals_back():
    found = run(fixed(10, "5").__class__(**{**_fields(fixed(10, "5")), "client": Client(max_in_flight=2)}), "burst 6")
    assert sorted(row.held_s or 0.0 for row in found.rows) == [0.0, 0.0, 5.0, 5.0, 10.0, 10.0]
    assert max(row.done_s for row in found.rows) == 15.0


def _fields(one):
    return {name: getattr(one, name) for name in one.__slots__}


def test_jobs_beside_others_take_longer_as_the_curve_says():
    curve = ServiceCurve((1, 4), (1.0, 2.5))
    platform = {"per_worker": 4}
    one = scenario("1", platform=platform, curve=curve, concurrency=4, workers_min=1, workers_max=1, scaler_value=4, **BALANCER)
    found = run(one, "burst 4")
    assert sorted(row.execution_s for row in found.rows) == pytest.approx([1.0, 1.5, 2.0, 2.5])


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    one = scenario("exp:3", workers_max=3)
    again = [run(one, "steady 100s 0.5/s poisson", seed) for seed in (1, 1, 2)]
    assert again[0].rows == again[1].rows != again[2].rows
    assert again[0].bill == again[1].bill


@pytest.mark.slow
@pytest.mark.parametrize(("count", "load"), [(1, 0.5), (5, 0.8), (20, 0.9)])
def test_waits_are_those_of_erlang_c(count, load):
    """Enough arrivals that the mean wait's own error is below the tolerance, which is wider where the queue moves slowly."""
    rate = count * load
    found = run(fixed(count, "exp:1"), f"steady {round(15_000 / rate)}s {rate}/s poisson")
    wait_s = fmean(row.queue_s for row in found.rows)
    expected_s = theory.mgc_wait_s(rate, 1.0, 1.0, count)
    assert wait_s == pytest.approx(expected_s, rel=0.2 if load >= 0.8 else 0.08, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(("service", "variance"), [("1", 0.0), ("uniform:0:2", 1 / 3)])
def test_waits_of_one_worker_are_those_of_pollaczek_and_khinchine(service, variance):
    found = run(fixed(1, service), "steady 20000s 0.7/s poisson")
    assert fmean(row.queue_s for row in found.rows) == pytest.approx(theory.mgc_wait_s(0.7, 1.0, variance, 1), rel=0.08)


def test_theory_against_closed_forms():
    assert theory.erlang_c(1, 0.8) == pytest.approx(0.8)
    assert theory.erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert theory.mmc_response_percentile_s(0.8, 1.0, 1, 0.95) == pytest.approx(14.979, abs=0.001)  # exponential with rate 0.2
    assert theory.mmc_response_percentile_s(5.0, 1.0, 5, 0.95) == float("inf")
    assert theory.least_servers(3.0, 1.0) == 4
    assert theory.least_servers(2.9, 1.0) == 3


def test_a_closed_loop_sends_the_next_request_when_one_ends():
    """Two places of 5 s each; the stage of 12 s lets those end that it began, and the next stage begins then."""
    by_count = run(fixed(2, "5"), "level 4 2 at a time").rows
    assert [(row.seq, row.scheduled_s, row.done_s) for row in by_count] == [(0, 0.0, 5.0), (1, 0.0, 5.0), (2, 5.0, 10.0), (3, 5.0, 10.0)]
    by_time = run(fixed(2, "5"), "rest 1s 0/s, level 12s 2 at a time, burst 1").rows
    assert [(row.stage, row.scheduled_s) for row in by_time] == [("level", at_s) for at_s in (1.0, 1.0, 6.0, 6.0, 11.0, 11.0)] + [
        ("burst", 16.0)
    ]
    assert [row.seq for row in by_time] == list(range(7))


def test_a_closed_loop_begins_once_everything_before_it_has_ended():
    found = run(fixed(1, "5"), "burst 2, level 1 1 at a time").rows
    assert [(row.stage, row.scheduled_s, row.done_s) for row in found] == [("burst", 0.0, 5.0), ("burst", 0.0, 10.0), ("level", 10.0, 15.0)]


def test_a_place_of_a_closed_loop_rests_after_a_rejected_request():
    """No worker: each request is given up 0.2 s after it was sent, and the place sends again 0.5 s after that it sent."""
    one = scenario(platform={"hold_s": 0.2}, load="200", workers_max=1, scaler_value=1, **BALANCER)
    found = run(one, "level 1s 1 at a time").rows
    assert [(row.outcome, row.scheduled_s) for row in found] == [("queue_timeout", 0.0), ("queue_timeout", 0.5)]


def test_a_closed_loop_of_requests_that_take_no_time_ends():
    assert len(run(fixed(1, "0"), "level 1s 1 at a time").rows) == pytest.approx(1000, abs=1)


def test_parameters_of_the_platform_reach_the_workers():
    """Hosts of half the speed take twice the time."""
    one = scenario(platform={"host_speed": 2.0}, scaler_value=1, workers_max=1, **BALANCER)
    assert run(one, "burst 1").rows[0].execution_s == 10.0


@pytest.mark.parametrize(("schedule", "wall_s"), [("level 20 1 at a time", 1200.0), ("level 20 5 at a time", 240.0), ("burst 20", 240.0)])
def test_twenty_requests_of_a_minute_on_five_workers(schedule, wall_s):
    """One at a time 20 x 60 s; five at a time, or all at once, 20 / 5 x 60 s: five times the throughput."""
    found = run(fixed(5, "60"), schedule).rows
    assert [row.outcome for row in found] == ["ok"] * 20
    assert max(row.done_s for row in found) == wall_s
