"""What a platform, or a proxy before it, may answer and should not: each job still ends once, in the right outcome."""

import math
import threading
import time

import gevent
import pytest

from coldburst.record.attempt import Attempt, row_line
from coldburst.targets.http import Timeouts
from tests.support.platform import CUT, DONE, QUEUED, RUNNING, platform
from tests.targets.test_queue import ask, jobs_of, until

__all__ = ["jobs_of"]
PAGE, STRANGE = (404, b"<html><body>404 page not found</body></html>"), (200, b"<!doctype html>")
HALF = "\ud800"
"""Half of a surrogate pair: JSON may hold one, UTF-8 may not."""
BEYOND = 10**400
"""A whole number that no float can hold."""


@pytest.mark.parametrize(
    ("final", "outcome", "words"),
    [
        ({"status": "FAILED", "error": HALF}, "failed", HALF),
        ({"status": "FAILED", "error": {"code": [1, {"deep": None}]}}, "failed", '"deep": null'),
        ({"status": "FAILED", "error": ["a", 3]}, "failed", '["a", 3]'),
        ({"status": "FAILED", "error": 0}, "failed", "FAILED without a reason"),
        ({"status": "FAILED", "error": 137}, "failed", "137"),
        ({"status": "FAILED", "error": True}, "failed", "true"),
        ({"status": "FAILED", "error": '{"error_type": null, "error_message": {"a": 1}}'}, "failed", "{'a': 1}"),
        ({"status": "FAILED", "error": "[" * 5000}, "failed", "[[["),
        ({"status": "FAILED", "output": {"error": {"message": HALF}}}, "failed", HALF),
        ({**DONE, "output": {"output": {"error": "deep inside"}}}, "failed", "deep inside"),
        ({**DONE, "output": {"result": [{"error": "deeper"}]}}, "failed", "deeper"),
        ({**DONE, "output": {"error": {"message": "soft"}}}, "failed", "an error inside COMPLETED: soft"),
        ({**DONE, "output": {"error": False}}, "ok", ""),
        ({**DONE, "output": None}, "wrong", "COMPLETED without output"),
        ({**DONE, "output": []}, "wrong", "COMPLETED with an empty output"),
        ({**DONE, "output": 0}, "ok", ""),
        ({**DONE, "delayTime": BEYOND, "executionTime": -BEYOND, "retries": BEYOND}, "ok", ""),
        ({**DONE, "delayTime": "40", "executionTime": None, "retries": -1, "workerId": 7}, "ok", ""),
        ({**DONE, "workerId": HALF}, "ok", ""),
    ],
)
def test_job_objects_of_odd_shapes_end_in_their_outcome(jobs_of, final, outcome, words):
    with platform(final) as server:
        found, measured, exchange = ask(jobs_of(server))
    assert found == outcome
    assert words in measured.get("error", "")
    assert exchange.first <= exchange.done <= exchange.seen
    assert measured.get("platform_retries", 0) == 0
    row = Attempt(0, 1, "burst", 0.0, found, **measured)
    assert row_line(row).encode()


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_reach_no_row(jobs_of, odd):
    """Python's json reads NaN and Infinity, and services in Python write them."""
    final = {**DONE, "delayTime": odd, "executionTime": odd, "retries": odd, "output": {"score": odd}}
    with platform({**RUNNING, "delayTime": odd}, final) as server:
        found, measured, exchange = ask(jobs_of(server))
    assert (found, {"queue_s", "execution_s"} & set(measured), measured["platform_retries"]) == ("ok", set(), 0)
    assert exchange.done == exchange.seen
    row = Attempt(0, 1, "burst", 0.0, found, **measured)
    assert not {"nan", "inf", "-inf"} & set(row_line(row).lower().rstrip("\n").split(","))


@pytest.mark.parametrize("name", [HALF, "a/../b", "名前", "x" * 3000])
def test_a_job_id_may_be_any_text(jobs_of, name):
    with platform(DONE, submit={"id": name, "status": "IN_QUEUE"}) as server:
        found, measured, _ = ask(jobs_of(server))
    assert (found, measured["job_id"]) == ("ok", name)


def test_an_empty_job_id_is_none(jobs_of):
    with platform(submit={"id": "", "status": "IN_QUEUE"}) as server:
        found, measured, _ = ask(jobs_of(server))
    assert (found, len(server.asked)) == ("wrong", 1)
    assert "without a job id" in measured["error"]


def test_a_wrong_endpoint_is_told_with_the_next_step(jobs_of):
    with platform(submit=404) as server:
        assert ask(jobs_of(server))[1]["error"] == "404: said 404 (is the endpoint id in --host right?)"


def test_a_few_404s_in_the_middle_are_no_end_of_a_job(jobs_of):
    with platform(QUEUED, *[404] * 5, RUNNING, DONE) as server:
        jobs = jobs_of(server)
        found, measured, _ = ask(jobs)
        assert jobs.close() == 0
    assert (found, measured["polls"]) == ("ok", 8)


def test_a_proxys_pages_are_no_end_of_a_job(jobs_of, monkeypatch):
    monkeypatch.setattr("coldburst.targets.queue.GONE_S", 0.0)
    monkeypatch.setattr("coldburst.targets.queue.BACK_OFF_S", 0.01)
    with platform(QUEUED, *[PAGE, STRANGE] * 4, DONE) as server:
        found, measured, _ = ask(jobs_of(server, lost_s=60))
    assert (found, measured["polls"]) == ("ok", 10)


@pytest.mark.slow
def test_a_job_that_is_gone_ended_when_that_was_first_said(jobs_of, monkeypatch):
    monkeypatch.setattr("coldburst.targets.queue.GONE_S", 0.5)
    with platform(RUNNING, 404) as server:
        found, measured, exchange = ask(jobs_of(server))
    assert (found, measured["polls"] > 3) == ("timed_out", True)
    assert time.perf_counter() - exchange.seen >= 0.5  # and not when it was believed


@pytest.mark.slow
def test_a_job_that_is_missing_at_the_deadline_says_so(jobs_of):
    with platform(QUEUED, 404) as server:
        found, measured, _ = ask(jobs_of(server, limits=Timeouts(5, 5, 0.3)))
    assert found == "abandoned"
    assert measured["error"].endswith("(then: 404: said 404)")


@pytest.mark.slow
def test_a_long_poll_that_breaks_late_does_not_count_its_silence_as_trouble(jobs_of, monkeypatch):
    """Long polls are silent while all is well: a cut of a moment after a minute of silence is one of a moment."""
    monkeypatch.setattr("coldburst.targets.queue.BACK_OFF_S", 0.01)
    cut = threading.Event()
    with platform(CUT, *[500] * 4, DONE, long=[cut]) as server:
        asked = gevent.spawn(ask, jobs_of(server, poll="auto", lost_s=0.3))
        until(lambda: server.to("status-sync"))
        gevent.sleep(0.4)  # the platform holds the poll, for longer than lost_s
        cut.set()
        outcome, measured, _ = asked.get(timeout=60)
    assert (outcome, measured["polls"]) == ("ok", 6)
