"""What the endpoint says of itself is kept as it was said, and a worker's start is told once."""

import json

import gevent
import pytest

from coldburst.record.attempt import ENDPOINT
from coldburst.targets.address import infer
from coldburst.targets.status_sampler import EndpointSamples, StatusSampler
from tests.support.scripted import scripted

HEALTH = {
    "jobs": {"completed": 4, "failed": 1, "inProgress": 2, "inQueue": 3, "retried": 0},
    "workers": {"idle": 1, "initializing": 1, "ready": 1, "running": 2, "throttled": 0, "unhealthy": 0},
}


def listed(*workers):
    about = [{"id": name, "status": status, "uptimeSeconds": up_s, "startedAt": begun} for name, status, up_s, begun in workers]
    return {"workers": about, "summary": {"running": 1, "idle": 0, "initializing": 1, "throttled": 0, "unhealthy": 0, "total": 2}}


LISTS = [
    listed(("old", "IDLE", 50, "a"), ("new", "INITIALIZING", 1, "b")),
    listed(("old", "RUNNING", 52, "a"), ("new", "RUNNING", 3, "b")),
    listed(("old", "RUNNING", 1, "c"), ("new", "IDLE", 5, "b")),
]


def answer_of(body, status="200 OK"):
    content = json.dumps(body).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(content), content)


def watched(answer, enough, every_s=0.05, path="/v2/abc"):
    """Rows and starts that a sampler passes on, until ``enough(rows, starts)``; and its samples and requests."""
    rows, starts, clock, samples = [], [], iter(range(10**6)), EndpointSamples()
    with scripted(answer) as server:
        sampler = StatusSampler(
            infer(server.url + path), "sesame", every_s, samples, now=lambda: float(next(clock)), row=rows.append, ready=starts.append
        )
        with gevent.Timeout(20):
            while not enough(rows, starts):
                gevent.sleep(0.01)
        sampler.stop()
        return rows, starts, samples, list(server.requests)


def test_both_views_are_kept_and_starts_are_told(monkeypatch):
    monkeypatch.setattr("coldburst.targets.status_sampler.LIST_EVERY_S", 0.05)
    lists = iter(LISTS)

    def answer(sock, request):
        path = request.split()[1]
        about = HEALTH if path.endswith(b"/health") else next(lists, LISTS[-1]) if path.endswith(b"/workers") else {}
        sock.sendall(answer_of(about))
        return True

    rows, starts, samples, requests = watched(answer, lambda rows, starts: len(starts) >= 3)
    said = next(row for row in rows if row["view"] == "health")
    counts = {name: said[name] for name in ("in_queue", "in_progress", "completed", "failed", "retried", "idle", "ready", "running")}
    assert counts == dict(zip(counts, (3, 2, 4, 1, 0, 1, 1, 2), strict=True))
    assert set(said) <= {column.name for column in ENDPOINT}
    (before, first, again) = starts[:3]
    assert (before["worker_id"], before["at_s"] < 0, before["seconds"]) == ("old", True, None)
    assert (first["worker_id"], first["seconds"]) == ("new", 3.0)
    assert (again["worker_id"], again["seconds"]) == ("old", 1.0), "it was started again under its name"
    assert samples.latest is not None
    assert all(b"Authorization: Bearer sesame" in request for request in requests)
    paths = {b"/v2/abc/health", b"/v2/serverless/abc", b"/v2/serverless/abc/workers"}
    assert {request.split()[1] for request in requests} == paths


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (answer_of({"error": "no"}, "401 No"), "401"),
        (answer_of({"error": "no such key: sesame"}, "403 No"), "403: no such key: [key] (is the key in RUNPOD_API_KEY"),
        (answer_of({"error": "endpoint not found"}, "404 No"), "404: endpoint not found (is the "),
        (answer_of([1, 2]), "unexpected answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000, "unexpected answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "unexpected answer"),
    ],
)
def test_what_cannot_be_had_or_read_is_a_row_with_the_reason(reply, told):
    def answer(sock, _request):
        sock.sendall(reply)
        return True

    rows, starts, samples, _ = watched(answer, lambda rows, starts: len(rows) >= 2)
    assert all(told in row["error"] for row in rows)
    assert not any("sesame" in row["error"] for row in rows)
    assert (samples.latest, starts) == (None, [])
    assert samples.refused == (rows[0]["error"] if told[:3].isdigit() else "")


def test_counts_that_are_none_are_left_empty():
    odd = {
        "jobs": {"completed": 1e999, "failed": -1, "inProgress": "2", "inQueue": None, "retried": float("nan")},
        "workers": {"idle": 10**400, "ready": 2.0},
    }

    def answer(sock, _request):
        sock.sendall(answer_of(odd))
        return True

    rows, *_ = watched(answer, lambda rows, starts: any(row["view"] == "health" for row in rows))
    said = next(row for row in rows if row["view"] == "health")
    assert said["error"] == ""
    assert {name: said[name] for name in said if said[name] not in (None, "")} == {"at_s": said["at_s"], "view": "health", "ready": 2}


def test_a_start_that_is_told_as_nan_is_not_a_new_one_at_each_look(monkeypatch):
    """NaN, which Python's json reads, differs from itself."""
    monkeypatch.setattr("coldburst.targets.status_sampler.LIST_EVERY_S", 0.05)

    def answer(sock, request):
        about = listed(("w1", "RUNNING", float("nan"), float("nan")))
        sock.sendall(answer_of(HEALTH if b"/health" in request.split(b"\r\n")[0] else about))
        return True

    _, starts, *_ = watched(answer, lambda rows, starts: sum(row["view"] == "workers" for row in rows) >= 4)
    assert [(start["worker_id"], start["seconds"], start["at_s"] < 0) for start in starts] == [("w1", None, True)]


def test_a_plain_service_has_nothing_to_say():
    turns = iter(range(5))  # a question would be on its way in the first of them
    rows, *_, requests = watched(lambda *_: True, lambda *_: next(turns, None) is None, path="")
    assert (rows, requests) == ([], [])


ENDPOINT_OBJECT = {
    "type": "QUEUE",
    "workers": {"min": 0, "max": 3},
    "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4},
    "image": "me/worker:7",
}
RELEASES = {
    "endpointVersion": 4,
    "rollout": {},
    "releases": [
        {
            "version": 4,
            "source": "MANUAL",
            "createdAt": "2026-11-30T10:00:00Z",
            "diff": [{"field": "template.env", "old": "a", "new": "secret"}],
        },
        {"version": 3},
    ],
}


def test_the_release_and_the_bill_before_and_after_a_run_are_kept():
    """What else was billed in these hours is in the bill before it."""
    amounts = iter([0.25, 0.75])

    def answer(sock, request):
        path = request.split()[1]
        about = ENDPOINT_OBJECT if path == b"/v2/serverless/abc" else HEALTH
        if path.endswith(b"/workers"):
            about = LISTS[0]
        elif path.endswith(b"/releases"):
            about = RELEASES
        elif b"/billing/" in path:
            assert b"serverlessId=abc&bucketSize=hour&startTime=20" in path
            about = {"records": [{"totalAmount": next(amounts), "serverlessId": "abc"}]}
        sock.sendall(answer_of(about))
        return True

    with scripted(answer) as server:
        rows, samples = [], EndpointSamples()
        address = infer(server.url + "/v2/abc")
        sampler = StatusSampler(address, "sesame", 0.05, samples, now=lambda: 0.0, row=rows.append, ready=lambda _: None)
        with gevent.Timeout(20):
            while not any(row["view"] == "workers" for row in rows):
                gevent.sleep(0.01)
        sampler.stop()
    found = sampler.platform()
    assert found["release"] == {
        "version": 4, "image": "me/worker:7", "created": "2026-11-30T10:00:00Z", "source": "MANUAL", "changed": ["template.env"],
    }  # fmt: skip
    assert (found["bill"]["before_usd"], found["bill"]["usd"], found["bill"]["records"]) == (0.25, 0.75, 1)
