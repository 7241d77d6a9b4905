"""Transcripts in every shape: what each answer says, from a real socket, and from our own service."""

import json

import pytest

from coldburst.targets.clips import Clip, load_clips
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.load_balancer import LoadBalancerOptions, LoadBalancerTarget
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.transcript_shapes import SHAPES, form_fields, spoken_text
from coldburst.targets.transcription import TranscriptionOptions, TranscriptionTarget
from tests.support.scripted import says, scripted
from tests.support.transcribers import SAMPLES, transcriber

CLIP = Clip("a.wav", 2.0, "one two three", b"x")
LIMITS = Timeouts(2, 10, 10)
SRT = "1\r\n00:00:00,000 --> 00:00:01,000\r\none two\r\n\r\n2\r\n00:00:01,000 --> 00:00:02,000\r\nthree\r\n\r\n"
VTT = "WEBVTT\n\nNOTE by us\n\n00:00.000 --> 00:01.000\none two\n\nx\n00:01.000 --> 00:02.000\nthree\n"
DELTAS = ({"type": "transcript.text.delta", "delta": "one two"}, {"type": "transcript.text.delta", "delta": " three"})
END = {"type": "transcript.text.done", "text": "one two three"}


def answered(body, kind, status=200):
    content = body.encode()
    return b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind.encode(), len(content)) + content


def events(*contents):
    return "".join(f"data: {content if isinstance(content, str) else json.dumps(content)}\n\n" for content in contents)


def vllm(text="", finish=None):
    return {"object": "transcription.chunk", "choices": [{"delta": {"content": text}, "finish_reason": finish}]}


def transcription(url, shape, clip=CLIP):
    return TranscriptionTarget(url, [clip], TranscriptionOptions(shape=shape, max_wer=0.3), LIMITS)


def balancer(url, shape, clip=CLIP):
    return LoadBalancerTarget(
        url, Payload(None, (clip,)), LoadBalancerOptions("/v1/audio/transcriptions", shape=shape, max_wer=0.3), LIMITS
    )


def ask(target):
    exchange = Exchange()
    evidence = target.send(0, "t", exchange)
    target.close()
    return evidence.measured, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


@pytest.mark.parametrize("of", [transcription, balancer])
@pytest.mark.parametrize(
    ("shape", "data", "outcome", "error"),
    [
        ("json", answered('{"text": "One two three."}', "application/json"), "ok", ""),
        ("verbose_json", answered('{"text": "one two three", "segments": []}', "application/json"), "ok", ""),
        ("text", answered("One two three.\n", "text/plain"), "ok", ""),
        ("text", answered('"one two three"', "application/json"), "ok", ""),
        ("text", answered('{"text": "one two three"}', "application/json"), "ok", ""),
        ("srt", answered(SRT, "text/plain"), "ok", ""),
        ("vtt", answered(VTT, "text/vtt"), "ok", ""),
        ("stream", answered(events(*DELTAS, END), "text/event-stream"), "ok", ""),
        ("stream", answered(events(vllm("one two"), vllm(" three", "stop"), "[DONE]"), "text/event-stream"), "ok", ""),
        ("stream", answered(events({"text": "one two"}, {"text": "three"}), "text/event-stream"), "ok", ""),
        ("stream", answered(events("one two", "three"), "text/event-stream"), "ok", ""),
        ("stream", answered('{"text": "one two three"}', "application/json"), "ok", ""),
        ("text", answered("six seven", "text/plain"), "wrong", "word error rate 1.00 is above 0.3"),
        ("text", answered("<html>", "text/html"), "wrong", "200 without plain text"),
        ("srt", answered("one two three", "text/plain"), "wrong", "200 without subtitles: one two three"),
        ("vtt", answered("WEBVTT\n\n", "text/vtt"), "wrong", "the transcript is empty"),
        ("json", answered("one two three", "text/plain"), "wrong", "200 without a JSON object"),
        ("stream", answered("one", "text/plain"), "wrong", "200 without a stream of events"),
        ("stream", answered(events(*DELTAS), "text/event-stream"), "failed", "the stream ended after 2 parts of the text"),
        ("stream", answered(events(DELTAS[0], {"error": {"message": "no memory"}}), "text/event-stream"), "failed", "no memory after 1"),
        ("stream", answered(events(*DELTAS, END), "text/event-stream")[:-90], "failed", "the stream ended after 2 parts of the text: "),
        ("srt", answered('{"detail": "too long"}', "application/json", 422), "refused", "422: too long"),
    ],
)  # fmt: skip
def test_an_answer_gets_its_outcome(of, shape, data, outcome, error):
    with scripted(says(data, goes_on=False)) as server:
        known, found = ask(of(server.url, shape))
    assert (found, known.get("error", "")[: len(error)]) == (outcome, error)
    assert known["audio_s"] == 2.0
    if outcome == "ok":
        assert known["wer"] == 0.0
        assert ("ttft_s" in known, "itl_p95_s" in known) == (b"event-stream" in data, b"event-stream" in data)


@pytest.mark.slow
def test_our_own_service_answers_each_shape():
    (clip,) = load_clips(SAMPLES / "01-harbour.wav")
    with transcriber("--engine", "fixed", "--service-time", "0") as service:
        found = {shape: ask(transcription(service.url, shape, clip)) for shape in SHAPES}
    # The engine without a recogniser says the same wrong text in every shape.
    assert {(outcome, known["error"]) for known, outcome in found.values()} == {("wrong", found["json"][0]["error"])}
    assert [shape for shape, (known, _) in found.items() if "ttft_s" in known] == ["stream"]


def test_the_form_asks_for_its_shape():
    assert form_fields("m", "en") == {"model": "m", "response_format": "json", "language": "en"}
    assert form_fields("m", "", "srt") == {"model": "m", "response_format": "srt"}
    assert form_fields("m", "", "stream") == {"model": "m", "response_format": "json", "stream": "true"}


def test_silence_is_no_text_and_no_error():
    assert spoken_text("srt", None, b"") == spoken_text("vtt", None, b"WEBVTT\n\n") == ""
    assert spoken_text("text", None, "\ufeffé".encode()) == "é"
