"""Load-balancing endpoints: a 400 that the platform made told from a worker's own, and answers read in either dialect."""

import json

import pytest

from coldburst.targets.clips import Clip
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.load_balancer import LoadBalancerOptions, LoadBalancerTarget
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from tests.support.scripted import scripted

LIMITS = Timeouts(5, 5, 5)
SAID = "the cat sat on the mat"
SPOKEN = Payload(None, (Clip("a.wav", 1.5, SAID, b"abc"),))
JSON = Payload({"n": "{{seq}}"}, ())


def answering(status, body, delay=None, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())

    def answer(sock, _request):
        if delay:
            delay()
        sock.sendall(f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        return True

    return answer


def ask(server, payload=JSON, key="", seq=4, **how):
    balancer, exchange = LoadBalancerTarget(f"{server.url}/base", payload, LoadBalancerOptions(**how), LIMITS, key), Exchange()
    try:
        evidence = balancer.send(seq, f"run-{seq}-1", exchange)
    finally:
        balancer.close()
    return decide(fault=exchange.fault, status=exchange.status, says=evidence.says), evidence.measured


def test_a_template_is_posted_to_any_path_with_the_key():
    with scripted(answering(200, {"ok": 1}, X_Runpod_Worker_Id="w7")) as server:
        outcome, measured = ask(server, key="k1", path="/generate")
    assert (outcome, measured) == ("ok", {"bytes_out": 8, "bytes_in": 9, "worker_id": "w7"})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"POST /base/generate HTTP/1.1", b'{"n": 4}')
    assert {
        b"Authorization: Bearer k1",
        b"Content-Type: application/json",
        b"X-Request-ID: run-4-1",
    } <= set(head.split(b"\r\n"))


def test_a_path_that_the_host_ends_in_is_not_doubled():
    with scripted(answering(200, {"ok": 1})) as server:
        assert ask(server, path="/base/generate")[0] == "ok"
    assert server.requests[0].startswith(b"POST /base/generate HTTP/1.1\r\n")


def test_without_anything_to_send_there_is_no_body():
    with scripted(answering(204, b"")) as server:
        assert ask(server, Payload(None, ()))[0] == "ok"
    assert server.requests[0].startswith(b"GET /base/ HTTP/1.1\r\n")
    assert b"Content-Type" not in server.requests[0]
    assert b"Content-Length: 0\r\n" in server.requests[0]


@pytest.mark.parametrize(
    ("text", "outcome", "wer"), [("The cat sat on the mat", "ok", 0.0), ("a dog ran in a park", "wrong", 1.0), (None, "wrong", None)]
)
def test_clips_travel_as_a_transcription_services_form_and_are_judged_like_it(text, outcome, wer):
    with scripted(answering(200, {"text": text}, Server_Timing="exec;dur=250")) as server:
        found, measured = ask(server, SPOKEN, path="/v1/audio/transcriptions", model="m1", max_wer=0.5)
    assert (found, measured.get("wer"), measured["audio_s"], measured["execution_s"]) == (outcome, wer, 1.5, 0.25)
    assert b'filename="a.wav"' in server.requests[0]
    assert b"m1\r\n" in server.requests[0]


def test_clips_in_a_template_are_judged_too():
    payload = Payload({"audio": "{{audio_base64}}"}, SPOKEN.clips)
    for text, outcome in ((SAID, "ok"), ("a dog", "wrong")):
        with scripted(answering(200, {"transcription": text})) as server:
            assert ask(server, payload, max_wer=0.5)[0] == outcome
    with scripted(answering(200, {"words": 6})) as server:
        assert ask(server, payload, max_wer=0.5)[1]["error"].startswith("the answer has no 'text' to compare")
        assert ask(server, payload)[0] == ask(server, payload, max_wer=None)[0] == "ok"
    assert server.requests[0].endswith(b'{"audio": "YWJj"}')


def waiting(seconds):
    import gevent.monkey

    return lambda: gevent.monkey.get_original("time", "sleep")(seconds)


NOBODY, OWN = {"error": "no workers available"}, {"detail": "no such voice"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("delay_s", "body", "outcome", "words"),
    [
        (0.25, NOBODY, "queue_timeout", "400: no workers available (after 0."),
        (0.25, OWN, "queue_timeout", "by its time the platform gave up waiting"),
        (0.25, {"title": "x", "detail": "timed out waiting for worker"}, "queue_timeout", "timed out waiting for worker (after 0."),
        (0, OWN, "refused", "400: no such voice (after 0."),
        (0, NOBODY, "refused", "by its time not the end of a wait for a worker"),
    ],
)
def test_a_400_is_the_platforms_if_it_took_as_long_as_the_platform_waits(delay_s, body, outcome, words):
    with scripted(answering(400, body, waiting(delay_s))) as server:
        found, measured = ask(server, hold_from_s=0.2 if delay_s else 4, hold_to_s=5)
    assert found == outcome
    assert words in measured["error"]


def test_the_documented_wait_of_two_minutes_lies_within_the_default_bounds():
    assert LoadBalancerOptions().hold_from_s < 120 < LoadBalancerOptions().hold_to_s


@pytest.mark.parametrize(
    ("status", "body", "outcome", "words"),
    [
        (524, b"<h1>524: A timeout occurred</h1>", "timed_out", "524: A timeout"),
        (502, b"", "unreachable", "502"),
        (429, {"error": "slow down"}, "throttled", "429: slow down"),
        (503, {"detail": "busy"}, "busy", "503: busy"),
        (500, {"error": "boom"}, "failed", "500: boom"),
        (404, {"error": "nothing here"}, "refused", "404: nothing here (is the --path, or the id in --host, right?)"),
        (
            401,
            {"status": 401, "title": "Unauthorized", "detail": "no token provided"},
            "refused",
            "401: no token provided (no key was sent: set",
        ),
        (200, {"error": "CUDA out of memory"}, "failed", "an error inside a 200: CUDA out of memory"),
        (200, b"plain text", "ok", ""),
    ],
)
def test_other_answers_are_named_with_the_worker_that_gave_them(status, body, outcome, words):
    with scripted(answering(status, body, X_Runpod_Worker_Id="w7")) as server:
        found, measured = ask(server)
    assert (found, measured["worker_id"]) == (outcome, "w7")
    assert words in measured.get("error", "")
    assert bool(measured.get("error")) == (outcome != "ok")


def test_a_key_that_the_worker_repeats_is_blotted_out():
    with scripted(answering(400, {"error": "bad k1secret"}, X_Runpod_Worker_Id="k1secret")) as server:
        measured = ask(server, key="k1secret")[1]
    assert measured["worker_id"] == "[key]"
    assert "k1secret" not in measured["error"]


def test_a_broken_connection_is_a_fault():
    with scripted(lambda _sock, _request: False) as server:
        outcome, measured = ask(server, SPOKEN)
    assert (outcome, measured["audio_s"]) == ("unreachable", 1.5)
    assert measured["error"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"hold_from_s": 9, "hold_to_s": 9}, "--hold-from 9 must be below --hold-to 9"), ({"hold_from_s": -1}, "--hold-from -1 must be")],
)
def test_settings_that_cannot_be_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        LoadBalancerOptions(**wrong)
