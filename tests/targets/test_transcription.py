"""Transcription services: the form that is sent, and every way in which an answer can be less than one."""

import json

import pytest

from coldburst.targets.answer import Sender
from coldburst.targets.checks import Checks
from coldburst.targets.clips import Clip
from coldburst.targets.expression import several
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.transcription import TranscriptionOptions, TranscriptionTarget
from coldburst.targets.transcription_answer import judge, timing
from tests.support.scripted import says, scripted

SAID = "the cat sat on the mat"
LIMITS = Timeouts(2, 2, 2)
OPEN = Sender("transcription", "", "TRANSCRIPTION_API_KEY")


def answered(status, body, content_type="application/json"):
    body = json.dumps(body).encode() if isinstance(body, dict | list) else body
    return Exchange(0.0, 0.1, 0.2, status, {"content-type": content_type}, body)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "words"),
    [
        (200, {"text": "The cat sat on the mat."}, "ok", ""),
        (200, {"text": "the bat sat on the mat"}, "ok", ""),
        (200, {"text": "a dog ran in a park"}, "wrong", "word error rate 1.00 is above 0.5"),
        (200, {"text": ""}, "wrong", "the transcript is empty"),
        (200, {"text": None}, "wrong", "without a 'text'"),
        (200, b"the cat sat on the mat", "wrong", "without a JSON object"),
        (200, [1], "wrong", "without a JSON object"),
        (200, b"\xff\xfe", "wrong", "without a JSON object"),
        (200, {"error": "CUDA out of memory"}, "failed", "CUDA out of memory"),
        (200, {"success": False, "message": "model fell over"}, "failed", "model fell over"),
        (200, {"status": "FAILED", "detail": "no GPU"}, "failed", "no GPU"),
        (503, {"detail": "Service busy. Please retry later."}, "busy", "503: Service busy"),
        (503, b"<html><h1>503 Service Temporarily Unavailable</h1></html>", "failed", "from a proxy or gateway, not the service"),
        (429, b"<html><h1>429 Too Many Requests</h1></html>", "throttled", "429 Too Many"),
        (502, b"<html>502 Bad Gateway</html>", "unreachable", "502 Bad Gateway"),
        (500, {"error": {"message": "boom", "type": "x"}}, "failed", "boom"),
        (401, {"detail": "Invalid or missing API token"}, "refused", "Invalid or missing API token"),
        (413, b"", "refused", "413"),
        (422, {"detail": [{"msg": "field required"}]}, "refused", "field required"),
    ],
)
def test_an_answer_is_named_for_what_it_is(status, body, outcome, words):
    content_type = "text/html" if isinstance(body, bytes) and body.startswith(b"<") else "application/json"
    evidence = judge(answered(status, body, content_type), SAID, TranscriptionOptions(max_wer=0.5), {}, OPEN)
    assert decide(status=status, says=evidence.says) == outcome
    assert words in evidence.measured.get("error", "")
    assert bool(evidence.measured.get("error")) == (outcome != "ok")


def test_without_a_reference_text_or_a_comparison_no_transcript_is_wrong():
    for reference, limit in (("", 0.5), (SAID, None)):
        evidence = judge(answered(200, {"text": ""}), reference, TranscriptionOptions(max_wer=limit), {"audio_s": 1.0}, OPEN)
        assert (evidence.says, evidence.measured) == ("", {"audio_s": 1.0})


def test_without_a_limit_words_are_compared_and_none_is_wrong_unless_there_are_no_words():
    judged = [judge(answered(200, {"text": text}), SAID, TranscriptionOptions(), {}, OPEN) for text in ("a dog ran in a park", " ")]
    assert [(one.says, one.measured["wer"]) for one in judged] == [("", 1.0), ("wrong", 1.0)]


def test_an_expectation_is_checked_on_the_services_json():
    options = TranscriptionOptions(checks=Checks(several("segments", "--expect")))
    judged = judge(answered(200, {"text": SAID, "segments": []}), SAID, options, {}, OPEN)
    assert (judged.says, judged.measured["error"][:34]) == ("wrong", 'expected segments, found [] in {"t')
    assert judge(answered(200, {"text": SAID, "segments": [1]}), SAID, options, {}, OPEN).says == ""


def test_clips_are_sent_in_turn_over_and_over_and_the_same_bytes_each_time():
    clips = [Clip(f"{name}.wav", 1.0, "", name.encode() * 50) for name in "abc"]
    with scripted(says(b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"text": "hi"}')) as server:
        service = TranscriptionTarget(server.url, clips, TranscriptionOptions(), LIMITS, key="k1")
        found = [service.send(seq, f"run-{seq}-1", Exchange()) for seq in range(7)]
        service.client.close()
    sent = [next(clip.name for clip in clips if clip.data in request) for request in server.requests]
    assert sent == ["a.wav", "b.wav", "c.wav", "a.wav", "b.wav", "c.wav", "a.wav"]
    assert b"Authorization: Bearer k1\r\n" in server.requests[0]
    assert b"X-Request-ID: run-6-1\r\n" in server.requests[6]
    assert all(evidence.says == "" for evidence in found)
    assert {evidence.measured["bytes_in"] for evidence in found} == {14}
    bodies = {request.partition(b"\r\n\r\n")[2] for request in server.requests}
    assert len(bodies) == 3


def test_a_key_that_the_service_repeats_is_blotted_out():
    with scripted(
        says(b"HTTP/1.1 401 No\r\nX-Worker-Id: w-k1secret\r\nContent-Length: 128\r\n\r\n" + b"x" * 115 + b"bad k1secret ")
    ) as server:
        service = TranscriptionTarget(server.url, [Clip("a.wav", 1.0, "", b"a")], TranscriptionOptions(), LIMITS, key="k1secret")
        measured = service.send(0, "run-0-1", Exchange()).measured
        service.client.close()
    assert "k1" not in measured["error"]  # not even the part of it that stands before the cut
    assert measured["worker_id"] == "w-[key]"


def test_server_timing_gives_queue_and_execution_in_seconds():
    headers = {"server-timing": "cache;desc=x, queue;dur=12.5, exec; dur=501", "x-worker-id": "w1"}
    assert timing(headers) == {"queue_s": 0.0125, "execution_s": 0.501, "worker_id": "w1"}
    for hostile in ("queue;dur=nan", "queue;dur=-1", "queue;dur=inf", "queue;dur=x", "queue", ";;,,==", "exec;dur="):
        assert timing({"server-timing": hostile}) == {}


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/", "/v1/audio/transcriptions"])
def test_a_base_url_of_an_openai_client_is_a_host_too(end):
    body = json.dumps({"text": SAID}).encode()
    with scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as server:
        target = TranscriptionTarget(f"{server.url}/openai{end}", (Clip("a.wav", 1.5, SAID, b"abc"),), TranscriptionOptions(), LIMITS)
        assert target.send(0, "run-0-1", Exchange()).says == ""
        target.close()
    assert server.requests[0].startswith(b"POST /openai/v1/audio/transcriptions HTTP/1.1\r\n")
    assert target.url == f"{server.url}/openai/v1/audio/transcriptions"
