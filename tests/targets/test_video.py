"""Requests for videos: what is sent, where to, and the phases in the answer."""

import json

import pytest

from coldburst.option import OptionError
from coldburst.targets.address import infer
from coldburst.targets.answer_shapes import phases
from coldburst.targets.checks import ANY, Checks
from coldburst.targets.expression import several
from coldburst.targets.factory import key_variable, route
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.video import VideoOptions, VideoTarget
from tests.support.scripted import scripted

LIMITS, NOTHING = Timeouts(5, 5, 5), Payload(None, ())
DONE = {"id": "j1", "status": "done", "queue_s": 1.5, "tts_s": 0.2, "video_s": 1.35, "audio_s": 4.0, "video": "/v1/videos/j1/video"}


@pytest.mark.parametrize(
    ("host", "told", "kind", "api"),
    [
        ("http://127.0.0.1:8085/v1/videos", "auto", "video", "http://127.0.0.1:8085"),
        ("http://127.0.0.1:8085/v1/videos/", "auto", "video", "http://127.0.0.1:8085"),
        ("http://127.0.0.1:8085", "video", "video", "http://127.0.0.1:8085"),
        ("http://127.0.0.1:8085/v1", "video", "video", "http://127.0.0.1:8085"),
        ("http://127.0.0.1:8085", "auto", "transcription", ""),
        ("http://127.0.0.1:8085/v2/demo", "auto", "queue", "http://127.0.0.1:8085/v2/demo"),
    ],
)
def test_the_address_of_a_video_service_is_recognised(host, told, kind, api):
    found = infer(host, told)
    assert (found.kind, found.api) == (kind, api)
    if kind == "video":
        assert (key_variable(found), route(found, "")) == ("VIDEO_API_KEY", "/v1/videos")


def answered(content, payload=NOTHING, checks=None):
    seen = []

    def answer(sock, request):
        seen.append(request)
        body = json.dumps(content).encode()
        timing = b"Server-Timing: queue;dur=1500, exec;dur=1550\r\nX-Worker-Id: w1"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s\r\nContent-Length: %d\r\n\r\n" % (timing, len(body))
        sock.sendall(head + body)
        return True

    with scripted(answer) as server:
        target = VideoTarget(f"{server.url}/v1/videos", payload, VideoOptions(checks=checks or ANY), LIMITS)
        exchange = Exchange()
        evidence = target.send(7, "run-7-1", exchange)
        target.close()
    return seen[0], evidence.measured, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


def test_a_video_is_awaited_and_its_times_are_columns():
    request, measured, outcome = answered(DONE)
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/videos?wait=true HTTP/1.1")
    assert json.loads(body)["script"].endswith("Video 7.")
    assert outcome == "ok"
    columns = {"queue_s": 1.5, "execution_s": 1.55, "worker_id": "w1", "job_id": "j1", "tts_s": 0.2, "video_s": 1.35, "audio_s": 4.0}
    assert measured | columns == measured


def test_a_template_is_sent_and_the_finished_job_can_be_checked():
    checks = Checks(expect=several("audio_s > `5`", "--expect"))
    request, measured, outcome = answered(DONE, Payload({"script": "Hi", "priority": 3}, (), "mine.json"), checks)
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"script": "Hi", "priority": 3}
    assert (outcome, measured["error"].startswith("expected audio_s > `5`")) == ("wrong", True)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"tts_s": 0.2, "video_s": 1, "audio_s": 4}, {"tts_s": 0.2, "video_s": 1.0, "audio_s": 4.0}),
        ({"tts_s": 0.2, "video_s": "1", "audio_s": True}, {"tts_s": 0.2}),
        ({"tts_s": -1, "video_s": 1e9, "audio_s": float("nan")}, {}),
        ({"video_s": 1.0, "audio_s": 4.0}, {}),
        ([1], {}),
        (None, {}),
    ],
)
def test_phases_that_cannot_be_are_not_believed(content, found):
    assert phases(content) == found


def test_a_service_must_be_named_rightly():
    with pytest.raises((ValueError, OptionError), match="is not a type of endpoint"):
        infer("http://127.0.0.1:8085", "vidoe")
