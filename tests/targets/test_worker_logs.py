"""Log lines of endpoint workers: read once for each cause, from a stream that does not end, without secrets."""

import json

import gevent
import pytest
from gevent.pywsgi import WSGIServer

from coldburst import redact
from coldburst.targets import worker_logs
from coldburst.targets.address import EndpointAddress
from coldburst.targets.http import Timeouts
from coldburst.targets.worker_logs import WorkerLogs

TRACE = 'Traceback (most recent call last):\n  File "h.py", line 4\n    raise FileNotFoundError("/m")\nFileNotFoundError: /m\n'
SDK_LINE = json.dumps({"requestId": None, "level": "ERROR", "message": json.dumps({"error_message": "/m", "error_traceback": TRACE})})


class Platform:
    """REST v2 with logs by worker; an endless stream after the lines, as RunPod has of a worker that runs."""

    def __init__(self, logs, workers=()):
        self.logs, self.workers, self.asked = logs, workers, []
        self.server = WSGIServer(("127.0.0.1", 0), self._serve, log=None)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(timeout=0)

    @property
    def address(self):
        url = f"http://127.0.0.1:{self.server.server_port}/v2"
        return EndpointAddress("queue", url, "ep", f"{url}/ep", url)

    def _serve(self, environ, start):
        path = environ["PATH_INFO"]
        self.asked.append(path)
        if path == "/v2/serverless/ep/workers":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps({"workers": list(self.workers)}).encode()]
        worker = path.split("/")[-2]
        if worker not in self.logs:
            start("404 Not Found", [])
            return [b"{}"]
        start("200 OK", [("Content-Type", "text/event-stream")])
        return self._stream(self.logs[worker])

    def _stream(self, lines):
        for source, line in lines:
            yield f"id: 1\ndata: {json.dumps({'source': source, 'line': line, 'ts': 'x'})}\n\n".encode()
        yield b": comment\n\ndata: not JSON\n\ndata: [1]\n\n"
        gevent.sleep(60)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(worker_logs, "LIMITS", Timeouts(5.0, 5.0, 0.5))


def told(platform, *explained):
    found = []
    logs = WorkerLogs(platform.address, "", found.append)
    for cause, worker in explained:
        logs.explain(cause, worker)
    logs.stop()
    return [(one["cause"], one["worker_id"], one["detail"]) for one in found]


@pytest.mark.slow
def test_a_failed_request_gets_the_last_lines_of_its_worker_once():
    with Platform(
        {"w1": [("system", "pulled"), *(("container", f"line {k}") for k in range(8))], "w2": [("container", "other")]}
    ) as platform:
        found = told(platform, ("service_error", "w1"), ("service_error", "w2"), ("throttled_hosts", "w2"))
        assert found == [("service_error", "w1", f"line {k}") for k in range(3, 8)]
        assert platform.asked == ["/v2/serverless/ep/workers/w1/logs"]


@pytest.mark.slow
def test_without_a_worker_those_that_failed_are_looked_at_first():
    workers = [{"id": "a", "status": "RUNNING"}, {"id": "b", "status": "UNHEALTHY"}, {"id": "c", "status": "INITIALIZING"}, 7]
    with Platform({"c": [("system", "cannot pull the image")], "a": [("container", "fine")]}, workers) as platform:
        assert told(platform, ("crash_loop", "")) == [("crash_loop", "c", "cannot pull the image")]
        assert [path.split("/")[-2] for path in platform.asked[1:]] == ["b", "c"]


@pytest.mark.slow
def test_errors_of_the_sdk_are_read_and_equal_lines_quoted_once():
    with Platform({"w": [("container", SDK_LINE), ("container", "x"), ("container", SDK_LINE)]}) as platform:
        lines = [line for *_, line in told(platform, ("service_error", "w"))]
        assert lines == ["x", 'File "h.py", line 4 · raise FileNotFoundError("/m") · FileNotFoundError: /m']


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "key my-own-key-0815",
        "HF_TOKEN=hf_abcdefghijklmnop",
        "Authorization: Bearer abcdefghi123",
        "password: 'abc12345'",
        "rpa_ABCDEFGH12345",
    ],
)
def test_secrets_are_removed(line):
    redact.remember("my-own-key-0815")
    with Platform({"w": [("container", line)]}) as platform:
        ((_, _, shown),) = told(platform, ("service_error", "w"))
    assert "[key]" in shown
    assert not any(secret in shown for secret in ("0815", "abcdefghi", "abc12345", "ABCDEFGH12345"))


def test_without_rest_v2_or_a_log_nothing_is_told():
    with Platform({}) as platform:
        assert told(platform, ("service_error", "gone"), ("slow_start", "")) == []
    logs = WorkerLogs(EndpointAddress("chat", "http://127.0.0.1:1", "", "", ""), "", lambda about: pytest.fail("told"))
    logs.explain("service_error", "w")
    logs.stop()
