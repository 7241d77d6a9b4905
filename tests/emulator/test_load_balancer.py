"""The emulator's load balancer before HTTP servers that are processes of their own."""

import asyncio
import gzip
import http.client
import json
import re
import sys

import aiohttp
import pytest

from tests.support.emulators import emulator, netloc
from tests.support.transcribers import ROOT, SAMPLES, form, until

COMMAND = f"{sys.executable} {ROOT / 'tests/support/handlers/server.py'}"
OWN = ("--kind", "balancer", "--worker", "command", "--command", COMMAND, "--start", "0", "--health-every", "0.05")


@pytest.fixture(scope="module")
def own():
    with emulator(*OWN, "--workers-min", "1", "--workers-max", "1", "--ready") as running:
        yield running


def worker_of(running):
    (worker,) = until(
        lambda: [worker for worker in running.inside("demo")["workers"] if worker["state"] in ("READY", "RUNNING")], "a worker"
    )
    return worker["id"]


@pytest.mark.slow
def test_a_request_passes_through_as_it_was_sent(own):
    answer = own.ask("/lb/demo/a%20b/c?x=1&y=%2F", b"content", "PATCH", {"X-Yours": "1", "Content-Type": "text/odd", "Connection": "close"})
    echo = answer.json()
    assert (answer.status, echo["path"], echo["method"], echo["body"]) == (200, "/a%20b/c?x=1&y=%2F", "PATCH", "content")
    assert (echo["headers"]["X-Yours"], echo["headers"]["Content-Type"]) == ("1", "text/odd")
    assert (answer.headers["x-mine"], answer.headers["x-runpod-worker-id"]) == ("yes", worker_of(own))
    assert echo["worker"] == worker_of(own)


@pytest.mark.slow
def test_a_compressed_body_arrives_as_it_was_sent(own):
    """The handler's own server unpacks it, as its Content-Encoding says."""
    answer = own.ask("/lb/demo/zipped", gzip.compress(b"content"), "POST", {"Content-Encoding": "gzip"})
    assert (answer.status, answer.json()["body"], answer.json()["headers"]["Content-Encoding"]) == (200, "content", "gzip")


def test_a_header_that_is_no_utf_8_is_refused_and_the_worker_is_not_to_blame(own):
    connection = http.client.HTTPConnection(netloc(own.url), timeout=60)
    connection.request("GET", "/lb/demo/x", headers={"X-Odd": b"\xff"})
    answer = connection.getresponse()
    assert (answer.status, "X-Odd" in json.loads(answer.read())["detail"]) == (400, True)
    connection.close()


def test_an_answer_in_chunks_passes_through(own):
    assert own.ask("/lb/demo/chunks").body == b"x" * 3000


def test_a_web_socket_passes_through(own):
    async def talk():
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{own.url}/lb/demo/ws", protocols=["chat"]) as socket:
            await socket.send_str("hello")
            await socket.send_bytes(b"abc")
            return socket.protocol, await socket.receive_str(timeout=60), await socket.receive_bytes(timeout=60)

    assert asyncio.run(talk()) == ("chat", "you said hello", b"cba")
    assert own.requests("demo", status=101)


@pytest.mark.slow
def test_a_worker_that_is_not_healthy_gets_nothing_until_it_is(own):
    worker = worker_of(own)
    own.ask("/lb/demo/health/500")
    until(lambda: "UNHEALTHY" in own.states("demo"), "an unhealthy worker")
    (unhealthy,) = [found for found in own.inside("demo")["workers"] if found["id"] == worker]
    assert unhealthy["reason"] == "/ping answers 500"
    assert own.ask("/lb/demo/late").json()["worker"] != worker  # the one that replaces it, as soon as that is ready


@pytest.mark.slow
def test_an_answer_that_takes_too_long_after_its_headers_is_cut_and_one_that_is_too_large_is_502():
    limits = ("--platform", "processing_s=0.5", "--platform", "lb_bytes=20000")
    with emulator(*OWN, *limits, "--workers-min", "1", "--workers-max", "1", "--ready") as own:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            own.ask("/lb/demo/chunks?parts=40")
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            own.ask("/lb/demo/chunks?forever")
        assert [row["status"] for row in own.requests("demo", 2)] == [502, 524]


@pytest.mark.slow
def test_a_worker_that_ends_takes_its_requests_with_it_and_is_replaced():
    with emulator(*OWN, "--workers-min", "1", "--workers-max", "1", "--ready") as own:
        worker = worker_of(own)
        answer = own.ask("/lb/demo/crash")
        assert (answer.status, answer.headers["x-runpod-worker-id"]) == (502, worker)
        until(lambda: worker not in [found["id"] for found in own.inside("demo")["workers"]], "the worker's end")
        assert own.ask("/lb/demo/again").json()["worker"] != worker


@pytest.mark.slow
def test_the_transcriber_is_a_worker_too_and_comes_when_it_is_asked_for():
    with emulator("--kind", "balancer", "--start", "0", "--workers-max", "1", "--idle-timeout", "1") as running:
        assert running.states("demo") == []
        body, kind = form((SAMPLES / "01-harbour.wav").read_bytes(), model="any")
        answer = running.ask("/lb/demo/v1/audio/transcriptions", body, "POST", {"Content-Type": kind})
        assert answer.status == 200, answer.body
        assert len(answer.json()["text"].split()) > 3
        (row,) = running.requests("demo")
        assert (row["cold"], row["worker_id"]) == (True, answer.headers["x-runpod-worker-id"])
        assert row["delay_s"] > 0.1
        connection = http.client.HTTPConnection(netloc(running.url), timeout=60)
        connection.request("GET", "/health", headers={"Host": "demo.api.runpod.ai"})
        assert json.loads(connection.getresponse().read())["status"] == "healthy"
        connection.close()
        until(lambda: running.states("demo") == [], "an endpoint at rest")


def test_a_command_that_ends_at_once_is_named_in_the_log_with_its_exit_code():
    options = ("--worker", "command", "--command", f"{sys.executable} nowhere.py", "--workers-min", "1")
    with emulator("--kind", "balancer", "--start", "0", *options) as running:
        line = until(lambda: [line for line in running.errors() if line.startswith("worker ")], "line on the worker")[0]
        assert re.fullmatch(rf"worker \w+ ended by itself, with exit code 2: {re.escape(sys.executable)} nowhere.py", line)
