"""Real worker processes: models that load once, and a worker that is killed in the middle of a video."""

import asyncio
import multiprocessing
import os
import signal
from collections import Counter

import psutil
import pytest

from coldburst.video.generator import VideoGenerator
from coldburst.video.job import VideoRequest
from coldburst.video.settings import GeneratorOptions
from coldburst.video.workers.process import PART


def generator(folder, **options):
    quick = {"engine": "fixed", "tts_s": 0.0, "video_s": 0.0, "model_load_s": 0.0}
    return VideoGenerator(GeneratorOptions(**(quick | options)), folder)


@pytest.mark.slow
def test_twenty_first_requests_at_once_load_each_model_once(tmp_path):
    async def run():
        async with generator(tmp_path, workers=2, lazy=True, model_load_s=0.3) as made:
            assert made.card.loads == {}
            jobs = [made.submit(VideoRequest(f"video {n}")) for n in range(20)]
            for job in jobs:
                await made.result(job)
            return {job.state for job in jobs}, dict(made.card.loads), made.card.peak_gb, {job.worker for job in jobs}

    states, loads, peak_gb, workers = asyncio.run(run())
    assert (states, loads, peak_gb) == ({"done"}, {"speech": 1, "video": 2}, pytest.approx(10.0))
    assert workers == {"video-0", "video-1"}


@pytest.mark.slow
@pytest.mark.parametrize("rerun", [False, True])
def test_a_worker_killed_in_the_middle_of_a_video_costs_at_most_its_job(tmp_path, rerun):
    async def run():
        async with generator(tmp_path, video_s=2.0, rerun=rerun) as made:
            job = made.submit(VideoRequest("one"))
            while not list(tmp_path.glob(f"*{PART}")):
                await asyncio.sleep(0.01)
            assert not list(tmp_path.glob("*.mp4"))
            killed = made.workers.pids["worker 0"]
            os.kill(killed, signal.SIGKILL)
            await made.result(job)
            following = await made.result(made.submit(VideoRequest("two")))
            assert made.workers.pids["worker 0"] != killed
            assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{one.id}.mp4" for one in (job, following) if one.file)
            sizes = {path.stat().st_size for path in tmp_path.iterdir()}
            return job, following, len(sizes), made.card.used_gb

    job, following, sizes, used_gb = asyncio.run(run())
    assert (job.state, job.code, job.runs) == (("done", "", 2) if rerun else ("failed", "worker_lost", 1))
    assert (following.state, sizes, used_gb) == ("done", 1, pytest.approx(6.7))
    assert not [child for child in psutil.Process().children() if "worker" in child.name()]


def test_twenty_first_requests_without_locks_cost_the_process_that_runs_out_of_memory(tmp_path):
    """Seven copies of 3.4 GB fill 24 GB; the eighth job that loads one is the end of all twenty."""

    async def run():
        # Loads take longer than the test, so that none ends before the eighth begins.
        async with generator(tmp_path, unsafe=True, model_load_s=600.0) as made:
            (process,) = (child for child in multiprocessing.active_children() if child.name == "worker 0")
            jobs = [made.submit(VideoRequest(f"video {n}")) for n in range(20)]
            for job in jobs:
                await made.result(job)
            await asyncio.to_thread(process.join, 60)
            return jobs, process.exitcode, made.workers.pids["worker 0"] != process.pid, made.card, made.statistics()["memory"]

    jobs, code, replaced, card, memory = asyncio.run(run())
    assert Counter(job.code for job in jobs) == {"double_load": 1, "out_of_memory": 19}
    assert {job.state for job in jobs} == {"failed"} and all("was killed (SIGKILL)" in job.error for job in jobs)
    assert (code, replaced, dict(card.loads), memory["kills"]) == (-signal.SIGKILL, True, {"speech": 7}, 1)
    assert (memory["used_gb"], memory["peak_gb"]) == (0, 23.8)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_killed_speech_process_is_replaced(tmp_path):
    async def run():
        async with generator(tmp_path, tts_s=60.0, execution_limit_s=120.0) as made:
            await made.wait_loaded()
            job = made.submit(VideoRequest("one"))
            while job.state != "running":
                await asyncio.sleep(0.01)
            os.kill(made.workers.pids["speech"], signal.SIGKILL)
            await made.result(job)
            await made.workers.load(0)
            return job.code, made.card.used_gb

    assert asyncio.run(run()) == ("worker_lost", pytest.approx(6.7))
