"""Speech: what each kind of answer is, when its audio began, and how long it is, from a real socket."""

import base64
import io
import json
import struct
import threading

import numpy as np
import pytest
import soundfile

from coldburst.targets.audio_length import audio_seconds
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.speech import SpeechOptions, SpeechTarget, speech_payload
from tests.support.scripted import says, scripted

SOUND = np.zeros(12_000, np.float32)  # half a second at 24 kHz
PCM = bytes(2 * 12_000)
FAILED, NO_BASE64 = {"error": {"message": "out of memory"}}, {"type": "speech.audio.delta", "audio": "!"}


def encoded(form):
    content = io.BytesIO()
    soundfile.write(content, SOUND, 24_000, format=form)
    return content.getvalue()


def streamed_wave(size):
    """A WAV whose header was written before its length was known."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 24_000, 48_000, 2, 16)
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + form + b"data" + struct.pack("<I", size) + PCM


def answered(body, kind, status=200):
    return b"HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (status, kind.encode(), len(body)) + body


def events(*contents):
    return "".join(f"data: {json.dumps(content)}\n\n" for content in contents).encode()


def delta(content):
    return {"type": "speech.audio.delta", "audio": base64.b64encode(content).decode()}


def ask(url, tree=None, limit_s=10.0, **values):
    target = SpeechTarget(url, Payload(tree, ()), SpeechOptions(key_variable="OPENAI_API_KEY"), Timeouts(2, limit_s, limit_s))
    exchange = Exchange()
    evidence = target.send(0, "t", exchange, values)
    target.close()
    return exchange, evidence, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


@pytest.mark.parametrize(
    ("data", "outcome", "audio_s", "error"),
    [
        (answered(encoded("WAV"), "audio/wav"), "ok", 0.5, ""),
        (answered(streamed_wave(0xFFFFFFFF), "audio/wav"), "ok", 0.5, ""),
        (answered(streamed_wave(0), "application/octet-stream"), "ok", 0.5, ""),
        (answered(PCM, "audio/pcm"), "ok", 0.5, ""),
        (answered(PCM, "audio/L16; rate=12000; channels=2"), "ok", 0.5, ""),
        (answered(encoded("FLAC"), "audio/flac"), "ok", 0.5, ""),
        (answered(encoded("OGG"), "audio/ogg"), "ok", 0.5, ""),
        (answered(b"\xff\xf1" + bytes(500), "audio/aac"), "ok", None, ""),
        (answered(events(delta(PCM[:7000]), delta(PCM[7000:]), {"type": "speech.audio.done"}), "text/event-stream"), "ok", None, ""),
        (answered(events(delta(encoded("WAV"))), "text/event-stream"), "ok", 0.5, ""),
        (answered(events(delta(PCM[:70]), FAILED), "text/event-stream"), "failed", None, "out of memory after 70 bytes"),
        (answered(events(NO_BASE64), "text/event-stream"), "failed", None, "an event whose audio is not base64"),
        (answered(b"", "audio/wav"), "wrong", None, "the answer has no audio"),
        (answered(encoded("WAV")[:44], "audio/wav"), "wrong", 0.0, "the audio has no length"),
        (answered(b'{"text": "hello"}', "application/json"), "wrong", None, '200 without audio: {"text": "hello"}'),
        (answered(b'{"error": "no such voice"}', "application/json"), "failed", None, "an error inside a 200: no such voice"),
        (answered(b'{"error": {"message": "no such voice"}}', "application/json", 400), "refused", None, "400: no such voice"),
        (answered(encoded("WAV"), "audio/wav")[:-9000], "failed", None, "the audio ended after 15044 bytes: the connection closed"),
        (b"HTTP/1.1 200 OK\r\n", "unreachable", None, "the connection closed before the answer was complete"),
    ],
)  # fmt: skip
def test_an_answer_gets_its_outcome_and_its_length(data, outcome, audio_s, error):
    with scripted(says(data, goes_on=False)) as server:
        exchange, evidence, found = ask(server.url)
    known = evidence.measured
    assert (found, known.get("error", "")[: len(error)]) == (outcome, error)
    assert known.get("audio_s") == (None if audio_s is None else pytest.approx(audio_s))
    assert ("ttft_s" in known) == (audio_s is not None or outcome == "ok" or " bytes" in error)
    if outcome == "ok":
        assert 0 < known["ttft_s"] <= exchange.done - exchange.sent


def test_the_first_byte_counts_and_not_the_headers():
    go_on = threading.Event()

    def answer(sock, _request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 2\r\n\r\n")
        go_on.wait(60)
        sock.sendall(b"ab")
        return False

    with scripted(answer) as server:
        threading.Timer(0.2, go_on.set).start()
        exchange, evidence, _ = ask(server.url)
    # The timer begins before the request is sent, and the byte follows it.
    assert exchange.first < exchange.sent + evidence.measured["ttft_s"]


@pytest.mark.slow
def test_our_own_deadline_in_the_middle_of_the_audio_is_named():
    def answer(sock, _request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 900\r\n\r\n" + bytes(100))
        return sock.recv(1) != b""

    with scripted(answer) as server:
        _, evidence, outcome = ask(server.url, limit_s=0.3)
    assert (outcome, evidence.measured["error"]) == ("abandoned", "not done within 0.3 s, 100 bytes of audio so far")


def test_raw_samples_count_where_they_were_asked_for():
    with scripted(says(answered(PCM, "application/octet-stream"))) as server:
        assert ask(server.url, {"input": "x", "response_format": "pcm"})[1].measured["audio_s"] == 0.5
        assert "audio_s" not in ask(server.url, {"input": "x"})[1].measured
    assert audio_seconds(PCM[:4096], b"", len(PCM), "audio/pcm;rate=48000") == 0.25


def test_a_template_takes_values_and_keeps_its_own_model():
    with scripted(says(answered(PCM, "audio/pcm"))) as server:
        ask(server.url, {"input": "request {{seq}}", "model": "kokoro"})
        sent = json.loads(server.requests[0].partition(b"\r\n\r\n")[2])
    assert sent == {"input": "request 0", "model": "kokoro"}
    assert speech_payload(Payload(None, ()), "").tree["model"] == "tts-1"
    assert speech_payload(Payload({"input": "x"}, ()), "").tree == {"input": "x"}
    assert speech_payload(Payload({"input": "x"}, ()), "m").tree == {"model": "m", "input": "x"}
