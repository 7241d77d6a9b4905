"""Faults on demand of the emulator, with modelled workers: one process for all tests of this module."""

import time

import pytest

from tests.support.emulators import MODELLED, TERMS, emulator
from tests.support.transcribers import ROOT, until


@pytest.fixture(scope="module")
def platform():
    with emulator("--config", str(ROOT / "tests/support/emulator.toml"), "--ready", *MODELLED) as running:
        yield running


@pytest.fixture
def calm(platform):
    """The emulator, with no fault left in force by another test or to be left to one."""
    yield platform
    for name in ("queue", "small", "single", "cold"):
        assert platform.fault(name, clear=True).status == 200


def test_a_fault_gives_errors_to_so_many_requests_and_then_no_more(calm):
    calm.fault("queue", status=429, times=2, operation="health", retry_after_s=3)
    answers = [calm.ask("/v2/queue/health") for _ in range(3)]
    assert [answer.status for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "3"
    assert answers[0].json().keys() == TERMS


def test_a_fault_hits_a_share_and_only_the_operation_that_it_names(calm):
    calm.fault("queue", status=500, share=0.5, operation="health")
    statuses = [calm.ask("/v2/queue/health").status for _ in range(60)]
    assert 10 <= statuses.count(500) <= 50
    assert statuses.count(500) + statuses.count(200) == 60
    assert calm.ask("/v2/queue/requests").status == 200


def test_a_reset_is_a_reset(calm):
    calm.fault("queue", reset=True, times=1)
    with pytest.raises(ConnectionResetError):
        calm.ask("/v2/queue/health")
    assert calm.ask("/v2/queue/health").status == 200


@pytest.mark.slow
def test_a_stalled_request_is_held_back_and_then_served(calm):
    calm.fault("queue", stall_s=0.3, times=1, operation="health")
    begun = time.monotonic()
    assert calm.ask("/v2/queue/health").status == 200
    assert time.monotonic() - begun >= 0.3


def test_health_lies_about_workers_in_a_share_of_its_answers_or_in_all(calm):
    calm.fault("queue", health={"idle": 1, "throttled": 1}, times=1)
    workers = [calm.ask("/v2/queue/health").json()["workers"] for _ in range(2)]
    assert {name: number for name, number in workers[0].items() if number} == {"idle": 1, "throttled": 1}
    assert workers[1].keys() == workers[0].keys() and workers[1] != workers[0]
    calm.fault("queue", health={"throttled": 3}, share=0.5)
    assert {calm.ask("/v2/queue/health").json()["workers"]["throttled"] for _ in range(60)} == {0, 3}
    assert calm.ask("/v2/queue/requests").status == 200


@pytest.mark.slow
def test_a_killed_worker_loses_its_lease_and_its_job_is_given_to_another(calm):
    job_id = calm.submit("small", sleep_s=60)
    until(lambda: calm.job("small", job_id)["status"] == "IN_PROGRESS", "start")
    first = calm.job("small", job_id)["workerId"]
    calm.fault("small", kill=first)
    job = until(lambda: (job := calm.job("small", job_id)).get("retries") and job.get("workerId") and job, "a second worker")
    assert (job["status"], job["retries"], job["workerId"] != first) == ("IN_PROGRESS", 1, True)
    calm.ask(f"/v2/small/cancel/{job_id}", method="POST")
    assert [row["retries"] for row in calm.truth("job", id=job_id)] == [1]
    calm.fault("small", kill="all")  # which may be running it still: a stop that comes before the job is picked up is forgotten


@pytest.mark.slow
def test_a_worker_that_never_acknowledges_costs_a_job_both_its_tries(calm):
    calm.fault("small", never_ack="all")
    job = calm.ended("small", calm.submit("small"))
    assert (job["status"], job["error"], job["retries"]) == ("FAILED", "job timed out after 1 retries", 1)


@pytest.mark.slow
def test_a_job_that_finds_no_room_on_the_card_runs_out_of_memory(calm):
    first = calm.submit("small", sleep_s=60)
    until(lambda: calm.job("small", first)["status"] == "IN_PROGRESS", "start")
    second = calm.ended("small", calm.submit("small"))
    assert (second["status"], "out of memory" in second["error"]) == ("FAILED", True)
    assert calm.job("small", first)["status"] == "IN_PROGRESS"
    calm.ask(f"/v2/small/cancel/{first}", method="POST")
    calm.fault("small", memory={"card_gb": 100})
    calm.fault("small", kill="all")  # of workers that start from now on
    both = [calm.submit("small", sleep_s=0.05) for _ in range(2)]
    assert {calm.ended("small", job)["status"] for job in both} == {"COMPLETED"}


@pytest.mark.slow
def test_a_crash_loop_shows_as_unhealthy_and_ends_with_the_fault(calm):
    calm.fault("small", crash_starts=True)
    if calm.states("small"):
        calm.fault("small", kill="all")
    job_id = calm.submit("small")
    until(lambda: calm.ask("/v2/small/health").json()["workers"]["unhealthy"], "an unhealthy worker")
    calm.fault("small", crash_starts=0)
    assert calm.ended("small", job_id)["status"] == "COMPLETED"


@pytest.mark.slow
def test_hosts_without_room_throttle_workers(calm):
    calm.fault("cold", throttle=0)
    until(lambda: not calm.states("cold"), "an endpoint at rest")
    job_id = calm.submit("cold")
    assert until(lambda: calm.states("cold"), "a worker") == ["THROTTLED"]
    health = calm.ask("/v2/cold/health").json()
    assert (health["workers"]["throttled"], health["jobs"]["inQueue"]) == (1, 1)
    calm.fault("cold", throttle=None)
    assert calm.ended("cold", job_id)["status"] == "COMPLETED"
