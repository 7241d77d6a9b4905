"""The emulator's workers as processes on the real SDK: what they answer, how they end, and that none is left behind."""

import base64
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.support.emulators import emulator
from tests.support.endings import numbers
from tests.support.transcribers import SAMPLES, until

pytestmark = pytest.mark.slow

FIXED = ("--engine", "fixed", "--service-time", "0", "--start", "0")


def processes(running):
    """The emulator's worker processes and theirs, with the reaper that outlives it."""
    return psutil.Process(running.process.pid).children(recursive=True)


def worker_process(running):
    """The SDK's main process of the only worker."""
    found = until(
        lambda: [one for one in processes(running) if "coldburst.emulator.workers.sdk_worker" in one.cmdline()], "a worker process"
    )
    return min(found, key=lambda one: one.create_time())


def test_two_clips_at_a_time_are_transcribed_by_one_worker():
    with emulator("--start", "0", "--concurrency", "2", "--workers-max", "1") as running:
        clips = sorted(SAMPLES.glob("*.wav"))[:3]
        jobs = [running.submit("demo", audio_base64=base64.b64encode(clip.read_bytes()).decode(), name=clip.name) for clip in clips]
        ended = [running.ended("demo", job, 60) for job in jobs]
        assert [job["status"] for job in ended] == ["COMPLETED"] * 3, ended
        for job in ended:
            output = job["output"]
            assert len(output["text"].split()) > 3
            assert output["processing_seconds"] > 0
            assert 0 < output["audio_seconds"] < 60
            assert 0 < output["model_load_seconds"] < 60
        assert sorted(job["output"]["jobs_before"] for job in ended) == [0, 1, 2]
        rows = running.truth("job")
        assert {row["worker_id"] for row in rows} == {ended[0]["workerId"]}
        assert rows[0]["cold"]
        bad = running.ended("demo", running.submit("demo", audio_base64="bm8gc291bmQ="), 60)
        assert (bad["status"], "cannot be decoded as audio" in bad["error"]) == ("FAILED", True)


def test_jobs_overlap_as_far_as_the_concurrency_and_the_memory_go():
    memory = ("--card-gb", "10", "--shared-gb", "4", "--job-gb", "3")
    with emulator(*FIXED, *memory, "--concurrency", "3", "--workers-min", "1", "--workers-max", "1", "--ready") as running:
        pair = [running.submit("demo", sleep_s=600) for _ in range(2)]
        until(lambda: [running.job("demo", job)["status"] for job in pair] == ["IN_PROGRESS"] * 2, "two jobs at a time")
        third = running.ended("demo", running.submit("demo", echo=1))
        assert third["status"] == "FAILED"
        assert "CUDA out of memory: 3 jobs at a time need 13 GB of 10 GB" in third["error"]
        for job in pair:
            running.ask(f"/v2/demo/cancel/{job}", method="POST")
        assert running.ended("demo", running.submit("demo", echo=2))["output"]["echo"] == 2  # the worker went on


def test_kill_9_of_the_emulator_leaves_no_process_and_no_folder():
    with emulator(*FIXED, "--workers-min", "2", "--workers-max", "2", "--ready") as running:
        left = processes(running)
        folders = {one.cwd() for one in left if "coldburst.emulator.workers.sdk_worker" in one.cmdline()}
        assert len(left) >= 5  # two workers, the SDK's ping process of each, the reaper
        assert len(folders) == 2
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(60)
        _, alive = psutil.wait_procs(left, timeout=60)
        assert alive == []
        until(lambda: not any(Path(folder).exists() for folder in folders), "the folders' end")


def test_a_killed_worker_loses_its_job_to_the_next_one():
    with emulator(
        *FIXED, "--workers-min", "1", "--workers-max", "1", "--ready", "--platform", "lease_s=3", "--platform", "ping_s=1"
    ) as running:
        job_id = running.submit("demo", sleep_s=600)
        until(lambda: running.job("demo", job_id)["status"] == "IN_PROGRESS", "start")
        first, process = running.job("demo", job_id)["workerId"], worker_process(running)
        group = [process, *process.children(recursive=True)]
        assert running.fault("demo", kill=first).status == 200
        assert psutil.wait_procs(group, timeout=60)[1] == []  # the ping process too
        again = until(lambda: (job := running.job("demo", job_id)).get("retries") and job.get("workerId") and job, "a second worker")
        assert (again["retries"], again["workerId"] != first) == (1, True)


@pytest.mark.nightly
def test_pings_keep_a_job_beyond_its_lease():
    with emulator(
        *FIXED, "--workers-min", "1", "--workers-max", "1", "--ready", "--platform", "lease_s=3", "--platform", "ping_s=1"
    ) as running:
        job = running.ended("demo", running.submit("demo", sleep_s=5), 60)
        assert job["status"] == "COMPLETED"
        assert "retries" not in job


def test_a_worker_without_work_ends_and_its_folder_too():
    with emulator(*FIXED, "--workers-max", "1", "--idle-timeout", "1") as running:
        assert running.ended("demo", running.submit("demo", echo=1), 60)["status"] == "COMPLETED"
        process = worker_process(running)
        folder = process.cwd()
        assert not list(Path(folder).iterdir())
        until(lambda: running.states("demo") == [], "an endpoint at rest")
        assert not process.is_running()
        assert not Path(folder).exists()
        states = [row["state"] for row in running.truth("worker")]
        assert states == ["LOADING", "READY", "RUNNING", "READY", "DRAINING", "STOPPED"]


def test_flashboot_freezes_a_worker_and_the_next_job_resumes_it_and_is_cold():
    with emulator(*FIXED, "--workers-max", "1", "--idle-timeout", "1", "--flashboot", "--platform", "resume_s=0.2") as running:
        first = running.ended("demo", running.submit("demo", echo=1), 60)
        until(lambda: running.states("demo") == ["CACHED"], "a cached worker")
        process = worker_process(running)
        until(lambda: process.status() == psutil.STATUS_STOPPED, "a frozen process")
        health = running.ask("/v2/demo/health").json()["workers"]
        assert (health["ready"], health["running"]) == (1, 0)  # one of the platform's lies
        second = running.ended("demo", running.submit("demo", echo=2), 60)
        assert (second["status"], second["workerId"], second["output"]["jobs_before"]) == ("COMPLETED", first["workerId"], 1)
        (row,) = running.truth("job", id=second["id"])
        assert row["cold"]
        assert row["delay_s"] >= 0.2


@pytest.mark.nightly
def test_workers_that_crash_before_they_are_ready_are_tried_again():
    with emulator(*FIXED, "--workers-max", "1", "--fault", '{"crash_starts": 2}', "--platform", "unhealthy_retry_s=0.1") as running:
        job = running.ended("demo", running.submit("demo", echo=1), 60)
        assert job["status"] == "COMPLETED"
        states = [row["state"] for row in running.truth("worker") if row["state"] in ("LOADING", "UNHEALTHY")]
        assert states == ["LOADING", "UNHEALTHY", "LOADING", "UNHEALTHY", "LOADING"]


@pytest.mark.nightly
def test_a_worker_that_never_acknowledges_is_told_by_its_silence():
    options = ("--workers-min", "1", "--workers-max", "1", "--ready", "--platform", "lease_s=2", "--platform", "ping_s=1")
    with emulator(*FIXED, *options) as running:
        running.fault("demo", never_ack="all")
        job = running.ended("demo", running.submit("demo", echo=1), 60)
        assert (job["status"], job["error"]) == ("FAILED", "job timed out after 1 retries")
        running.fault("demo", clear=True)
        assert running.ended("demo", running.submit("demo", echo=1), 60)["status"] == "COMPLETED"


def test_another_concurrency_is_a_rolling_release_of_real_workers():
    with emulator(*FIXED, "--workers-min", "1", "--workers-max", "1", "--ready") as running:
        running.ask("/v2/serverless/demo", {"env": {"CONCURRENCY": "4"}}, "PATCH")
        jobs = [running.submit("demo", sleep_s=600) for _ in range(4)]
        until(lambda: {running.job("demo", job)["status"] for job in jobs} == {"IN_PROGRESS"}, "four jobs at a time", 60)
        workers = running.ask("/v2/serverless/demo/workers").json()["workers"]
        assert [(worker["status"], worker["isStale"]) for worker in workers if not worker["isStale"]] == [("RUNNING", False)]


@pytest.mark.parametrize("number", numbers(signal.SIGTERM))
def test_an_end_by_a_signal_takes_the_workers_along(number):
    with emulator(*FIXED, "--workers-min", "1", "--workers-max", "1", "--ready") as running:
        left = processes(running)
        before = time.monotonic()
        running.process.send_signal(number)
        assert running.process.wait(60) == 0
        assert psutil.wait_procs(left, timeout=60)[1] == []
        assert time.monotonic() - before < 20
