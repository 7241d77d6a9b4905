"""The emulator's HTTP surface, with modelled workers: one process for all tests of this module."""

import http.client
import http.server
import json
import threading
import time

import pytest

from tests.support.emulators import MODELLED, TERMS, emulator, netloc
from tests.support.transcribers import ROOT, until


@pytest.fixture(scope="module")
def platform():
    with emulator("--config", str(ROOT / "tests/support/emulator.toml"), "--ready", *MODELLED) as running:
        yield running


# jobs


@pytest.mark.slow
def test_a_job_runs_and_its_object_and_the_truth_log_tell_the_same(platform):
    job_id = platform.submit("queue", echo={"a": [1, None]})
    job = platform.ended("queue", job_id)
    (row,) = platform.truth("job", id=job_id)
    (worker,) = platform.inside("queue")["workers"]
    assert job == {
        "id": job_id,
        "status": "COMPLETED",
        "delayTime": round(row["delay_s"] * 1000),
        "executionTime": round(row["execution_s"] * 1000),
        "workerId": worker["id"],
        "output": {"echo": {"echo": {"a": [1, None]}}, "service_s": 0.01},
    }
    assert (row["worker_id"], row["state"], row["reason"], row["retries"]) == (worker["id"], "COMPLETED", "done", 0)
    assert row["submitted_s"] <= row["taken_s"] <= row["finished_s"]
    assert row["finished"] - row["submitted"] == pytest.approx(row["finished_s"] - row["submitted_s"], abs=1e-5)
    assert abs(row["finished"] - time.time()) < 30


@pytest.mark.slow
def test_the_first_job_of_a_worker_from_zero_is_cold_and_the_log_says_since_when_the_worker_was_ready(platform):
    job = platform.ended("cold", platform.submit("cold"))
    (row,) = platform.truth("job", id=job["id"])
    assert row["cold"]
    assert row["worker_ready_s"] - row["submitted_s"] == pytest.approx(0.3, abs=1e-5)  # start + load, at their own instants
    assert row["delay_s"] == pytest.approx(0.3, abs=1e-5)
    states = [line["state"] for line in platform.truth("worker", endpoint="cold", worker_id=row["worker_id"])]
    assert states[:4] == ["STARTING", "LOADING", "READY", "RUNNING"]


def test_runsync_answers_the_whole_job(platform):
    answer = platform.ask("/v2/queue/runsync", {"input": {"echo": 1}})
    assert answer.status == 200
    assert answer.json()["status"] == "COMPLETED"
    assert answer.json()["id"].startswith("sync-")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runsync", {"input": {"echo": 1}}),
        ("openai/v1/chat/completions", {"messages": [], "stream": True}),
        ("openai/v1/chat/completions", {"messages": []}),
    ],
)
def test_the_edge_answers_524_where_nothing_came_and_the_job_goes_on(platform, path, body):
    before = platform.ask("/v2/shut/health").json()["jobs"]["inQueue"]
    answer = platform.ask(f"/v2/shut/{path}", body)
    assert (answer.status, answer.json()["detail"]) == (524, "no answer within 0.3 s")
    assert platform.ask("/v2/shut/health").json()["jobs"]["inQueue"] == before + 1


def test_runsync_answers_what_there_is_when_its_wait_is_over_and_the_job_goes_on(platform):
    answer = platform.ask("/v2/shut/runsync?wait=60", {"input": {"echo": 1}})
    assert (answer.status, answer.json()["status"]) == (200, "IN_QUEUE")
    assert platform.job("shut", answer.json()["id"])["status"] == "IN_QUEUE"


def test_status_sync_answers_when_the_job_ends(platform):
    job_id = platform.submit("queue", sleep_s=0.3)
    before = time.monotonic()
    job = platform.ask(f"/v2/queue/status-sync/{job_id}?wait=60000").json()
    assert job["status"] == "COMPLETED"
    assert time.monotonic() - before < 30


def test_a_queued_job_is_cancelled_and_one_that_runs_too(platform):
    for endpoint in ("shut", "queue"):
        job_id = platform.submit(endpoint, sleep_s=60)
        answer = platform.ask(f"/v2/{endpoint}/cancel/{job_id}", method="POST")
        assert (answer.status, answer.json()) == (200, {"id": job_id, "status": "CANCELLED"})
        assert platform.job(endpoint, job_id)["status"] == "CANCELLED"


@pytest.mark.slow
def test_only_a_failed_job_is_tried_again(platform):
    done = platform.ended("queue", platform.submit("queue"))["id"]
    refused = platform.ask(f"/v2/queue/retry/{done}", method="POST")
    assert (refused.status, "COMPLETED" in refused.json()["error"]) == (400, True)
    failed = platform.ended("single", platform.ask("/v2/single/run", {"input": {}}).json()["id"])  # it never arrives, as in production
    assert (failed["status"], failed["error"], failed["retries"]) == ("FAILED", "job timed out after 1 retries", 1)
    again = platform.ask(f"/v2/single/retry/{failed['id']}", method="POST")
    assert (again.status, again.json()) == (200, {"id": failed["id"], "status": "IN_QUEUE"})
    assert platform.ended("single", failed["id"])["status"] == "FAILED"
    assert [row["state"] for row in platform.truth("job", id=failed["id"])] == ["FAILED", "FAILED"]


def test_purge_ends_the_queue_and_a_third_purge_in_ten_seconds_is_one_too_many(platform):
    jobs = [platform.submit("shut") for _ in range(3)]
    purged = platform.ask("/v2/shut/purge-queue", method="POST")
    assert purged.json()["status"] == "completed"
    assert purged.json()["removed"] >= 3
    assert {platform.job("shut", job)["status"] for job in jobs} == {"CANCELLED"}
    answers = [platform.ask("/v2/shut/purge-queue", method="POST") for _ in range(4)]  # of five, three are in one window
    limited = next(answer for answer in answers if answer.status == 429)
    assert limited.json().keys() == TERMS
    assert 1 <= int(limited.headers["retry-after"]) <= 10


def test_requests_lists_the_jobs_that_have_not_ended(platform):
    job_id = platform.submit("shut")
    assert {"id": job_id, "status": "IN_QUEUE"} in platform.ask("/v2/shut/requests").json()["requests"]


def test_health_has_all_eleven_numbers(platform):
    health = platform.ask("/v2/queue/health").json()
    assert health["jobs"].keys() == {"completed", "failed", "inProgress", "inQueue", "retried"}
    assert health["workers"].keys() == {"idle", "initializing", "ready", "running", "throttled", "unhealthy"}
    assert (health["workers"]["running"], health["workers"]["ready"]) == (1, 0)  # a min worker never shows as ready


@pytest.mark.slow
def test_forty_jobs_at_once_all_complete_and_each_has_one_line_in_the_truth_log(platform):
    jobs = [platform.submit("queue", echo=number) for number in range(40)]
    outputs = [platform.ended("queue", job)["output"]["echo"]["echo"] for job in jobs]
    assert outputs == list(range(40))
    logged = [row["id"] for row in platform.truth("job", endpoint="queue")]
    assert all(logged.count(job) == 1 for job in jobs)


# errors

WRONG = [
    ("POST", "/v2/nobody/run", {"input": {}}, 404),
    ("GET", "/v2/queue/run", None, 405),
    ("POST", "/v2/queue/run", b"{", 400),
    ("POST", "/v2/queue/run", b"[]", 400),
    ("POST", "/v2/queue/run", {"no": "input"}, 400),
    ("POST", "/v2/queue/run", {"input": {}, "policy": {"ttl": 1}}, 400),
    ("POST", "/v2/queue/runsync?wait=soon", {"input": {}}, 400),
    ("POST", "/v2/shut/run", {"input": "x" * 1000}, 413),
    ("POST", "/v2/shut/runsync", {"input": "x" * 2000}, 413),
    ("GET", "/v2/queue/status/none", None, 404),
    ("GET", "/v2/queue/status", None, 404),
    ("GET", "/v2/queue/status-sync/none", None, 404),
    ("GET", "/v2/queue/stream/none", None, 404),
    ("POST", "/v2/queue/cancel/none", None, 404),
    ("POST", "/v2/queue/retry/none", None, 404),
    ("GET", "/v2/queue/purge-queue", None, 405),
    ("POST", "/v2/queue/health", None, 405),
    ("GET", "/v2/queue/health/more", None, 404),
    ("GET", "/v2/queue/nothing", None, 404),
    ("GET", "/v2/queue/job-take/me", None, 404),
    ("POST", "/v2/balancer/run", {"input": {}}, 400),
    ("GET", "/lb/queue/any", None, 400),
    ("GET", "/lb/nobody/any", None, 404),
    ("POST", "/lb/balancer/any", b"x" * 5001, 413),
    ("GET", "/emulator/nobody", None, 404),
    ("GET", "/emulator/queue/fault", None, 405),
    ("POST", "/emulator/queue/fault", {"kil": "all"}, 400),
    ("POST", "/emulator/queue/fault", {"kill": "nobody"}, 400),
    ("GET", "/v2/serverless/nobody", None, 404),
    ("DELETE", "/v2/serverless/queue", None, 405),
    ("PATCH", "/v2/serverless/queue", b"x", 400),
    ("GET", "/", None, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "status"), WRONG, ids=[f"{method} {path}" for method, path, _, _ in WRONG])
def test_an_error_has_everything_that_clients_read(platform, method, path, body, status):
    answer = platform.ask(path, body, method)
    assert answer.status == status, answer.body
    error = answer.json()
    assert error.keys() == TERMS
    assert (error["status"], bool(error["error"]), bool(error["title"]), bool(error["detail"])) == (status, True, True, True)


@pytest.mark.slow
def test_the_key_is_asked_for_everywhere_and_its_refusals_are_the_gateways():
    with emulator("--worker", "modelled", "--workers-max", "0", RUNPOD_API_KEY="sesame") as closed:
        for path in ("/v2/demo/health", "/v2/serverless", "/lb/demo/ping", "/emulator"):
            refused = closed.ask(path)
            assert (refused.status, refused.json()["title"], refused.json()["detail"]) == (401, "Unauthorized", "no token provided")
            assert closed.ask(path, headers={"Authorization": "Bearer wrong"}).json()["detail"] == "invalid api key"
        for shown in ("Bearer sesame", "sesame"):
            assert closed.ask("/v2/demo/health", headers={"Authorization": shown}).status == 200
        assert "sesame" not in " ".join(closed.lines)
        closed.process.terminate()
        assert closed.process.wait(60) == 0


# webhooks


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append((self.headers["user-agent"], self.headers["content-type"], json.loads(body)))
        self.send_response(self.server.answers.pop(0))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hook) as server:
        server.told = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(("answers", "tries"), [([200], 1), ([500, 204], 2), ([500, 500, 500], 3)])
def test_a_webhook_is_told_the_whole_job_until_it_says_2xx_at_most_three_times(platform, hook, answers, tries):
    hook.answers = [*answers, 200]
    url = f"http://127.0.0.1:{hook.server_port}/hook"
    job_id = platform.ask("/v2/queue/run", {"input": {"echo": 1}, "webhook": url}).json()["id"]
    until(lambda: len(hook.told) == tries, f"{tries} calls")
    job = platform.ended("queue", job_id)
    agent, kind, body = hook.told[-1]
    assert (agent, kind) == ("Go-http-client/2.0", "application/json")
    assert body == job | {"input": {"echo": 1}, "webhook": url}
    assert job["status"] == "COMPLETED"
    second = platform.ended("queue", platform.ask("/v2/queue/run", {"input": {"echo": 2}, "webhook": "no url"}).json()["id"])
    assert second["status"] == "COMPLETED"
    assert len(hook.told) == tries


# load balancer


def test_a_request_is_answered_by_a_worker_whose_id_stands_in_the_answer(platform):
    answer = platform.ask("/lb/balancer/v1/any?x=1", b"content", "PUT")
    (worker,) = platform.inside("balancer")["workers"]
    assert (answer.status, answer.headers["x-runpod-worker-id"]) == (200, worker["id"])
    row = platform.requests("balancer", status=200)[0]
    assert (row["worker_id"], row["reason"]) == (worker["id"], "answered")
    assert row["execution_s"] >= 0.01


@pytest.mark.parametrize("host", ["balancer.api.runpod.ai", "balancer.localhost:80", "balancer.api.localhost"])
def test_a_host_names_the_endpoint(platform, host):
    connection = http.client.HTTPConnection(netloc(platform.url), timeout=60)
    connection.request("GET", "/anything", headers={"Host": host})
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["X-Runpod-Worker-Id"]
    connection.close()


def test_affinity_to_a_worker_that_is_gone_is_404_and_a_soft_one_goes_elsewhere(platform):
    gone = platform.ask("/lb/balancer/x", headers={"X-Runpod-Worker-Id": "strict nobody"})
    assert (gone.status, gone.json()["error"]) == (404, "affinity_worker_gone")
    assert platform.ask("/lb/balancer/x", headers={"X-Runpod-Worker-Id": "nobody"}).status == 200


def test_a_request_that_takes_too_long_is_cut_with_524(platform):
    answer = platform.ask("/lb/cut/x")
    assert (answer.status, answer.json()["title"]) == (524, "A Timeout Occurred")
    assert answer.headers["x-runpod-worker-id"]
    (row,) = platform.requests("cut")
    assert (row["status"], row["execution_s"] >= 0.2) == (524, True)


@pytest.mark.slow
def test_at_a_full_balancer_requests_are_held_and_then_given_up(platform):
    """One worker with room for one request, which takes 30 s."""
    first = http.client.HTTPConnection(netloc(platform.url), timeout=60)
    first.request("GET", "/lb/busy/x")
    (worker,) = until(lambda: [worker for worker in platform.inside("busy")["workers"] if worker["load"]], "a busy worker")
    strict = platform.ask("/lb/busy/x", headers={"X-Runpod-Worker-Id": f"strict {worker['id']}"})
    assert (strict.status, strict.json()["detail"]) == (400, "worker_timeout")
    any_worker = platform.ask("/lb/busy/x")
    assert any_worker.status == 400
    assert (any_worker.json()["error"], any_worker.json()["detail"]) == ("no workers available", "timed out waiting for worker")
    first.close()
    gone = platform.requests("busy", status=None)
    assert (gone[0]["worker_id"], gone[0]["reason"]) == (worker["id"], "the client disconnected")
    waited = [row["finished_s"] - row["submitted_s"] for row in platform.requests("busy", 2, status=400)]
    assert [seconds >= hold_s - 0.001 for seconds, hold_s in zip(waited, (0.2, 0.3), strict=True)] == [True, True]


# REST v2


def test_an_endpoint_is_shown_and_a_patch_changes_what_it_names_and_no_more(platform):
    before = platform.ask("/v2/serverless/cold").json()
    assert (before["type"], before["workers"], before["scaling"]) == (
        "QUEUE",
        {"min": 0, "max": 2, "idleTimeout": 5},
        {"type": "QUEUE_DELAY", "queueDelay": 4.0},
    )
    after = platform.ask("/v2/serverless/cold", {"workers": {"max": 3, "idleTimeout": 60}, "timeout": 5000}, "PATCH")
    assert after.status == 200
    assert after.json() == before | {"workers": {"min": 0, "max": 3, "idleTimeout": 60}, "timeout": 5000}
    assert before["id"] in [endpoint["id"] for endpoint in platform.ask("/v2/serverless").json()["endpoints"]]
    scaled = platform.ask(
        "/v2/serverless/cold", {"scaling": {"type": "REQUEST_COUNT", "requestCount": 2}, "flashboot": "FLASHBOOT"}, "PATCH"
    )
    assert (scaled.json()["scaling"], scaled.json()["flashboot"]) == ({"type": "REQUEST_COUNT", "requestCount": 2}, "FLASHBOOT")
    assert "idleTimeout" not in scaled.json()["workers"]
    refused = platform.ask("/v2/serverless/cold", {"workers": {"idleTimeout": 9}}, "PATCH")
    assert (refused.status, "idleTimeout does not apply" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "patch",
    [
        {"worker": 1},
        {"workers": {"most": 1}},
        {"workers": 3},
        {"workers": {"max": -1}},
        {"scaling": {"type": "QUEUE_DELAY", "requestCount": 1}},
        {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 0.1}},
        {"flashboot": "ON"},
        {"timeout": "soon"},
        {"image": "other"},
        {"env": {"CONCURRENCY": "0"}},
        {"env": {"A": 1}},
    ],
)
def test_a_patch_that_does_not_fit_is_422_in_problem_json_and_changes_nothing(platform, patch):
    before = platform.ask("/emulator/queue").json()["policy"]
    answer = platform.ask("/v2/serverless/queue", patch, "PATCH")
    assert (answer.status, answer.headers["content-type"]) == (422, "application/problem+json")
    assert platform.ask("/emulator/queue").json()["policy"] == before


def test_the_worker_list_is_another_view_and_says_how_often_it_may_be_asked(platform):
    answer = platform.ask("/v2/serverless/queue/workers")
    listing = answer.json()
    (worker,) = listing["workers"]
    assert worker.keys() == {
        *("id", "status", "isStale", "version", "gpuCount", "image", "uptimeSeconds", "gpuTypeId", "dataCenterId", "startedAt")
    }
    assert (worker["status"], worker["isStale"]) == ("IDLE", False)
    assert listing["summary"] == {"running": 0, "idle": 1, "initializing": 0, "throttled": 0, "unhealthy": 0, "total": 1}
    assert answer.headers["ratelimit-policy"] == '"minute";q=60;w=60'
    left = int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])
    again = platform.ask("/v2/serverless/queue/workers").headers["ratelimit"]
    assert int(again.partition("r=")[2].partition(";")[0]) in (left - 1, 59)  # 59: a new minute began


def test_another_environment_replaces_the_workers_by_a_rolling_release(platform):
    running = platform.submit("queue", sleep_s=60)
    until(lambda: platform.job("queue", running)["status"] == "IN_PROGRESS", "start")
    (old,) = platform.inside("queue")["workers"]
    answer = platform.ask("/v2/serverless/queue", {"env": {"CONCURRENCY": "20"}}, "PATCH")
    assert answer.json()["env"] == {"CONCURRENCY": "20"}
    later = platform.ended("queue", platform.submit("queue"))
    assert later["workerId"] != old["id"]
    listed = platform.ask("/v2/serverless/queue/workers").json()
    assert {worker["id"]: (worker["status"], worker["isStale"], worker["version"]) for worker in listed["workers"]} == {
        old["id"]: ("RUNNING", True, 1),
        later["workerId"]: ("IDLE", False, 2),
    }
    assert listed["endpointVersion"] == 2
    told = platform.ask("/v2/serverless/queue/releases").json()
    assert (told["endpointVersion"], told["rollout"]) == (
        2,
        {"inProgress": True, "workersOnLatest": 1, "workersTotal": 2, "percentOnLatest": 50},
    )
    assert [(one["version"], one["workerCount"], [part["field"] for part in one["diff"]]) for one in told["releases"]] == [
        (2, 1, ["template.env"]),
        (1, 1, []),
    ]
    platform.ask(f"/v2/queue/cancel/{running}", method="POST")
    until(lambda: [worker["id"] for worker in platform.inside("queue")["workers"]] == [later["workerId"]], "the old worker's end")


def test_the_bill_counts_each_workers_time_rounded_up_to_the_second(platform):
    bill = platform.inside("queue")["bill"]
    seconds = bill["start_s"] + bill["execution_s"] + bill["idle_s"]
    starts = len(platform.truth("worker", endpoint="queue", state="LOADING"))
    assert seconds <= bill["billed_s"] < seconds + starts
    assert bill["usd"] == pytest.approx(bill["billed_s"] * 0.001)
