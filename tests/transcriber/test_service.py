"""The transcription service as a process of its own: its contract, its queue, its end."""

import base64
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import psutil
import pytest

from tests.support.endings import numbers
from tests.support.transcribers import ROUTE, SAMPLES, ask, connect, form, receive, run, send, silence, transcribe, transcriber, until

CLIP = (SAMPLES / "01-harbour.wav").read_bytes()
LONG = (SAMPLES / "04-coffee.wav").read_bytes()
SECOND = silence(1.0)
FIXED = ("--engine", "fixed", "--service-time")
TOKEN = "quite-a-secret"


@pytest.fixture(scope="module")
def service():
    with transcriber(*FIXED, "0.05", "--worker-id", "box-1", "--max-megabytes", "1", API_TOKEN=TOKEN) as running:
        yield running


def authorised(service, content, **fields):
    return transcribe(service.url, content, {"X-API-Key": TOKEN}, **fields)


# --- the contract


def test_an_answer_has_text_real_length_and_where_its_time_went(service):
    before, asked_at = len(service.log()), time.time()
    answer = transcribe(
        service.url, CLIP, {"X-API-Key": TOKEN, "X-Request-ID": "r-7"}, response_format="verbose_json", language="en", temperature="0"
    )
    assert answer.status == 200
    assert answer.headers["x-worker-id"] == "box-1"
    body = answer.json()
    assert set(body) == {"task", "text", "language", "duration", "segments"}
    assert body["duration"] == pytest.approx(2.69, abs=0.001)
    assert " ".join(segment["text"] for segment in body["segments"]) == body["text"] != ""
    names = "id seek start end text tokens temperature avg_logprob compression_ratio no_speech_prob audio_start audio_end"
    assert set(body["segments"][0]) == set(names.split())
    queue_ms, exec_ms = timing(answer)
    assert queue_ms >= 0
    assert exec_ms >= 50
    row = service.log(before + 1)[-1]
    assert (row["request_id"], row["status"], row["worker_id"], row["slot"]) == ("r-7", 200, "box-1", row["slot"])
    assert row["execution_s"] * 1000 == pytest.approx(exec_ms, abs=0.001)
    assert row["total_s"] >= row["queue_s"] + row["execution_s"]
    assert row["audio_s"] == body["duration"]
    assert row["bytes_in"] == len(form(CLIP, model="any", response_format="verbose_json", language="en", temperature="0")[0])
    assert asked_at <= row["received_at"] <= row["received_at"] + row["total_s"] <= time.time()


def test_silence_keeps_its_length(service):
    assert authorised(service, SECOND, response_format="verbose_json").json()["duration"] == 1.0


@pytest.mark.parametrize("headers", [{"X-API-Key": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}])
def test_both_ways_to_show_the_token(service, headers):
    assert transcribe(service.url, SECOND, headers).status == 200


@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}, {"X-API-Key": "é"}]
)
def test_without_the_token_nobody_comes_in(service, headers):
    answer = transcribe(service.url, SECOND, headers)
    assert (answer.status, answer.json()) == (401, {"detail": "Invalid or missing API token"})
    assert answer.headers["x-worker-id"] == "box-1"


@pytest.mark.parametrize(
    ("content", "model", "missing"),
    [(None, "any", ["file"]), (b"", "any", ["file"]), (SECOND, "", ["model"]), (None, "", ["file", "model"])],
)
def test_a_missing_field_is_named(service, content, model, missing):
    answer = authorised(service, content, model=model)
    assert answer.status == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["body", name] for name in missing]


@pytest.mark.parametrize("content", [b"no sound at all", b"RIFF\x00\x00\x00\x00WAVE", base64.b64encode(SECOND)])
def test_what_is_no_audio_is_refused_and_frees_its_slot(service, content):
    assert authorised(service, content).status == 400
    assert service.health()[1]["busy"] == 0


def test_a_large_request_is_refused_before_its_body_is_read(service):
    connection = connect(service.url)
    connection.putrequest("POST", ROUTE)
    for name, value in (("X-API-Key", TOKEN), ("Content-Type", "multipart/form-data; boundary=x"), ("Content-Length", str((1 << 20) + 1))):
        connection.putheader(name, value)
    connection.endheaders()
    assert receive(connection).status == 413
    connection.close()


def test_a_large_request_that_hides_its_length_is_refused_while_it_is_read(service):
    body, kind = form(bytes(1 << 20), model="any")
    chunks = (body[start : start + 65536] for start in range(0, len(body), 65536))
    answer = ask(service.url, ROUTE, "POST", chunks, {"X-API-Key": TOKEN, "Content-Type": kind})
    assert answer.status == 413
    assert service.health()[1]["busy"] == 0


def test_other_methods_are_not_allowed(service):
    assert ask(service.url, ROUTE).status == 405


def test_health_tells_the_state_without_a_token(service):
    status, state = service.health()
    assert status == 200
    assert {name: state[name] for name in ("status", "worker_id", "device", "slots", "busy", "waiting")} == {
        "status": "healthy", "worker_id": "box-1", "device": "cpu", "slots": 2, "busy": 0, "waiting": 0,
    }  # fmt: skip
    assert {"model", "timestamp"} <= set(state)


def test_the_access_log_holds_every_request_and_no_secret(service):
    before = len(service.log())
    statuses = [authorised(service, SECOND).status, transcribe(service.url, SECOND).status, authorised(service, None).status]
    assert [row["status"] for row in service.log(before + 3)[before:]] == statuses == [200, 401, 422]
    assert TOKEN not in service.access_log.read_text()


# --- slots and queue


@pytest.mark.slow
def test_the_third_and_fourth_wait_for_the_first_two():
    with transcriber(*FIXED, "3") as service:
        connections = [busy(service, 1), busy(service, 2), waiting(service, 1), waiting(service, 2)]
        answers = [receive(connection) for connection in connections]
        for connection in connections:
            connection.close()
        waits_ms, execs_ms = zip(*map(timing, answers), strict=True)
        assert [answer.status for answer in answers] == [200] * 4
        assert max(waits_ms[:2]) < min(waits_ms[2:])
        assert all(exec_ms >= 3000 for exec_ms in execs_ms)
        assert sorted(row["slot"] for row in service.log(4)) == [0, 0, 1, 1]


@pytest.mark.slow
def test_fail_fast_lets_nobody_wait():
    with transcriber(*FIXED, "2", "--max-concurrent", "1", "--fail-fast", "--retry-after", "3") as service:
        first = busy(service, 1)
        refused = transcribe(service.url, SECOND)
        assert (refused.status, refused.headers["retry-after"]) == (503, "3")
        assert refused.json() == {"detail": "Service busy. Please retry later."}
        assert receive(first).status == 200
        first.close()
        assert transcribe(service.url, SECOND).status == 200


@pytest.mark.slow
def test_whoever_leaves_the_queue_gives_his_place_back_and_whoever_leaves_a_slot_keeps_it_to_the_end():
    with transcriber(*FIXED, "2", "--max-concurrent", "1", "--queue", "1") as service:
        first = busy(service, 1)
        leaver = waiting(service, 1)
        refused = transcribe(service.url, SECOND)
        assert (refused.status, refused.json()) == (503, {"detail": "Service temporarily overloaded. Please retry later."})
        assert "retry-after" in refused.headers
        leaver.close()
        until(lambda: service.health()[1]["waiting"] == 0, "empty queue")
        next_one = waiting(service, 1)
        assert [receive(connection).status for connection in (first, next_one)] == [200, 200]
        for connection in (first, next_one):
            connection.close()
        assert sorted(row["status"] or 0 for row in service.log(4)) == [0, 200, 200, 503]
        left = next(row for row in service.log() if row["status"] is None)
        assert left["slot"] is None
        assert left["queue_s"] > 0
        busy(service, 1).close()
        assert timing(transcribe(service.url, SECOND))[0] > 5  # one that finds a free slot waits a fraction of a millisecond
        deserted, served = service.log(6)[-2:]
        assert (deserted["status"], served["status"]) == (None, 200)
        assert deserted["execution_s"] >= 2
        assert (service.health()[1]["busy"], service.health()[1]["waiting"]) == (0, 0)


@pytest.mark.slow
def test_a_client_that_leaves_in_the_middle_of_its_body_takes_no_slot(service):
    before = len(service.log())
    connection = connect(service.url)
    connection.putrequest("POST", ROUTE)
    for name, value in (("X-API-Key", TOKEN), ("Content-Type", "multipart/form-data; boundary=x"), ("Content-Length", "1000")):
        connection.putheader(name, value)
    connection.endheaders(b"--x\r\n")
    connection.close()
    row = service.log(before + 1)[-1]
    assert (row["status"], row["slot"], row["queue_s"]) == (None, None, None)


@pytest.mark.slow
def test_a_standstill_holds_arrivals_until_its_end():
    with transcriber(*FIXED, "0.1", "--stall", "5", "--stall-every", "1000", ready=False) as service:  # a stall holds /health too
        assert transcribe(service.url, SECOND).status == 200
        first = service.log(1)[0]
        assert transcribe(service.url, SECOND).status == 200
        second = service.log(2)[1]
        started = service.health()[1]["started"]
        ended = first["received_at"] + first["total_s"]
        assert first["received_at"] < epoch(started) + 5
        assert ended - epoch(started) >= 5.09
        assert first["execution_s"] >= 0.1
        assert second["total_s"] >= 0.1


# --- a recogniser that a test can steer: whisper's engine over a double of its package

DOUBLE = """
import os
from pathlib import Path
from types import SimpleNamespace as Record

class WhisperModel:
    def __init__(self, model, device, compute_type, local_files_only):
        assert (device, local_files_only) == ("cpu", True)
        gate = Path(model) / "gate"
        if gate.exists():
            gate.read_text()  # a pipe: until somebody writes
        if (Path(model) / "broken").exists():
            raise OSError("model.bin is torn")

    def transcribe(self, sound, language, initial_prompt, task):
        if initial_prompt == "die":
            os._exit(9)
        if initial_prompt == "fail":
            raise ValueError("no such language")
        text = f" {os.getpid()} {language} {task} {len(sound)}"
        return iter([Record(start=0.0, end=1.0, text=text, tokens=[1, 2], avg_logprob=-0.5, no_speech_prob=0.1)]), Record(language="nl")
"""


@pytest.fixture
def whisper(tmp_path):
    (tmp_path / "faster_whisper.py").write_text(DOUBLE)
    (tmp_path / "model").mkdir()
    return ("--engine", "whisper", "--model", str(tmp_path / "model")), {"PYTHONPATH": str(tmp_path)}


@pytest.mark.slow
def test_while_loading_it_answers_that_it_loads(whisper, tmp_path):
    args, env = whisper
    os.mkfifo(tmp_path / "model" / "gate")
    with transcriber(*args, "--max-concurrent", "1", ready=False, **env) as service:
        status, state = service.health()
        assert (status, state["status"]) == (503, "loading")
        refused = transcribe(service.url, SECOND)
        assert (refused.status, refused.json()) == (503, {"detail": "Service is loading its model. Please retry later."})
        assert refused.headers["retry-after"] == "1"
        (tmp_path / "model" / "gate").write_text("go")
        until(lambda: service.health()[0] == 200, "healthy service")
        assert transcribe(service.url, SECOND).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_a_load_balancer_is_told_204_while_it_loads_and_200_from_then_on(whisper, tmp_path, path):
    """RunPod's contract, at the path that RunPod sets; /health at another path keeps its own answers."""
    args, env = whisper
    os.mkfifo(tmp_path / "model" / "gate")
    with transcriber(*args, "--max-concurrent", "1", ready=False, HEALTH_CHECK_PATH=path, **env) as service:
        loading = ask(service.url, path)
        assert (loading.status, loading.body) == (204, b"")
        assert ask(service.url, "/health").status == (204 if path == "/health" else 503)
        (tmp_path / "model" / "gate").write_text("go")
        until(lambda: ask(service.url, path).status == 200, "healthy service")
        assert [ask(service.url, at).json()["status"] for at in (path, "/health")] == ["healthy", "healthy"]


@pytest.mark.slow
def test_whisper_gets_the_wishes_and_its_own_figures_come_back(whisper):
    args, env = whisper
    with transcriber(*args, "--max-concurrent", "1", **env) as service:
        body = transcribe(service.url, silence(0.5, rate=8000), language="nl", task="translate", response_format="verbose_json").json()
        assert body["text"].split()[1:] == ["nl", "translate", "8000"]
        assert (body["language"], body["duration"], body["segments"][0]["avg_logprob"]) == ("nl", 0.5, -0.5)
        failed = transcribe(service.url, SECOND, prompt="fail")
        assert (failed.status, "no such language" in failed.json()["detail"]) == (500, True)
        assert transcribe(service.url, b"noise").status == 400
        assert transcribe(service.url, SECOND).json()["text"].split()[0] == body["text"].split()[0]


@pytest.mark.slow
def test_a_dead_recogniser_costs_its_request_and_is_replaced(whisper):
    args, env = whisper
    with transcriber(*args, **env) as service:
        before = {transcribe(service.url, SECOND).json()["text"].split()[0] for _ in range(2)}
        assert len(before) == 2
        assert transcribe(service.url, SECOND, prompt="die").status == 500
        after = set()

        def both():
            answer = transcribe(service.url, SECOND)
            assert answer.status == 200
            after.add(answer.json()["text"].split()[0])
            return len(after) == 2

        until(both, "second slot")
        assert len(before & after) == 1
        assert service.health()[1]["busy"] == 0
        children = psutil.Process(service.pid).children(recursive=True)
        assert len(children) >= 2
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(timeout=60) == 0
        assert psutil.wait_procs(children, timeout=60)[1] == []


@pytest.mark.slow
def test_a_model_that_does_not_load_ends_the_service_with_a_sentence(whisper, tmp_path):
    args, env = whisper
    (tmp_path / "model" / "broken").touch()
    ended = run(*args, **env)
    assert ended.returncode == 1
    assert "model.bin is torn" in ended.stderr


# --- PocketSphinx, and how the service ends


@pytest.mark.slow
def test_real_recognition_leaves_health_quick_and_a_killed_service_leaves_nothing():
    with transcriber("--max-concurrent", "1") as service, ThreadPoolExecutor(1) as client:
        running = client.submit(transcribe, service.url, CLIP)
        until(lambda: service.health()[1]["busy"] == 1, "busy slot")
        asked = 0
        while not running.done():
            service.health()
            asked += 1
        assert running.result().json()["text"] == "the boats come back to the harbour at night"
        assert asked > 2
        connection = busy(service, 1, LONG)
        children = psutil.Process(service.pid).children(recursive=True)
        assert children
        service.process.kill()
        _, alive = psutil.wait_procs(children, timeout=60)
        connection.close()
        assert alive == []


@pytest.mark.slow
@pytest.mark.parametrize("way", [*numbers(signal.SIGTERM), "stdin"])
def test_it_finishes_what_runs_and_ends_cleanly(way):
    with transcriber(*FIXED, "2") as service:
        connection = busy(service, 1)
        if way == "stdin":
            service.process.stdin.close()
        else:
            service.process.send_signal(way)
        assert receive(connection).status == 200
        connection.close()
        assert service.process.wait(timeout=60) == 0
        assert [row["status"] for row in service.log()] == [200]


@pytest.mark.slow
def test_patience_with_what_runs_has_an_end():
    with transcriber(*FIXED, "60", "--max-concurrent", "1") as service:
        connections = busy(service, 1), waiting(service, 1)
        service.process.send_signal(signal.SIGTERM)
        assert [receive(connection).status for connection in connections] == [503, 503]
        assert service.process.wait(timeout=60) == 0
        assert [row["status"] for row in service.log()] == [503, 503]
        for connection in connections:
            connection.close()


def timing(answer):
    """Queue and execution in milliseconds, from the Server-Timing header."""
    parts = dict(part.strip().split(";dur=") for part in answer.headers["server-timing"].split(","))
    return float(parts["queue"]), float(parts["exec"])


def busy(service, slots, content=SECOND):
    """A connection whose request is being recognised."""
    return _sent(service, "busy", slots, content)


def waiting(service, places):
    """A connection whose request waits."""
    return _sent(service, "waiting", places, SECOND)


def _sent(service, state, count, content):
    connection = connect(service.url)
    send(connection, content)
    until(lambda: service.health()[1][state] == count, f"{count} {state}")
    return connection


def epoch(moment):
    return datetime.fromisoformat(moment).timestamp()
