"""Custom requests: what a user's code sends, and how each attempt ends by its answers, checks and exceptions."""

import json
import time

import gevent
import pytest

from coldburst.targets.answer import Sender
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.own_request import HttpError, OwnTarget, current_job
from coldburst.targets.payload import Payload
from coldburst.targets.queue import QueueTarget
from coldburst.targets.queue_options import QueueOptions
from tests.support.platform import DONE, QUEUED, platform
from tests.support.scripted import scripted

LIMITS = Timeouts(5, 5, 5)
KEY = {"Authorization": "Bearer k1"}


def service(sock, request):
    """Answers with the status in the path and the request itself as JSON; closes without an answer at /cut, is silent at /silent."""
    head, _, body = request.partition(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
    if path == "/cut":
        return False
    if path == "/silent":
        return True
    status = int(path.strip("/").partition("/")[0] or 200)
    content = b"no json" if path == "/200/text" else json.dumps({"method": method, "body": body.decode(), "error": "told"}).encode()
    more = b"Retry-After: 7\r\n" if status == 429 else b""
    sock.sendall(b"HTTP/1.1 %d X\r\nX-Worker-Id: w1\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(content), more, content))
    return True


def attempt(request, values=None, limits=LIMITS, unit=""):
    """Outcome, columns, exchange and what reached the service."""
    with scripted(service) as server:
        target = OwnTarget(server.url, request, limits, KEY, Sender("transcription", "k1", "TRANSCRIPTION_API_KEY"), unit=unit)
        exchange = Exchange()
        evidence = target.send(3, "run-3-1", exchange, values or {})
        target.close()
    sent = exchange.sent is not None or bool(exchange.fault)
    outcome = decide(sent=sent, fault=exchange.fault, status=exchange.status, says=evidence.says)
    return outcome, dict(evidence.measured), exchange, server.requests


def test_several_calls_are_one_attempt():
    answers = []

    def request(job):
        answers.append(job.http.post("/200/a", json={"text": job.row["text"], "n": job.seq}, headers={"X-Own": "1"}))
        answers.append(job.http.put("/201", data=b"raw"))
        answers.append(job.http.post("/200", data={"a": "b c"}))
        answers.append(job.http.get("/404/x", accept=(404,)))

    outcome, measured, exchange, requests = attempt(request, {"text": "hi"})
    assert (outcome, measured["worker_id"], measured.get("error")) == ("ok", "w1", None)
    assert [answer.status for answer in answers] == [200, 201, 200, 404]
    first = answers[0]
    assert (first.status_code, first.ok, first.headers["x-worker-id"]) == (200, True, "w1")
    assert (first.json()["method"], json.loads(first.json()["body"]), first.text[0]) == ("POST", {"text": "hi", "n": 3}, "{")
    assert [json.loads(answer.text)["body"] for answer in answers[1:]] == ["raw", "a=b+c", ""]
    assert measured["bytes_in"] == sum(len(answer.content) for answer in answers)
    heads = [request.partition(b"\r\n\r\n")[0] for request in requests]
    assert all(b"Authorization: Bearer k1" in head and b"X-Request-ID: run-3-1" in head for head in heads)
    assert b"Content-Type: application/json" in heads[0] and b"X-Own: 1" in heads[0]
    assert b"Content-Type: application/x-www-form-urlencoded" in heads[2]
    assert exchange.sent < exchange.first < exchange.done
    assert exchange.done - exchange.sent >= sum(answer.elapsed_s for answer in answers) - 0.001


def wrong_key(job):
    job.http.get("/200").json()["nothing"]


def divided(job):
    return job.http.post("/200") and 1 / 0


def checked(job):
    job.http.get("/200")
    assert not job.check(0, "first lack")
    job.check(False, "second")


def caught(job):
    try:
        job.http.get("/cut")
    except HttpError:
        job.http.get("/200")


def refused_upload(job):
    with job.phase("upload"):
        job.http.put("/403")


def broken_upload(job):
    with job.phase("upload"):
        job.http.put("/cut")


def uploading(job):
    with job.phase("upload"):
        raise OSError("the store is down")


@pytest.mark.parametrize(
    ("request_", "outcome", "words"),
    [
        (lambda job: job.http.get("/200"), "ok", ""),
        (lambda job: job.http.get("/500"), "failed", "500: told"),
        (lambda job: job.http.get("/422"), "refused", "422: told"),
        (lambda job: (job.http.get("/503"), job.http.get("/200")), "busy", "503: told"),
        (lambda job: (job.http.get("/429"), job.http.get("/500")), "throttled", "429: told"),
        (lambda job: job.http.get("/429").json()["nothing"], "throttled", "429: told"),
        (lambda job: job.http.get("/302"), "wrong", "302: told"),
        (lambda job: job.http.get("/cut"), "unreachable", "the connection closed without an answer"),
        (lambda job: job.http.get("/200/text").json(), "wrong", "ValueError (test_own_request.py, line "),
        (wrong_key, "wrong", "KeyError (test_own_request.py, line "),
        (divided, "wrong", "ZeroDivisionError (test_own_request.py, line "),
        (checked, "wrong", "first lack"),
        (caught, "ok", ""),
        (uploading, "failed", "upload: OSError (test_own_request.py, line "),
        (broken_upload, "failed", "upload: the connection closed without an answer"),
        (refused_upload, "refused", "403: told"),
        (lambda job: 1 / 0, "not_sent", "ZeroDivisionError (test_own_request.py, line "),
        (lambda job: None, "not_sent", "request() sent nothing"),
        (lambda job: job.http.get("https://other.example/x"), "not_sent", "is not a path below --host: it must begin with a slash"),
        (lambda job: job.submit({"a": 1}), "not_sent", "submit() is for queue endpoints"),
        (lambda job: job.phase("sleep").__enter__(), "not_sent", "there are two, 'upload' before the request and 'download' after it"),
    ],
)
def test_how_an_attempt_ends(request_, outcome, words):
    found, measured, exchange, _ = attempt(request_)
    assert found == outcome
    assert words in measured.get("error", "")
    assert bool(measured.get("error")) == (outcome != "ok")
    if outcome == "throttled":
        assert exchange.headers["retry-after"] == "7"


def test_a_line_in_the_users_file_is_named_also_below_other_code():
    def request(job):
        job.http.get("/200")
        json.loads("{")

    _, measured, _, _ = attempt(request)
    assert measured["error"].startswith(f"JSONDecodeError (test_own_request.py, line {request.__code__.co_firstlineno + 2}): ")


@pytest.mark.slow
def test_the_deadline_counts_from_the_first_call():
    def request(job):
        job.http.get("/200")
        gevent.sleep(0.45)
        job.http.get("/silent")

    outcome, measured, exchange, _ = attempt(request, limits=Timeouts(5, 0.5, 0.5))
    assert (outcome, measured["error"]) == ("abandoned", "not done within 0.5 s")
    # The second call alone had less than the whole limit.
    assert 0.5 <= exchange.done - exchange.sent < 0.45 + 0.5


def test_phases_and_units_fill_their_columns():
    def request(job):
        with job.phase("upload"):
            gevent.sleep(0.02)
        job.http.get("/200")
        with job.phase("download"):
            gevent.sleep(0.01)
        job.units(tokens=5)
        job.units(tokens=2)

    _, measured, _, _ = attempt(request)
    assert measured["upload_s"] >= 0.02
    assert measured["download_s"] >= 0.01
    assert measured["units"] == 7
    _, measured, _, _ = attempt(lambda job: (job.http.get("/200"), job.units(tokens=5, images=1)), unit="images")
    assert measured["units"] == 1
    outcome, measured, _, _ = attempt(lambda job: (job.http.get("/200"), job.units(tokens=5, images=1)))
    assert outcome == "wrong"
    assert "name the one to report in the class, as in unit = 'tokens'" in measured["error"]


def test_calls_in_a_phase_are_no_part_of_the_times():
    instants = []

    def request(job):
        with job.phase("upload"):
            job.http.put("/201")
            instants.append(time.perf_counter())
        job.http.get("/200")
        with job.phase("download"):
            instants.append(time.perf_counter())
            job.http.get("/200")

    outcome, _, exchange, requests = attempt(request)
    assert (outcome, len(requests)) == ("ok", 3)
    assert instants[0] < exchange.sent < exchange.first < exchange.done < instants[1]


def test_each_greenlet_has_its_own_job():
    seen = []

    def request(job):
        gevent.sleep(0.01)
        seen.append(current_job() is job)

    with scripted(service) as server:
        target = OwnTarget(server.url, request, LIMITS, {}, Sender("transcription", "", "X"))
        gevent.joinall([gevent.spawn(target.send, seq, f"run-{seq}-1", Exchange()) for seq in range(5)], timeout=60)
    assert seen == [True] * 5
    with pytest.raises(RuntimeError, match=r"self\.http and self\.submit belong to a request"):
        current_job()


@pytest.mark.parametrize(
    ("end", "outcome", "words"),
    [
        ({**DONE, "output": {"images": [1, 2]}}, "ok", ""),
        ({**DONE, "status": "FAILED", "output": None, "error": "out of memory"}, "failed", "out of memory"),
    ],
)
def test_a_job_is_submitted_and_followed(end, outcome, words):
    results = []

    def request(job):
        results.append(job.submit({"n": job.seq}))
        job.units(images=len((results[0].output or {}).get("images", ())))

    with platform(QUEUED, {**end, "delayTime": 1500, "executionTime": 250}) as server:
        jobs = QueueTarget(server.url, Payload({"a": 1}, ()), QueueOptions(poll="status", poll_s=0.01), LIMITS, "k1")
        target = OwnTarget(server.url, request, LIMITS, KEY, Sender("queue", "k1", "X"), jobs=jobs, policy={"ttl": 10_000})
        exchange = Exchange()
        evidence = target.send(3, "run-3-1", exchange)
        target.close()
    assert decide(fault=exchange.fault, status=exchange.status, says=evidence.says) == outcome
    assert words in evidence.measured.get("error", "")
    (result,) = results
    assert (result.status, result.output, bool(result.error)) == (end["status"], end["output"], bool(words))
    assert (evidence.measured["queue_s"], evidence.measured["execution_s"], evidence.measured["job_id"]) == (1.5, 0.25, "job-0-u1")
    assert exchange.sent <= exchange.first <= exchange.done <= exchange.seen
    assert json.loads(server.asked[0].body) == {"input": {"n": 3}, "policy": {"ttl": 10_000}}
