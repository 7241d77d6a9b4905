"""The emulator against what it should not be sent: every answer is a clear JSON error, and it goes on."""

import socket
import subprocess
import sys

import psutil
import pytest

from tests.support.emulators import MODELLED, emulator, netloc
from tests.support.transcribers import DEADLINE_S, ROOT, until

TERMS = {"error", "status", "title", "detail"}
HUGE = b"1" + b"0" * 400
"""A whole number that no float can hold."""
JSON = b"Content-Type: application/json\r\n"
CONFIG = """
[endpoints.queue]
concurrency = 50
workers_max = 1

[endpoints.Mixed]
kind = "balancer"
workers_max = 1

[endpoints.real]
worker = "command"
command = "sleep 600"
workers_max = 1
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "emulator.toml"
    file.write_text(CONFIG)
    with emulator("--config", str(file), *MODELLED) as running:
        yield running
        assert running.ask("/v2/queue/health").status == 200
        assert running.process.poll() is None


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/serverless/queue", b'{"timeout": %s}' % HUGE, 422),
        ("/v2/serverless/queue", b'{"workers": {"idleTimeout": %s}}' % HUGE, 422),
        ("/v2/serverless/queue", b'{"workers": {"min": 1000000, "max": 1000000}}', 422),
        ("/v2/serverless/queue", b'{"scaling": {"type": "QUEUE_DELAY", "queueDelay": %s}}' % HUGE, 422),
        ("/v2/serverless/queue", b'{"scaling": {"type": "REQUEST_COUNT", "requestCount": %s}}' % HUGE, 422),
        ("/v2/serverless/queue", b'{"scaling": {"type": "REQUEST_COUNT", "requestCount": NaN}}', 422),
        ("/v2/serverless/queue", b'{"flashboot": ["OFF"]}', 422),
        ("/v2/serverless/queue", b'{"%s": 1}' % (b"x" * 5000), 422),
        ("/v2/serverless/real", b'{"env": {"A=B": "1"}}', 422),
        ("/v2/serverless/real", b'{"env": {"": "1"}}', 422),
        ("/v2/serverless/real", b'{"env": {"A": "\\u0000"}}', 422),
        ("/v2/serverless/real", b'{"env": {"A": "\\ud800"}}', 422),
        ("/v2/serverless/real", '{"env": {"CONCURRENCY": "٣"}}'.encode(), 422),
        ("/emulator/queue/fault", b'{"status": 429, "for_s": %s}' % HUGE, 400),
        ("/emulator/queue/fault", b'{"kill": "%s"}' % (b"x" * 5000), 400),
        ("/v2/queue/run", b'{"input": {"a": 1}, "policy": {"ttl": %s}}' % HUGE, 400),
        ("/v2/queue/run", b'{"input": {"a": 1}, "policy": "%s"}' % (b"x" * 5000), 400),
        ("/v2/queue/run", b"[" * 100_000, 400),
        ("/v2/queue/run", b'{"input": ' + b"1" * 5000 + b"}", 400),
        ("/v2/queue/run", b'{"input": {"sleep_s": 1e400}}', 400),
        ("/v2/queue/status/none?ttl=soon", b"", 400),
    ],
)
def test_a_value_that_cannot_be_is_told_in_a_short_sentence(platform, path, body, status):
    answer = platform.ask(path, body, "PATCH" if "serverless" in path else "POST")
    assert (answer.status, answer.json().keys()) == (status, TERMS), answer.body
    assert len(answer.json()["detail"]) < 300


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [HUGE, b"1e308", b"-1", b'"x"', b"null"])
def test_no_time_to_sleep_stops_a_modelled_worker(platform, seconds):
    """Times that cannot be are not taken; the drawn one, 10 ms, is."""
    job = platform.ask("/v2/queue/runsync?wait=20000", b'{"input": {"sleep_s": %s}}' % seconds, "POST").json()
    assert (job["status"], job["output"]["service_s"]) == ("COMPLETED", 0.01)


def test_an_input_that_is_large_is_not_given_back(platform):
    job = platform.ask("/v2/queue/runsync", {"input": {"audio_base64": "x" * 1_000_000}}).json()
    assert job["output"] == {"echo_left_out": "more than 1000 characters", "service_s": 0.01}
    small = {"list": [1, None, {"a": "é" * 900}]}
    assert platform.ask("/v2/queue/runsync", {"input": small}).json()["output"]["echo"] == small


def test_a_result_is_gone_once_the_life_that_a_look_named_is_over(platform):
    job_id = platform.ended("queue", platform.submit("queue"))["id"]
    assert platform.ask(f"/v2/queue/status/{job_id}?ttl=60000").json()["status"] == "COMPLETED"
    assert platform.ask(f"/v2/queue/status/{job_id}?ttl=0").json()["status"] == "COMPLETED"
    assert platform.ask(f"/v2/queue/status/{job_id}").status == 404


def test_the_case_of_a_host_says_nothing(platform):
    for host in ("Mixed.api.runpod.ai", "mixed.API.runpod.ai", "MIXED.localhost:80"):
        answer = platform.ask("/any", headers={"Host": host})
        assert (answer.status, bool(answer.headers["x-runpod-worker-id"])) == (200, True)


# below HTTP


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET /v2/queue/health HTTP/1.1\r\n\r\n", 400),
        (b"GOSSIP /v2/queue/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"CONNECT /v2/queue/run HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /v2/queue/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 400),
        (b"POST /v2/queue/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (b"POST /v2/queue/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n", 400),
        (b"POST /v2/queue/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n", 413),
        (b"POST /v2/queue/run HTTP/1.1\r\nHost: localhost\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n{}", 417),
        (b"POST /v2/queue/run HTTP/1.1\r\nHost: localhost\r\n" + JSON + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"GET /lb/Mixed/x HTTP/1.1\r\nHost: localhost\r\nX-Odd: \xff\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_told_so_in_json(platform, sent, status):
    head, body = converse(platform, sent)
    assert head.split()[1] == str(status).encode(), head
    assert b"json" in head.lower()
    assert all(f'"{term}"'.encode() in body for term in TERMS)


def test_a_client_that_asks_first_is_told_to_send_its_body(platform):
    request = b"POST /v2/queue/run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + JSON
    request += b"Expect: 100-continue\r\nContent-Length: 18\r\n\r\n"
    with connected(platform) as sock:
        sock.sendall(request)
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'{"input": {"a":1}}')
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_slow_and_silent_clients_do_not_hold_the_others_up(platform):
    parts = (b"", b"GET /v2/que", b"POST /v2/queue/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    slow = [connected(platform) for _ in range(60)]
    for number, sock in enumerate(slow):
        sock.sendall(parts[number % 3])
    assert platform.ask("/v2/queue/runsync", {"input": {"a": 1}}).json()["status"] == "COMPLETED"
    for sock in slow:
        sock.close()


def connected(running):
    host, port = netloc(running.url).split(":")
    return socket.create_connection((host, int(port)), DEADLINE_S)


def converse(running, sent):
    """Head and body of the answer."""
    with connected(running) as sock:
        sock.sendall(sent)
        said = b""
        while b'"detail"' not in said and (more := sock.recv(65536)):
            said += more
        return said.split(b"\r\n\r\n", 1)


# its end


@pytest.mark.slow
def test_told_to_end_before_it_is_ready_it_says_nothing_and_leaves_nothing():
    """Its one worker never polls, so that it never is ready."""
    words = ("--worker", "command", "--command", "sleep 600", "--start", "0", "--workers-min", "1", "--ready")
    command = [sys.executable, "-m", "coldburst.emulator", *words]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        inside = psutil.Process(process.pid)
        until(lambda: [child for child in inside.children() if child.name() == "sleep"], "the worker's process")
        left = inside.children(recursive=True)
        process.terminate()
        assert process.communicate(timeout=DEADLINE_S) == ("", "")
        assert process.returncode == 0
        assert psutil.wait_procs(left, timeout=DEADLINE_S)[1] == []
