"""The worker's side of the emulator, with the test itself in the place of the worker: its process only sleeps."""

import concurrent.futures
import http.client
import json

import pytest

from tests.support.emulators import emulator, netloc
from tests.support.transcribers import until

CONFIG = """
poll-hold = 0.2
grace = 0
[endpoints.one]
workers_min = 1
workers_max = 1
[endpoints.two]
workers_max = 1
scaler = "request-count"
scaler_value = 1
platform = { run_bytes = 300, check_s = 0.05, lease_s = 2 }
[endpoints.odd]
workers_max = 1
platform = { unhealthy_retry_s = 0.05 }
"""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
"""The content type that the SDK gives to its JSON."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "emulator.toml"
    file.write_text(CONFIG)
    with emulator("--config", str(file), "--worker", "command", "--command", "sleep 600", "--start", "0") as running:
        yield running


class ManualWorker:
    """A worker played by hand."""

    def __init__(self, platform, endpoint):
        self.platform, self.path = platform, f"/v2/{endpoint}"
        self.id = until(
            lambda: [found["id"] for found in platform.inside(endpoint)["workers"] if found["state"] != "UNHEALTHY"], "a worker"
        )[0]

    def take(self, want=0):
        batch = f"-batch/{self.id}?batch_size={want}&" if want else f"/{self.id}?"
        return self.platform.ask(f"{self.path}/job-take{batch}gpu=X&job_in_progress=0")

    def taken(self, want=0):
        """What a poll that is not in vain brings."""
        answer = until(lambda: (answer := self.take(want)).status == 200 and answer, "a job")
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def done(self, job_id, body):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.platform.ask(f"{self.path}/job-done/{self.id}/{job_id}?gpu=X&isStream=false", content, "POST", FORM)


@pytest.fixture
def one(platform):
    return ManualWorker(platform, "one")


def test_a_single_job_is_an_object_and_a_batch_an_array_and_both_come_at_once(platform, one):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        polling = pool.submit(one.taken)
        job_id = platform.ask("/v2/one/run", {"input": {"a": 1}, "webhook": "x", "policy": {"ttl": 60000}, "other": 1}).json()["id"]
        assert polling.result() == {"id": job_id, "input": {"a": 1}, "webhook": "x", "policy": {"ttl": 60000}}
        one.done(job_id, {"output": 1})
        polling = pool.submit(one.taken, 5)
        job_id = platform.submit("one", b=2)
        assert polling.result() == [{"id": job_id, "input": {"b": 2}}]  # partial, and at once
        one.done(job_id, {"output": 1})


@pytest.mark.slow
def test_a_poll_without_a_job_ends_with_204_after_its_hold_and_a_strangers_too(platform, one):
    assert one.take().status == 204
    assert platform.states("one") == ["READY"]
    answer = platform.ask("/v2/one/job-take/stranger?gpu=X")
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(
    ("body", "state", "shown"),
    [
        ({"output": {"text": "yes"}}, "COMPLETED", {"output": {"text": "yes"}}),
        ({"output": None}, "COMPLETED", {"output": None}),
        ({}, "COMPLETED", {}),
        ({"output": {"part": 1}, "error": "no"}, "FAILED", {"output": {"part": 1}, "error": "no"}),
        ({"error": {"code": 1}}, "COMPLETED", {}),
    ],
)
def test_what_a_worker_sends_decides_how_the_job_ends(platform, one, body, state, shown):
    job_id = platform.submit("one")
    assert one.taken()["id"] == job_id
    assert platform.job("one", job_id)["status"] == "IN_PROGRESS"
    assert one.done(job_id, body).status == 200
    job = platform.job("one", job_id)
    assert job["status"] == state
    assert {name: job[name] for name in ("output", "error") if name in job} == shown
    assert one.done(job_id, {"output": "late"}).json() == {"ok": False}
    assert platform.job("one", job_id) == job


def test_progress_is_shown_until_the_result_and_ignored_after_it(platform, one):
    job_id = platform.submit("one")
    one.taken()
    one.done(job_id, {"status": "IN_PROGRESS", "output": "half"})
    assert (platform.job("one", job_id)["status"], platform.job("one", job_id)["output"]) == ("IN_PROGRESS", "half")
    one.done(job_id, {"output": "whole"})
    one.done(job_id, {"status": "IN_PROGRESS", "output": "late"})
    assert (platform.job("one", job_id)["status"], platform.job("one", job_id)["output"]) == ("COMPLETED", "whole")


def test_a_stream_is_drained_by_each_look(platform, one):
    job_id = platform.submit("one")
    one.taken()
    look = f"/v2/one/stream/{job_id}"
    for chunk in ("a", {"b": 1}):
        path = f"/v2/one/job-stream/{one.id}/{job_id}?gpu=X&isStream=false"
        assert platform.ask(path, json.dumps({"output": chunk}).encode(), "POST", FORM).status == 200
    assert platform.ask(look).json() == {"status": "IN_PROGRESS", "stream": [{"output": "a"}, {"output": {"b": 1}}]}
    assert platform.ask(look).json() == {"status": "IN_PROGRESS", "stream": []}
    one.done(job_id, {"output": []})
    assert platform.ask(look).json() == {"status": "COMPLETED", "stream": []}


def test_a_cancelled_job_reaches_its_worker_over_job_stop(platform, one):
    job_id = platform.submit("one")
    one.taken()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        stop = f"/v2/one/job-stop/{one.id}?gpu=X"
        order = pool.submit(lambda: until(lambda: (answer := platform.ask(stop)).status == 200 and answer, "word to stop"))
        platform.ask(f"/v2/one/cancel/{job_id}", method="POST")
        assert order.result().json() == {"jobsToStop": [job_id]}
    assert platform.ask(stop).status == 204
    assert one.done(job_id, {"output": 1}).json() == {"ok": False}


NO_JSON = (b"no json", b'{"output": {"score": NaN}}', b'{"output": [-Infinity]}', b'{"output": 1e999}')


@pytest.mark.parametrize("result", [b'{"output": "' + b"x" * 300 + b'"}', *NO_JSON])
def test_a_result_that_cannot_be_used_gets_400_and_its_job_ends_without_output(platform, result):
    two = _second(platform)
    job_id = platform.submit("two")
    assert two.taken()["id"] == job_id
    assert two.done(job_id, result).status == 400
    job = platform.job("two", job_id)
    assert (job["status"], "output" in job, "error" in job) == ("COMPLETED", False, False)
    (line,) = [line for line in platform.errors() if job_id in line]
    assert line.startswith(f"worker {two.id}: its result of job {job_id} got a 400, and the job has no output: the ")


def test_a_chunk_and_an_input_that_are_no_json_are_refused_too(platform, one):
    assert platform.ask("/v2/one/run", b'{"input": {"a": NaN}}').status == 400
    job_id = platform.submit("one")
    one.taken()
    chunk = platform.ask(f"/v2/one/job-stream/{one.id}/{job_id}?gpu=X&isStream=false", b'{"output": NaN}', "POST", FORM)
    assert (chunk.status, chunk.json()["detail"]) == (400, "the chunk contains NaN, which is not valid JSON: send null instead")
    assert platform.ask(f"/v2/one/stream/{job_id}").json() == {"status": "IN_PROGRESS", "stream": []}
    one.done(job_id, {"output": 1})


def _second(platform):
    platform.ask("/v2/serverless/two", {"workers": {"min": 1}}, "PATCH")
    return ManualWorker(platform, "two")


@pytest.mark.slow
def test_pings_keep_a_job_and_silence_loses_it(platform):
    """Lease 2 s: three seconds of pings are longer than it; afterwards two silences end the job."""
    two = _second(platform)
    job_id = platform.submit("two")
    two.taken()
    ping = f"/v2/two/ping/{two.id}?gpu=X&job_id=other,{job_id}&runpod_version=1.12.0"
    since = platform.inside("two")["now_s"]
    while platform.inside("two")["now_s"] < since + 3:
        assert platform.ask(ping).status == 200
    assert platform.job("two", job_id)["status"] == "IN_PROGRESS"
    assert "retries" not in platform.job("two", job_id)
    assert two.taken()["id"] == job_id
    assert platform.job("two", job_id)["retries"] == 1
    job = platform.ended("two", job_id)
    assert (job["status"], job["error"]) == ("FAILED", "job timed out after 1 retries")


def test_a_job_handed_to_a_connection_that_is_gone_returns_to_the_queue(platform, one):
    """The poll's client leaves before the job comes: the next poll gets it, and no retry is counted."""
    gone = http.client.HTTPConnection(netloc(platform.url), timeout=60)
    gone.request("GET", f"/v2/one/job-take/{one.id}?gpu=X")
    gone.close()
    job_id = platform.submit("one")
    assert one.taken()["id"] == job_id
    one.done(job_id, {"output": 1})
    assert "retries" not in platform.job("one", job_id)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "job-take/w", 405),
        ("GET", "job-take", 404),
        ("GET", "job-take/w/j", 404),
        ("GET", "job-done/w/j", 405),
        ("POST", "job-done/w", 404),
        ("GET", "job-take-batch/w?batch_size=0", 400),
        ("GET", "job-take-batch/w?batch_size=x", 400),
    ],
)
def test_the_workers_routes_have_errors_too(platform, method, path, status):
    answer = platform.ask(f"/v2/one/{path}", method=method)
    assert (answer.status, answer.json().keys()) == (status, {"error", "status", "title", "detail"})


@pytest.mark.slow
def test_a_worker_that_reports_failed_checks_is_ended(platform):
    job_id = platform.submit("odd")
    odd = ManualWorker(platform, "odd")
    platform.ask(f"/v2/odd/ping/{odd.id}?gpu=X&status=unhealthy&check=disk&reason=full")
    (found,) = [worker for worker in platform.inside("odd")["workers"] if worker["id"] == odd.id]
    assert (found["state"], found["reason"]) == ("UNHEALTHY", "disk: full")
    later = until(lambda: (other := ManualWorker(platform, "odd")).id != odd.id and other, "another worker")
    assert later.taken()["id"] == job_id
    later.done(job_id, {"output": 1, "stopPod": True})
    until(lambda: later.id not in [worker["id"] for worker in platform.inside("odd")["workers"]], "the end of the worker that asked for it")
