"""Videos whose jobs are polled: submitted, followed to their end, fetched, and cancelled when they are given up."""

import json

import gevent
import pytest

from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.video import VideoOptions, VideoTarget
from tests.support.scripted import scripted
from tests.support.transcribers import ask, until
from tests.support.videos import FIXED, video_service

LIMITS, NOTHING = Timeouts(5, 60, 60), Payload(None, ())
POLLED = VideoOptions(poll="status", poll_s=0.01)


def sent(target, exchange=None):
    exchange = exchange or Exchange()
    evidence = target.send(0, "run-0-1", exchange)
    return exchange, evidence, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


@pytest.mark.slow
def test_a_job_is_submitted_polled_and_its_video_fetched():
    with video_service(*FIXED) as (url, _):
        target = VideoTarget(f"{url}/v1/videos", NOTHING, POLLED, LIMITS)
        exchange, evidence, outcome = sent(target)
        target.close()
        measured = evidence.measured
        video = ask(url, f"/v1/videos/{measured['job_id']}/video").body
        assert (outcome, exchange.status, measured["worker_id"]) == ("ok", 202, "box-0")
        assert measured["polls"] >= 1 and measured["bytes_in"] == len(video)
        assert measured["execution_s"] >= 0.12 and measured["video_s"] >= 0.1 and measured["queue_s"] >= 0
        # It ended when the service says, and then the video was fetched; both before this was seen.
        assert measured["queue_s"] + measured["execution_s"] <= exchange.done - exchange.sent <= exchange.seen - exchange.sent


@pytest.mark.slow
@pytest.mark.parametrize("cancel", [True, False])
def test_a_job_that_is_given_up_is_cancelled_unless_it_is_to_go_on(cancel, caplog):
    with video_service("--engine", "fixed", "--tts", "0", "--video", "600") as (url, _):
        target = VideoTarget(f"{url}/v1/videos", NOTHING, VideoOptions(poll="status", poll_s=0.01, cancel=cancel), Timeouts(0.5, 0.5, 0.5))
        exchange, evidence, outcome = sent(target)
        assert (outcome, evidence.measured["error"].endswith("after 0.5 s")) == ("abandoned", True)
        assert exchange.done - exchange.sent == pytest.approx(0.5)
        target.close()
        health = ask(url, "/health").json()
        assert (health["counts"].get("cancelled", 0), health["busy"]) == ((1, 0) if cancel else (0, 1))
        assert ("1 videos may still be made" in caplog.text) is not cancel


@pytest.mark.slow
def test_a_run_that_is_cut_cancels_its_jobs():
    with video_service("--engine", "fixed", "--tts", "0", "--video", "600") as (url, _):
        target = VideoTarget(f"{url}/v1/videos", NOTHING, POLLED, LIMITS)
        exchange = Exchange()
        sending = gevent.spawn(sent, target, exchange)
        while not exchange.known.get("polls"):
            gevent.sleep(0.01)
        gevent.kill(sending)
        target.close()
        until(lambda: ask(url, "/health").json()["counts"].get("cancelled") == 1, "cancelled job")


def polled(*answers):
    """The evidence and the outcome where the job's polls get these (status, object), the last one again and again."""
    polls = []

    def answer(sock, request):
        if request.startswith(b"POST"):
            status, content = 202, {"id": "j1", "status": "queued"}
        else:
            status, content = answers[min(len(polls), len(answers) - 1)]
            polls.append(request)
        body = json.dumps(content).encode()
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        sock.sendall(head + body)
        return True

    with scripted(answer) as server:
        target = VideoTarget(f"{server.url}/v1/videos", NOTHING, POLLED, LIMITS)
        exchange, evidence, outcome = sent(target)
        target.close()
    return evidence, outcome, exchange


def test_a_poll_that_fails_decides_nothing():
    running = {"id": "j1", "status": "running"}
    late = {
        "id": "j1",
        "status": "queue_timeout",
        "queue_s": 9.0,
        "error": {"code": "queue_timeout", "message": "queue timeout: no worker"},
    }
    evidence, outcome, exchange = polled((500, {"detail": "sick"}), (200, running), (502, {}), (200, late))
    assert (outcome, evidence.cause, evidence.measured["polls"]) == ("queue_timeout", "no_capacity", 4)
    # Nine seconds cannot have passed: what was observed limits it.
    assert exchange.done <= exchange.seen


def test_a_job_that_the_service_no_longer_knows_has_failed():
    evidence, outcome, _ = polled((404, {"detail": "There is no job of that id"}))
    assert (outcome, evidence.measured["error"]) == ("failed", "the job is gone: There is no job of that id")


def test_a_job_without_its_video_has_failed():
    """The second answer is that to the request for the video."""
    evidence, outcome, _ = polled((200, {"id": "j1", "status": "done", "queue_s": 0.0, "execution_s": 0.0}), (404, {"detail": "gone"}))
    assert (outcome, evidence.measured["error"]) == ("failed", "its video could not be fetched: 404: gone")


def test_jobs_are_polled_where_a_proxy_would_end_a_silent_request():
    assert VideoOptions().polls("https://videos.example.com") and not VideoOptions().polls("http://127.0.0.1:8085")
    assert VideoOptions(poll="status").polls("http://h") and not VideoOptions(poll="status-sync").polls("https://h")
    with pytest.raises(ValueError, match="--poll 'stream' is not for a video service"):
        VideoOptions(poll="stream")
