"""What the check before a load refuses, what it lets pass, and what it asks for on the way."""

import socket

import pytest

from coldburst.load import preflight
from coldburst.load.preflight import Credentials, check
from coldburst.option import OptionError
from coldburst.targets.address import infer
from coldburst.targets.exchange import Timeouts
from coldburst.targets.factory import route
from tests.support.locusts import PLAIN, locust
from tests.support.scripted import Scripted
from tests.support.transcribers import transcriber

HEALTH = b'{"jobs": {}, "workers": {}}'
NO_QB = b'{"error": "not allowed for QB API"}'


def reply(status: int, body: bytes = b"{}") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def served():
    """Starts a server that gives each request the same answer."""
    servers = []

    def start(answer: bytes) -> Scripted:
        servers.append(Scripted(lambda sock, _: sock.sendall(answer) or True))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def lines(server: Scripted) -> list[bytes]:
    return [request.split(b"\r\n")[0] for request in server.requests]


CASES = {
    "queue, no key": ("/v2/demo", reply(401), Credentials("", "RUNPOD_API_KEY"), "no key was sent: set RUNPOD_API_KEY"),
    "queue, other key": ("/v2/demo", reply(401), Credentials("k1", "RUNPOD_API_KEY"), "is the key in RUNPOD_API_KEY the right one?"),
    "queue, unknown": ("/v2/demo", reply(404), Credentials("k1", "RUNPOD_API_KEY"), "no endpoint 'demo'"),
    "queue, other type": ("/v2/demo", reply(400, NO_QB), Credentials("k1", "RUNPOD_API_KEY"), "not allowed for QB API"),
    "balancer, no key": ("/lb/demo", reply(403), Credentials("", "RUNPOD_API_KEY"), "set RUNPOD_API_KEY"),
    "chat behind a queue": ("/v2/demo/openai/v1", reply(401), Credentials("", "RUNPOD_API_KEY"), "set RUNPOD_API_KEY"),
    "service, no key": ("", reply(401), Credentials("", "TRANSCRIPTION_API_KEY"), "set TRANSCRIPTION_API_KEY"),
    "service, other route": ("", reply(404), Credentials("", "X"), "no route /v1/chat/completions"),
    "chat, no key": ("/v1/chat/completions", reply(401), Credentials("", "OPENAI_API_KEY"), "set OPENAI_API_KEY"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_is_one_sentence_with_the_remedy(served, name):
    path, answer, credentials, said = CASES[name]
    server = served(answer)
    with pytest.raises(OptionError, match="nothing was sent; --no-preflight") as refused:
        check(infer(server.url + path), credentials, "/v1/chat/completions")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert len(server.requests) == 1


POST = b"POST /v1/audio/transcriptions HTTP/1.1"
PASSES = {
    "queue": ("/v2/demo", "auto", reply(200, HEALTH), [b"GET /v2/demo/health HTTP/1.1"]),
    "balancer": ("/lb/demo", "auto", reply(200, HEALTH), [b"GET /v2/demo/health HTTP/1.1"]),
    "an endpoint that is being changed": ("/v2/demo", "auto", reply(409), [b"GET /v2/demo/health HTTP/1.1"]),
    "service": ("", "auto", reply(422), [POST]),
    "its base address": ("/v1", "auto", reply(400), [POST]),
    "its whole route": ("/v1/audio/transcriptions", "auto", reply(200), [POST]),
    "a service that is full": ("", "auto", reply(503), [POST]),
    "chat": ("/v1/chat/completions", "auto", reply(400), [b"POST /v1/chat/completions HTTP/1.1"]),
    "a plain balancer is only connected to": ("", "balancer", reply(500), []),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_may_start_is_asked_for_nothing_that_costs_gpu_time(served, name):
    path, kind, answer, asked = PASSES[name]
    server = served(answer)
    address = infer(server.url + path, kind)
    check(address, Credentials("", "X"), route(address, ""))
    assert lines(server) == asked


@pytest.mark.parametrize(("path", "kind"), [("/v2/demo", "auto"), ("", "auto"), ("", "balancer")])
def test_where_nothing_listens_nothing_is_sent(path, kind):
    with socket.socket() as bound:  # bound, not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(OptionError, match="could not connect"):
            check(infer(f"http://127.0.0.1:{bound.getsockname()[1]}{path}", kind), Credentials("", "X"))


def test_a_slow_endpoint_is_tested_all_the_same(monkeypatch):
    monkeypatch.setattr(preflight, "LIMITS", Timeouts(0.2, 0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        check(infer(f"http://127.0.0.1:{silent.getsockname()[1]}/v2/demo"), Credentials("", "X"))


@pytest.mark.slow
def test_a_run_without_the_key_ends_before_its_load():
    checked = {"COLDBURST_NO_PREFLIGHT": "no"}
    with transcriber("--engine", "fixed", API_TOKEN="sesame-7c1f0e") as service:
        with locust("--host", service.url, "--schedule", "burst 3", *PLAIN, **checked) as run:
            assert run.wait() == 2, run.output
            assert "set TRANSCRIPTION_API_KEY" in run.output and "Traceback" not in run.output
        with locust("--host", service.url, "--schedule", "burst 3", *PLAIN, TRANSCRIPTION_API_KEY="sesame-7c1f0e", **checked) as run:
            assert run.wait() == 0, run.output
