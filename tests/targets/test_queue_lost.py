"""Jobs of which polls tell nothing any more: gone, unreachable, or at a service that answers with something else."""

import json
import re

import pytest

from coldburst.targets.cause import cause
from tests.support.platform import CUT, DONE, QUEUED, RUNNING, platform
from tests.targets.test_queue import ask, jobs_of

__all__ = ["jobs_of"]


def test_a_job_of_which_nothing_is_heard_any_more_is_given_up_and_may_still_run(jobs_of):
    with platform(RUNNING, CUT) as server:
        jobs = jobs_of(server)
        outcome, measured, exchange = ask(jobs)
        assert jobs.close() == 0
    assert (outcome, exchange.fault) == ("unreachable", "reset")
    assert measured["error"].startswith("its job may still run, but no poll was answered for ")
    assert "s (last seen IN_PROGRESS; last try: the connection closed" in measured["error"]
    assert cause(outcome, 1.0, exchange.status, measured["error"]) == "unreachable"
    assert (measured["job_id"], measured["polls"]) == ("job-0-u1", 4)
    assert [asked.path for asked in server.to("cancel")] == ["/v2/ep/cancel/job-0-u1"]


@pytest.mark.parametrize(
    ("polls", "last", "found"),
    [
        ((500,), "500: said 500", "polls_failed"),
        ((CUT, 500), "500: said 500", "polls_failed"),
        (((502, b"<html>502 Bad Gateway</html>"),), "502: 502 Bad Gateway", "polls_failed"),
        (((400, b"<html>400 Bad Request</html>"),), "400: 400 Bad Request", "polls_failed"),
        (((400, b"Bad Request"),), "400: Bad Request", "polls_failed"),
        (((200, json.dumps(json.dumps(DONE)).encode()),), "200: ", "polls_failed"),
        ((409,), "409: said 409", "polls_failed"),
        ((401,), "401: said 401 (no key was sent: set RUNPOD_API_KEY in the environment)", "no_key"),
        ((403,), "403: said 403 (no key was sent: set RUNPOD_API_KEY in the environment)", "no_key"),
    ],
)
def test_a_job_whose_polls_are_answered_without_its_state_failed_at_a_service_that_was_reached(jobs_of, polls, last, found):
    with platform(RUNNING, *polls) as server:
        jobs = jobs_of(server)
        outcome, measured, exchange = ask(jobs)
        assert jobs.close() == 0
    assert (outcome, exchange.fault, exchange.seen) == ("failed", "", None)
    told = r"its job may still run, but \d+ of \d+ polls in \d+ s were answered, and none showed its state "
    told += r"\(last seen IN_PROGRESS; last try: "
    assert re.match(told + re.escape(last), measured["error"])
    assert cause(outcome, 1.0, exchange.status, measured["error"]) == found
    assert exchange.first < exchange.done
    assert [asked.path for asked in server.to("cancel")] == ["/v2/ep/cancel/job-0-u1"]


@pytest.mark.parametrize("gone", [400, 410, (410, b"")])
@pytest.mark.parametrize(("last", "outcome"), [(QUEUED, "queue_timeout"), (RUNNING, "timed_out")])
def test_a_job_that_is_said_to_be_gone_is_polled_no_more(jobs_of, gone, last, outcome):
    with platform(last, gone) as server:
        jobs = jobs_of(server)
        found, measured, exchange = ask(jobs)
        assert jobs.close() == 0
    assert (found, measured["polls"], server.to("cancel")) == (outcome, 2, [])
    assert measured["error"].startswith("GONE ")
    assert exchange.first < exchange.done == exchange.seen


@pytest.mark.parametrize("gone", [400, 410])
def test_a_job_that_a_long_poll_says_is_gone_is_asked_after_once_more_at_once(jobs_of, gone):
    with platform(gone, long=[gone]) as server:
        found, measured, exchange = ask(jobs_of(server, poll="auto", poll_s=5))
    assert (found, measured["polls"], len(server.to("status-sync"))) == ("queue_timeout", 2, 1)
    assert exchange.done == exchange.seen


def test_a_long_poll_that_is_refused_says_nothing_of_the_job(jobs_of):
    with platform(QUEUED, DONE, long=[400]) as server:
        assert ask(jobs_of(server, poll="auto"))[0] == "ok"
