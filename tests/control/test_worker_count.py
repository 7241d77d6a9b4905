"""How many workers are behind a proxy, by what /health answers."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread

import pytest

from coldburst.control.worker_count import count_workers, worker_id


@contextmanager
def proxy(answers):
    """Answers of /health in turn, each a pair of headers and body; yields the address and the paths asked for."""
    turn, paths = count(), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            headers, body = answers[next(turn) % len(answers)]
            paths.append(self.path)
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", paths
    finally:
        server.shutdown()
        server.server_close()


def named(*ids):
    return [({}, json.dumps({"status": "healthy", "worker_id": one}).encode()) for one in ids]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answers", "wanted", "seen", "asked"),
    [
        (named("1", "2", "3"), 3, 3, 9),
        (named("1", "2", "3", "4"), 3, 4, 9),
        (named("1"), 3, 1, 32),
        (named("1"), 1, 1, 3),
        ([({"X-Worker-ID": "10.0.0.2:8000"}, b"ok"), ({"X-Worker-ID": "10.0.0.3:8000"}, b"ok")], 2, 2, 6),
        ([({}, b"ok")], 3, 0, 2),
    ],
    ids=["three of three", "one too many", "one as three", "one", "named by nginx", "nobody named"],
)
def test_workers_are_counted_by_their_ids(answers, wanted, seen, asked):
    with proxy(answers) as (url, paths):
        found = count_workers(url, wanted, lambda _: True)
    assert (len(found.ids), found.answers, paths) == (seen, asked, ["/health"] * asked)


@pytest.mark.slow
def test_a_service_without_health_and_a_run_that_stops_end_the_count():
    assert count_workers("http://127.0.0.1:9", 3, lambda _: True).text == "the workers cannot be counted: /health does not answer"
    with proxy(named("1")) as (url, paths):
        assert count_workers(url, 3, lambda _: False).text == "1 worker seen in 1 answer of /health"
    assert len(paths) == 1


@pytest.mark.parametrize(
    ("headers", "body", "worker"),
    [
        ({"x-worker-id": "10.0.0.2:80, 10.0.0.3:80"}, b"", "10.0.0.3:80"),
        ({"x-worker-id": "10.0.0.2:80 : 10.0.0.4:80"}, b"", "10.0.0.4:80"),
        ({}, b'{"worker_id": 7}', "7"),
        ({}, b'["worker_id"]', ""),
        ({}, b"{", ""),
        ({}, b'{"worker_id": null}', ""),
    ],
)
def test_the_worker_of_an_answer(headers, body, worker):
    assert worker_id(headers, body) == worker
