"""RunPod's own client SDKs for Python and JavaScript, unmodified, against one emulator whose workers run the SDK too."""

import asyncio
import itertools
import json
import shutil
import subprocess
import sys

import pytest

from tests.support.emulators import MODELLED, emulator, limit
from tests.support.needs import lacking
from tests.support.transcribers import DEADLINE_S, ROOT, until

pytestmark = pytest.mark.slow

KEY = "sdk-test-key"
SHOWN = {"Authorization": f"Bearer {KEY}"}
COUNT = [{"number": 0}, {"number": 1}, {"number": 2}]
STREAMING = json.dumps([sys.executable, str(ROOT / "tests/support/handlers/stream.py")])
ENDPOINTS = f"""
[endpoints.jobs]
engine = "fixed"
start = 0
workers_min = 1
workers_max = 1

[endpoints.chunks]
worker = "command"
command = {STREAMING}
start = 0
workers_min = 1
workers_max = 1

[endpoints.brief]
worker = "modelled"
start = 0
load = 0
service_time = 0.5
workers_max = 1
platform = {{ sync_wait_s = 0.1, sync_wait_min_s = 0.1 }}

[endpoints.shut]
workers_max = 0

[endpoints.shut-asyncio]
workers_max = 0

[endpoints.shut-js]
workers_max = 0
"""
"""Each SDK has a shut endpoint of its own: two purges in 10 s are all that an endpoint allows."""


@pytest.fixture(autouse=True)
def limited():
    """The SDK's synchronous calls have no limit of their own: ``run_sync`` would wait for a day."""
    with limit(3 * DEADLINE_S):
        yield


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    config = tmp_path_factory.mktemp("sdk") / "emulator.toml"
    config.write_text(ENDPOINTS)
    with emulator("--config", str(config), "--ready", RUNPOD_API_KEY=KEY) as running:
        yield running


@pytest.fixture
def sdk(platform, monkeypatch):
    """The package, told where the emulator is."""
    import runpod

    monkeypatch.setattr(runpod, "endpoint_url_base", f"{platform.url}/v2")
    monkeypatch.setattr(runpod, "api_key", KEY)
    return runpod


@pytest.fixture
def endpoint(sdk):
    """Makes ``runpod.Endpoint``s, and closes the sessions that the SDK leaves open."""
    made = []

    def make(name, **options):
        made.append(sdk.Endpoint(name, **options))
        return made[-1]

    yield make
    for one in made:
        one.rp_client.rp_session.close()


# runpod.Endpoint


def test_run_status_and_output(endpoint):
    job = endpoint("jobs").run({"input": {"echo": {"a": [1, None]}}})
    assert job.output(timeout=int(DEADLINE_S))["echo"] == {"a": [1, None]}
    assert job.status() == "COMPLETED"


def test_an_input_without_its_frame_is_framed_by_the_sdk(endpoint):
    assert endpoint("jobs").run_sync({"echo": "bare"})["echo"] == "bare"


def test_run_sync_answers_the_output_of_a_job_that_ends_in_time(endpoint):
    assert endpoint("jobs").run_sync({"input": {"echo": 1}})["echo"] == 1


def test_run_sync_asks_on_when_the_platform_answers_before_the_job_has_ended(endpoint):
    assert endpoint("brief").run_sync({"input": {"echo": 1}}) == {"echo": {"echo": 1}, "service_s": 0.5}


def test_a_failed_job_has_no_output_and_raises_nothing(endpoint, platform):
    job = endpoint("jobs").run({"input": {"fail": "no such voice"}})
    assert job.output(timeout=int(DEADLINE_S)) is None
    assert job.status() == "FAILED"
    assert endpoint("jobs").run_sync({"input": {"fail": "no such voice"}}) is None
    assert "no such voice" in platform.ask(f"/v2/jobs/status/{job.job_id}", headers=SHOWN).json()["error"]


def test_a_cancelled_job_leaves_its_worker_to_the_next_one(endpoint):
    chunks = endpoint("chunks")
    long = chunks.run({"input": {"count": 1, "sleep_s": 600}})
    assert next(long.stream()) == COUNT[0]  # so it runs: the SDK's worker forgets a stop that comes before it has begun the job
    assert long.status() == "IN_PROGRESS"
    assert long.cancel() == {"id": long.job_id, "status": "CANCELLED"}
    assert long.status() == "CANCELLED"
    assert chunks.run({"input": {"count": 3}}).output(timeout=int(DEADLINE_S)) == COUNT


def test_a_stream_has_every_chunk_once_and_the_output_has_them_all(endpoint):
    job = endpoint("chunks").run({"input": {"count": 3}})
    assert list(itertools.islice(job.stream(), 10)) == COUNT  # bounded, as the SDK asks for as long as there are chunks
    assert job.output() == COUNT


def test_a_queue_is_counted_and_purged(endpoint):
    shut = endpoint("shut")
    job = shut.run({"input": {"echo": 1}})
    assert job.status() == "IN_QUEUE"
    with pytest.raises(TimeoutError):
        job.output(timeout=1)
    assert shut.health() == health(in_queue=1)
    assert shut.purge_queue() == {"removed": 1, "status": "completed"}
    assert job.status() == "CANCELLED"


def test_a_wrong_key_and_an_unknown_endpoint_are_told_apart(endpoint):
    import requests

    with pytest.raises(RuntimeError, match="401"):
        endpoint("jobs", api_key="wrong").health()
    with pytest.raises(requests.HTTPError, match="404"):
        endpoint("nobody").health()


def health(in_queue):
    jobs = {"completed": 0, "failed": 0, "inProgress": 0, "inQueue": in_queue, "retried": 0}
    return {"jobs": jobs, "workers": dict.fromkeys(("idle", "initializing", "ready", "running", "throttled", "unhealthy"), 0)}


# runpod.AsyncioEndpoint


def test_the_asyncio_endpoint(sdk):
    async def session():
        async with sdk.http_client.AsyncClientSession() as http:
            job = await sdk.AsyncioEndpoint("jobs", http).run({"echo": "async"})
            assert (await job.output(timeout=int(DEADLINE_S)))["echo"] == "async"
            assert await job.status() == "COMPLETED"

            counting = await sdk.AsyncioEndpoint("chunks", http).run({"count": 3})
            assert [chunk async for chunk in counting.stream()] == COUNT

            shut = sdk.AsyncioEndpoint("shut-asyncio", http)
            first, second = await shut.run({"echo": 1}), await shut.run({"echo": 2})
            assert await first.status() == "IN_QUEUE"
            assert await first.cancel() == {"id": first.job_id, "status": "CANCELLED"}
            assert await shut.health() == health(in_queue=1)
            assert await shut.purge_queue() == {"removed": 1, "status": "completed"}
            assert (await first.status(), await second.status()) == ("CANCELLED", "CANCELLED")

    asyncio.run(asyncio.wait_for(session(), 3 * DEADLINE_S))


# runpod-sdk of npm


@pytest.fixture(scope="module")
def given_to_js(platform, tmp_path_factory):
    """What tests/support/js/session.js was given by the JavaScript SDK."""
    if reason := lacking("node", "npm"):
        pytest.skip(f"{reason}; the JavaScript SDK was not tried")
    folder = tmp_path_factory.mktemp("js")
    shutil.copytree(ROOT / "tests/support/js", folder, dirs_exist_ok=True)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(folder / "cache")], cwd=folder, check=True, timeout=120
    )
    command = ["node", "session.js", platform.url, KEY, "jobs", "chunks", "shut-js"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_javascript_runs_a_job_and_reads_its_status(given_to_js):
    for way, echo in (("runSync", "sync"), ("statusSync", "later"), ("status", "later")):
        job = given_to_js[way]
        assert (job["status"], job["completed"], job["succeeded"], job["output"]["echo"]) == ("COMPLETED", True, True, echo), way
    assert given_to_js["run"] == {"id": given_to_js["status"]["id"], "status": "IN_QUEUE"}
    assert given_to_js["runSync"]["id"].startswith("sync-")


def test_javascript_is_told_of_a_failed_job_and_of_a_wrong_key(given_to_js):
    failed = given_to_js["failed"]
    assert (failed["status"], failed["completed"], failed["succeeded"]) == ("FAILED", True, False)
    assert "no such voice" in failed["error"]
    assert given_to_js["stranger"] == 401


def test_javascript_streams_every_chunk_once(given_to_js):
    assert given_to_js["stream"] == [{"output": chunk} for chunk in COUNT]


def test_javascript_cancels_counts_and_purges(given_to_js):
    states = [given_to_js[moment]["status"] for moment in ("waiting", "cancel", "cancelled")]
    assert states == ["IN_QUEUE", "CANCELLED", "CANCELLED"]
    assert given_to_js["health"] == health(in_queue=1)
    assert given_to_js["purge"] == {"removed": 1, "status": "completed"}


# a 429 to a GET, over both


def test_over_http_the_sdk_asks_again_after_a_429_and_says_nothing(endpoint, platform):
    job = endpoint("brief").run({"input": {"echo": 1}})
    fault = {"status": 429, "times": 2, "operation": "status"}
    assert platform.ask("/emulator/brief/fault", fault, headers=SHOWN).status == 200
    assert platform.ask(f"/v2/brief/status/{job.job_id}", headers=SHOWN).status == 429
    assert job.output(timeout=int(DEADLINE_S)) == {"echo": {"echo": 1}, "service_s": 0.5}


def test_over_https_the_sdk_raises_it_and_trusts_the_emulator_by_its_authority_alone(sdk, monkeypatch, endpoint):
    import requests

    with emulator("--https", *MODELLED) as running:
        authority = until(lambda: [line for line in running.lines if line.startswith("authority ")], "line with the authority's file")
        monkeypatch.setattr(sdk, "endpoint_url_base", f"{running.url}/v2")
        with pytest.raises(requests.exceptions.SSLError):
            endpoint("demo").health()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority[0].split()[-1])
        demo = endpoint("demo")
        assert demo.run_sync({"input": {"echo": 1}}) == {"echo": {"echo": 1}, "service_s": 0.01}
        job = demo.run({"input": {"echo": 1}})
        fault = {"status": 429, "times": 1, "operation": "status"}
        shown = {"Authorization": f"Bearer {running.token}"}
        assert requests.post(f"{running.url}/emulator/demo/fault", json=fault, headers=shown, timeout=DEADLINE_S).status_code == 200
        with pytest.raises(requests.HTTPError, match="429"):
            job.status()
        assert job.output(timeout=int(DEADLINE_S)) == {"echo": {"echo": 1}, "service_s": 0.01}
