"""Jobs of a queue endpoint: every way in which one can end, its times free of polling, and none left running unseen."""

import json
import re
import socket
import threading
from dataclasses import replace

import gevent
import pytest

from coldburst.record.attempt import COLUMNS
from coldburst.targets.cause import cause
from coldburst.targets.clips import Clip
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload, load_payload
from coldburst.targets.queue import QueueTarget
from coldburst.targets.queue_options import QueueOptions
from coldburst.targets.rate_limiter import RateLimit, RateLimiter
from tests.support.platform import CUT, DONE, QUEUED, RUNNING, platform

QUICK = QueueOptions(poll="status", poll_s=0.01, lost_s=0.05)
LIMITS = Timeouts(5, 5, 5)
ANY = Payload({"n": 1}, ())
# Too large for /run.
LARGE = Payload({"n": "x" * 10_000_001}, ())
SAID = "the cat sat on the mat"
SPOKEN = Payload(None, (Clip("a.wav", 1.5, SAID, b"abc"),))


@pytest.fixture
def jobs_of():
    made = []

    def make(server, payload=ANY, limits=LIMITS, key="", places=400, asking=QUICK, **changed):
        made.append(QueueTarget(server.url, payload, replace(asking, **changed), limits, key))
        made[-1].limiter = RateLimiter(RateLimit(10**6, places, share=1.0))
        return made[-1]

    yield make
    for jobs in made:
        jobs.client.close()


def until(look):
    """Waits for ``look`` to say yes."""
    with gevent.Timeout(10):
        while not look():
            gevent.sleep(0.001)


def ask(jobs, seq=0):
    exchange = Exchange()
    evidence = jobs.send(seq, f"run-{seq}-1", exchange)
    return decide(fault=exchange.fault, status=exchange.status, says=evidence.says), evidence.measured, exchange


def test_a_job_is_submitted_asked_after_and_told_with_the_platforms_own_times(jobs_of):
    with platform(QUEUED, RUNNING, {**DONE, "delayTime": 1500, "executionTime": 250, "retries": 1}) as server:
        outcome, measured, exchange = ask(jobs_of(server, key="k1"), seq=3)
    assert outcome == "ok"
    assert measured == {
        "job_id": "job-0-u1", "polls": 3, "queue_s": 1.5, "execution_s": 0.25, "worker_id": "w1", "platform_retries": 1,
        "bytes_out": len(b'{"input": {"n": 1}}'), "bytes_in": measured["bytes_in"],
    }  # fmt: skip
    assert set(measured) <= {column.name for column in COLUMNS}
    assert exchange.sent <= exchange.first <= exchange.done <= exchange.seen
    run, *polls = server.asked
    assert (run.method, run.path, run.body) == ("POST", "/v2/ep/run", b'{"input": {"n": 1}}')
    assert (run.headers["authorization"], run.headers["x-request-id"], run.headers["content-type"]) == (
        "Bearer k1",
        "run-3-1",
        "application/json",
    )
    assert {(poll.method, poll.path, poll.headers["authorization"]) for poll in polls} == {("GET", "/v2/ep/status/job-0-u1", "Bearer k1")}


def test_a_long_poll_interval_does_not_lengthen_a_job(jobs_of):
    with platform(DONE) as server:
        outcome, measured, exchange = ask(jobs_of(server, poll_s=0.25))
    assert (outcome, measured["polls"]) == ("ok", 1)
    assert exchange.seen - exchange.first >= 0.25
    assert 0.1 <= exchange.done - exchange.first < exchange.seen - exchange.first  # 40 ms of delay and 60 ms of execution


TIMED_OUT = {"status": "TIMED_OUT"}


@pytest.mark.parametrize(
    ("polls", "outcome", "words"),
    [
        (({"status": "FAILED", "error": "boom"},), "failed", "boom"),
        ((QUEUED, {"status": "CANCELLED"}), "failed", "CANCELLED, and not by this run"),
        ((QUEUED, TIMED_OUT), "queue_timeout", "TIMED_OUT before any endpoint worker had it"),
        ((RUNNING, TIMED_OUT), "timed_out", "TIMED_OUT while an endpoint worker had it"),
        ((QUEUED, 404), "queue_timeout", "GONE before any endpoint worker had it: said 404"),
        ((RUNNING, 404), "timed_out", "GONE while an endpoint worker had it: said 404"),
        ((QUEUED, 404, QUEUED, DONE), "ok", ""),
        (({**DONE, "output": {"error": "CUDA out of memory"}},), "failed", "an error inside COMPLETED: CUDA out of memory"),
        (({"status": "COMPLETED"},), "wrong", "COMPLETED without output"),
        (({"status": "PAUSED"}, {"status": "RUNNING"}, DONE), "ok", ""),
        ((500, CUT, 429, (200, "text"), (200, {}), 302, QUEUED, DONE), "ok", ""),
    ],
)
def test_a_job_ends_in_one_outcome(jobs_of, monkeypatch, polls, outcome, words):
    monkeypatch.setattr("coldburst.targets.queue.GONE_S", 0.0)
    with platform(*polls) as server:
        jobs = jobs_of(server, poll_s=0.003, lost_s=9)
        found, measured, exchange = ask(jobs)
        assert jobs.close() == 0
    assert found == outcome
    assert words in measured.get("error", "")
    assert bool(measured.get("error")) == (outcome != "ok")
    assert exchange.first <= exchange.done <= exchange.seen
    assert server.to("cancel") == []


@pytest.mark.parametrize(
    ("output", "outcome", "wer"),
    [
        ({"text": "The cat sat on the mat."}, "ok", 0.0),
        ({"transcription": SAID}, "ok", 0.0),
        (SAID, "ok", 0.0),
        ({"text": "a dog ran in a park"}, "wrong", 1.0),
        ({"text": ""}, "wrong", 1.0),
        ({"words": 3}, "wrong", None),
    ],
)
def test_a_transcript_is_held_against_what_was_said(jobs_of, output, outcome, wer):
    with platform({**DONE, "output": output}) as server:
        found, measured, _ = ask(jobs_of(server, SPOKEN, max_wer=0.5))
        assert ask(jobs_of(server, SPOKEN, max_wer=None))[0] == "ok"
        shown, columns, _ = ask(jobs_of(server, SPOKEN))
    assert (shown, columns.get("wer")) == ("ok" if wer != 1.0 or output["text"] else "wrong", wer)
    assert (found, measured.get("wer"), measured["audio_s"]) == (outcome, wer, 1.5)
    assert json.loads(server.asked[0].body)["input"]["audio_base64"] == "YWJj"


@pytest.mark.parametrize(
    ("submit", "outcome", "words"),
    [
        (400, "refused", "400: said 400"),
        (401, "refused", "401: said 401 (no key was sent: set RUNPOD_API_KEY in the environment)"),
        (404, "refused", "404: said 404"),
        (429, "throttled", "429: said 429"),
        (500, "failed", "500: said 500"),
        (502, "unreachable", "502: said 502"),
        ((422, {"title": "Unprocessable", "detail": "no input"}), "refused", "422: no input"),
        ((200, {"status": "IN_QUEUE"}), "wrong", "200 without a job id"),
        ((200, {"id": 5}), "wrong", "200 without a job id"),
        (CUT, "unreachable", "connection closed"),
    ],
)
def test_a_submission_that_is_not_accepted_is_told_by_its_status(jobs_of, submit, outcome, words):
    with platform(submit=submit) as server:
        found, measured, exchange = ask(jobs_of(server))
    assert (found, len(server.asked)) == (outcome, 1)
    assert words in measured["error"]
    assert measured["bytes_out"] > 0
    assert exchange.seen is None


def test_a_job_id_that_another_request_has_is_an_error_with_its_cause(jobs_of):
    with platform(submit={"status": "IN_QUEUE", "id": "job-u1"}) as server:
        jobs = jobs_of(server)
        (first, *_), (second, measured, exchange), (again, *_) = ask(jobs, 0), ask(jobs, 1), ask(jobs, 0)
        assert (first, second, again) == ("ok", "failed", "ok")
        assert measured["error"] == "the platform gave this request the same job id as request 0: its result is not known"
        assert cause(second, 0.1, exchange.status, measured["error"]) == "same_job"
        assert len(server.to("status")) == 2


def test_a_wrong_key_is_told_and_blotted_out_of_what_the_service_repeats(jobs_of):
    with platform(submit=(401, {"detail": "invalid key k1secret"})) as server:
        assert ask(jobs_of(server, key="k1secret"))[1]["error"] == "401: invalid key [key] (is the key in RUNPOD_API_KEY the right one?)"
    with platform({"status": "FAILED", "error": "Bearer k1secret", "workerId": "k1secret"}) as server:
        measured = ask(jobs_of(server, key="k1secret"))[1]
    assert (measured["error"], measured["worker_id"]) == ("Bearer [key]", "[key]")


@pytest.mark.slow
def test_runsync_can_bring_the_end_with_its_answer(jobs_of):
    with platform(submit={**DONE, "delayTime": 1, "executionTime": 1}) as server:
        outcome, measured, exchange = ask(jobs_of(server, LARGE))
    assert (outcome, measured["polls"], measured["execution_s"]) == ("ok", 0, 0.001)
    assert exchange.done == exchange.seen
    assert (server.asked[0].path, server.asked[0].query) == ("/v2/ep/runsync", {"wait": "1000"})  # before the deadline of 5 s


@pytest.mark.slow
def test_runsync_without_the_end_is_followed_up(jobs_of):
    with platform(RUNNING, DONE, submit=QUEUED) as server:
        outcome, measured, exchange = ask(jobs_of(server, LARGE, limits=Timeouts(5, 1, 100)))
    assert (outcome, measured["polls"], server.asked[0].query) == ("ok", 2, {"wait": "90000"})
    assert exchange.sent < exchange.done <= exchange.seen


def test_a_long_poll_brings_the_end_as_it_comes(jobs_of):
    ended = threading.Event()
    with platform(DONE, long=[ended]) as server:
        asked = gevent.spawn(ask, jobs_of(server, poll="auto"))
        until(lambda: server.to("status-sync"))
        ended.set()
        outcome, measured, _ = asked.get(timeout=60)
    assert (outcome, measured["polls"], server.to("status")) == ("ok", 1, [])
    assert 4000 <= int(server.to("status-sync")[0].query["wait"]) <= 5000  # what is left until the deadline


@pytest.mark.parametrize("missing", [404, 405])
def test_a_service_without_long_polls_is_asked_for_one_no_more(jobs_of, missing):
    with platform(QUEUED, DONE, long=[missing]) as server:
        jobs = jobs_of(server, poll="auto")
        assert [ask(jobs, seq)[0] for seq in range(3)] == ["ok"] * 3
    assert (len(server.to("status-sync")), len(server.to("status"))) == (1, 6)


def test_a_long_poll_that_breaks_is_followed_by_short_ones_for_that_job_alone(jobs_of):
    with platform(QUEUED, DONE, long=[CUT]) as server:
        jobs = jobs_of(server, poll="auto")
        assert [ask(jobs, seq)[0] for seq in range(2)] == ["ok"] * 2
    assert (len(server.to("status-sync")), len(server.to("status"))) == (2, 4)


def test_long_polls_take_half_of_the_places_at_most(jobs_of):
    ended = threading.Event()
    with platform(DONE, long=[ended]) as server:
        jobs = jobs_of(server, poll="auto", places=8)
        asked = [gevent.spawn(ask, jobs, seq) for seq in range(20)]
        until(lambda: sum(greenlet.ready() for greenlet in asked) == 16)
        assert len(server.to("status-sync")) == 4
        ended.set()
        assert {greenlet.get(timeout=60)[0] for greenlet in asked} == {"ok"}


def test_all_jobs_share_the_places(jobs_of):
    with platform(*[QUEUED] * 5, DONE) as server:
        jobs = jobs_of(server, places=3)
        asked = [gevent.spawn(ask, jobs, seq) for seq in range(30)]
        gevent.joinall(asked, timeout=60, raise_error=True)
        assert {greenlet.value[1]["polls"] for greenlet in asked} == {6}
        assert len(server.asked) == 30 * 7
        assert 1 <= server.most_open["status"] <= 3
        assert jobs.limiter.open == 0


def test_a_429_on_a_poll_slows_polling_down(jobs_of):
    with platform(429, DONE) as server:
        jobs = jobs_of(server)
        before = jobs.limiter.rate
        assert ask(jobs)[0] == "ok"
        assert jobs.limiter.rate == before / 2


def test_an_endpoint_that_went_away_is_a_fault_of_connecting(jobs_of, monkeypatch):
    monkeypatch.setattr("coldburst.targets.http.KEEP_S", 0.0)
    with platform(QUEUED) as server:
        jobs = jobs_of(server)
        exchange = Exchange()
        asked = gevent.spawn(jobs.send, 0, "run-0-1", exchange)
        until(lambda: server.to("status"))
    evidence = asked.get(timeout=60)
    assert exchange.fault == "connect"
    assert "refused" in evidence.measured["error"]


@pytest.mark.slow
def test_our_own_deadline_tells_the_last_known_state(jobs_of):
    with platform(QUEUED) as server:
        outcome, measured, exchange = ask(jobs_of(server, limits=Timeouts(5, 5, 0.5)))
    assert (outcome, exchange.fault, measured["error"]) == ("abandoned", "deadline", "still IN_QUEUE after 0.5 s")
    assert exchange.done == exchange.sent + 0.5
    assert measured["polls"] >= 2


@pytest.mark.slow
def test_polls_that_failed_before_the_deadline_are_told(jobs_of):
    with platform(RUNNING, 500) as server:
        outcome, measured, _ = ask(jobs_of(server, limits=Timeouts(5, 5, 0.5), lost_s=60))
    assert outcome == "abandoned"
    assert re.fullmatch(r"given up after 0\.5 s: last seen IN_PROGRESS \d s before \(then: 500: said 500\)", measured["error"])


@pytest.mark.slow
def test_a_last_look_at_the_deadline_finds_what_ended_in_time(jobs_of):
    with platform({**DONE, "delayTime": 0, "executionTime": 1}) as server:
        outcome, measured, exchange = ask(jobs_of(server, poll_s=60, limits=Timeouts(5, 5, 0.5)))
    assert (outcome, measured["polls"]) == ("ok", 1)
    assert exchange.done < exchange.sent + 0.5 < exchange.seen


def test_what_ended_later_than_the_deadline_is_abandoned_however_it_ended(jobs_of):
    with platform({**DONE, "executionTime": 90_000}) as server:
        jobs = jobs_of(server, poll_s=60, limits=Timeouts(5, 5, 0.3))
        outcome, measured, exchange = ask(jobs)
        assert jobs.close() == 0
    assert (outcome, measured["error"]) == ("abandoned", "COMPLETED, but later than 0.3 s")
    assert exchange.done == exchange.sent + 0.3
    assert exchange.done < exchange.seen
    assert server.to("cancel") == []


def begun(jobs, server, count=1):
    """That many jobs which have been asked after at least once, and their exchanges."""
    exchanges = [Exchange() for _ in range(count)]
    greenlets = [gevent.spawn(jobs.send, seq, f"run-{seq}-1", exchange) for seq, exchange in enumerate(exchanges)]
    until(lambda: all(exchange.known.get("polls", 0) > 1 for exchange in exchanges))
    return greenlets, exchanges


def test_a_job_that_is_cut_still_tells_its_id_and_is_cancelled(jobs_of):
    with platform(RUNNING) as server:
        jobs = jobs_of(server)
        greenlets, (exchange,) = begun(jobs, server)
        gevent.killall(greenlets)
        assert jobs.close() == 0
    assert exchange.known["job_id"] == "job-0-u1"
    assert (exchange.known["worker_id"], exchange.known["error"]) == ("w1", "last seen IN_PROGRESS")
    assert exchange.known["polls"] >= 2
    assert (jobs.limiter.open, jobs.limiter.waiting) == (0, 0)
    assert len(server.to("cancel")) == 1


def test_only_what_has_not_ended_is_cancelled_and_few_at_a_time(jobs_of):
    with platform(QUEUED) as server:
        jobs = jobs_of(server)
        greenlets, _ = begun(jobs, server, 35)
        server.polls = (DONE,)
        assert ask(jobs, 35)[0] == "ok"
        gevent.killall(greenlets)
        assert jobs.close() == 0
    assert {asked.path.split("/")[-1] for asked in server.to("cancel")} == {f"job-{number}-u1" for number in range(35)}
    assert 1 <= server.most_open["cancel"] <= 16  # 80 % of the 20 at a time that RunPod allows


@pytest.mark.slow
def test_cancelling_keeps_within_the_platforms_limit_on_it(jobs_of):
    with platform(QUEUED) as server:
        jobs = jobs_of(server, cancel_s=0.3)
        gevent.killall(begun(jobs, server, 60)[0])
        left = jobs.close()
    assert left == 60 - len(server.to("cancel"))
    assert left >= 15  # 40 at once, which is half of 80 % of 100 in 10 s, and 8 a second from then on


@pytest.mark.parametrize(("how", "cancel", "cancels"), [({"cancel": False}, 200, 0), ({}, 500, 1), ({}, threading.Event(), 1)])
def test_what_may_still_run_is_told(jobs_of, monkeypatch, caplog, how, cancel, cancels):
    monkeypatch.setattr("coldburst.targets.queue.CANCEL_S", 0.2)  # an answer that does not come is not waited for
    with platform(QUEUED, cancel=cancel) as server:
        jobs = jobs_of(server, cancel_s=0.2, **how)
        gevent.killall(begun(jobs, server)[0])
        assert jobs.close() == 1
        assert jobs.close() == 0
    assert len(server.to("cancel")) == cancels
    assert f"1 jobs may still run and cost money: POST {server.url}/purge-queue" in caplog.text


def test_a_job_id_cannot_leave_its_place_in_the_path(jobs_of):
    with platform(DONE, submit={"id": "a/../b?c d\r\nX: y", "status": "IN_QUEUE"}) as server:
        assert ask(jobs_of(server))[0] == "ok"
    assert server.asked[1].path == "/v2/ep/status/a%2F..%2Fb%3Fc%20d%0D%0AX%3A%20y"


def test_a_policy_travels_in_milliseconds(jobs_of):
    with platform() as server:
        ask(jobs_of(server, execution_timeout_s=5.5, ttl_s=10))
    assert json.loads(server.asked[0].body)["policy"] == {"executionTimeout": 5500, "ttl": 10000}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ttl_s": 5}, "--ttl 5 s is outside RunPod's bounds: give 10 to 604800 s"),
        ({"execution_timeout_s": 1}, "--execution-timeout 1 s is outside RunPod's bounds: give 5 to 604800 s"),
        ({"poll": "often"}, "--poll 'often' does not exist"),
    ],
)
def test_what_the_platform_would_refuse_is_refused_before_the_run(wrong, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        QueueOptions(**wrong)


def test_nobody_listening_is_unreachable():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        jobs = QueueTarget(f"http://127.0.0.1:{free.getsockname()[1]}/v2/ep", load_payload(None, lambda: SPOKEN.clips), QUICK, LIMITS)
        outcome, measured, _ = ask(jobs)
    assert outcome == "unreachable"
    assert measured["audio_s"] == 1.5
    assert "job_id" not in measured
