"""Jobs from their request to their end, in virtual time with workers that do as they are told."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.service.admission import NoRoomError
from coldburst.video.generator import MOST_KEPT, VideoGenerator
from coldburst.video.job import CANCELLED, DONE, ENDED, EXPIRED, FAILED, QUEUED, RUNNING, VideoRequest
from coldburst.video.settings import GeneratorOptions
from coldburst.video.workers.pool import JobError, WorkerLostError
from tests.support.virtual_loop import run_virtual

TIMES = {"tts_s": 0.2, "video_s": 1.35, "audio_s": 4.0}


class Told:
    """Workers whose jobs end as their script says: ``done 3``, ``failed 3``, ``lost 3`` (seconds), ``hang 0``; ``log`` has all that ran."""

    def __init__(self):
        self.log, self.now, self.most = [], {}, 0

    def start(self):
        pass

    def close(self):
        pass

    def set_busy(self, busy):
        self.most = max(self.most, busy)

    async def load(self, slot):
        pass

    async def make(self, slot, order):
        assert slot not in self.now, "two jobs in one worker"
        self.now[slot] = order.job_id
        self.log.append((asyncio.get_running_loop().time(), slot, order.script))
        how, seconds = order.script.split()[:2]
        try:
            await asyncio.sleep(float(seconds) if how != "hang" else 1e6)
        finally:
            del self.now[slot]
        if how == "failed":
            raise JobError("race", "race: mixed")
        if how == "lost" and sum(script == order.script for _, _, script in self.log) == 1:
            raise WorkerLostError("worker lost")
        return TIMES


def scenario(act, **options):
    """Runs ``act(generator, workers)``, then waits for all jobs; the result of both."""

    async def run():
        with tempfile.TemporaryDirectory() as folder:
            workers = Told()
            async with VideoGenerator(GeneratorOptions(**options), Path(folder), workers) as generator:
                result = await act(generator, workers)
                assert generator.busy == 0 and generator.waiting == 0
                assert not list(Path(folder).iterdir())
                return result

    return run_virtual(run)


def test_twenty_at_once_on_five_workers_take_four_batches():
    """20 ÷ 5 × 60 s, scaled down by 60."""

    async def act(generator, workers):
        jobs = [generator.submit(VideoRequest(f"done 1 {n}")) for n in range(20)]
        for job in jobs:
            await generator.result(job)
        return [at_s for at_s, _, _ in workers.log], {job.state for job in jobs}, asyncio.get_running_loop().time(), workers.most

    starts, states, ended_s, most = scenario(act, workers=5, memory=GeneratorOptions().memory.__class__(80))
    assert starts == [0.0] * 5 + [1.0] * 5 + [2.0] * 5 + [3.0] * 5
    assert (states, ended_s, most) == ({DONE}, 4.0, 5)


def test_only_as_many_run_as_fit_into_the_memory():
    async def act(generator, workers):
        jobs = [generator.submit(VideoRequest("done 1")) for _ in range(12)]
        for job in jobs:
            await generator.result(job)
        return workers.most

    assert scenario(act, workers=9) == GeneratorOptions().memory.fit == 4


def test_a_priority_overtakes_those_who_wait_and_never_the_one_that_runs():
    async def act(generator, workers):
        jobs = [generator.submit(VideoRequest(f"done 1 {p}", priority=p)) for p in (0, -5, 0, 9)]
        for job in jobs:
            await generator.result(job)
        return [script.split()[2] for _, _, script in workers.log]

    assert scenario(act) == ["0", "9", "0", "-5"]


def test_a_job_whose_wait_passes_its_limit_ends_as_such_and_is_never_run():
    async def act(generator, workers):
        first, late, patient = (generator.submit(VideoRequest(f"done 5 {n}", max_wait_s=limit)) for n, limit in enumerate((1, 3, 6)))
        for job in (first, late, patient):
            await generator.result(job)
        return [job.state for job in (first, late, patient)], len(workers.log), late.view()["error"]

    states, runs, error = scenario(act)
    assert (states, runs) == ([DONE, EXPIRED, DONE], 2)
    assert error == {"code": "queue_timeout", "message": "queue timeout: no worker was free within 3 s, the limit on waiting"}


def test_a_worker_that_becomes_free_as_the_limit_passes_either_runs_the_job_or_is_free():
    async def act(generator, workers):
        jobs = [generator.submit(VideoRequest("done 3", max_wait_s=3)) for _ in range(2)]
        for job in jobs:
            await generator.result(job)
        return len(workers.log), jobs[1].state

    assert scenario(act) in ((1, EXPIRED), (2, DONE))


@pytest.mark.parametrize(("rerun", "states", "runs"), [(False, [FAILED, DONE], 1), (True, [DONE, DONE], 2)])
def test_a_job_whose_worker_is_lost_fails_or_is_run_again_once_before_those_who_wait(rerun, states, runs):
    async def act(generator, workers):
        jobs = [generator.submit(VideoRequest(script, priority=p)) for script, p in (("lost 1", 0), ("done 1", 50))]
        for job in jobs:
            await generator.result(job)
        return [job.state for job in jobs], jobs[0].runs, [script for _, _, script in workers.log]

    found, ran, log = scenario(act, rerun=rerun)
    assert (found, ran) == (states, runs)
    assert log == (["lost 1", "lost 1", "done 1"] if rerun else ["lost 1", "done 1"])


def test_a_worker_that_hangs_is_free_after_the_execution_limit():
    async def act(generator, workers):
        jobs = [generator.submit(VideoRequest(script)) for script in ("hang 0", "done 1")]
        for job in jobs:
            await generator.result(job)
        return [job.state for job in jobs], jobs[0].code, asyncio.get_running_loop().time()

    assert scenario(act, execution_limit_s=10) == ([FAILED, DONE], "timed_out", 11.0)


def test_cancelled_jobs_free_their_worker_or_their_place():
    async def act(generator, workers):
        running, waiting, last = (generator.submit(VideoRequest(script)) for script in ("hang 0", "done 9", "done 1"))
        await asyncio.sleep(1)
        assert (running.state, waiting.state, generator.waiting) == (RUNNING, QUEUED, 2)
        for job in (waiting, running, running):
            generator.cancel(job)
        for job in (running, waiting, last):
            await generator.result(job)
        return [job.state for job in (running, waiting, last)], len(workers.log)

    assert scenario(act) == ([CANCELLED, CANCELLED, DONE], 2)


def test_ten_thousand_requests_are_refused_each_in_a_sentence_and_take_no_memory():
    async def act(generator, workers):
        jobs, refused = [], set()
        for n in range(10_000):
            try:
                jobs.append(generator.submit(VideoRequest(f"done 1 {n}")))
            except NoRoomError as error:
                refused.add(str(error))
        assert generator.kept == len(jobs) == 21
        for job in jobs:
            await generator.result(job)
        return refused, generator.counts["refused"]

    assert scenario(act) == ({"20 jobs wait already, and the queue has no more places. Please retry later."}, 9979)


@pytest.mark.slow
def test_results_are_kept_for_a_while_and_not_without_end():
    async def act(generator, workers):
        first = generator.submit(VideoRequest("done 1"))
        await generator.result(first)
        assert generator.find(first.id) is first
        await asyncio.sleep(61)
        assert generator.find(first.id) is None
        for n in range(MOST_KEPT + 50):
            await generator.result(generator.submit(VideoRequest(f"done 0 {n}")))
        return generator.kept

    assert scenario(act, keep_s=60) <= MOST_KEPT + 1


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["done 1", "done 3", "failed 2", "lost 1", "hang 0"]),
        st.integers(-2, 2),
        st.sampled_from([None, 1, 2, 5]),
        st.sampled_from([0, 0, 1, 2]),
        st.sampled_from([None, 0, 1, 2, 3]),
    ),
    max_size=25,
)


@pytest.mark.slow
@given(moves=MOVES, workers=st.integers(1, 3), queue=st.integers(0, 4), rerun=st.booleans())
def test_whatever_happens_each_job_ends_once_and_every_worker_comes_back(moves, workers, queue, rerun):
    """Moves: a script, its priority, its limit on waiting, the pause before the next, and when it is cancelled."""

    async def act(generator, told):
        jobs, loop = [], asyncio.get_running_loop()
        for n, (script, priority, limit_s, pause_s, cancel_s) in enumerate(moves):
            try:
                job = generator.submit(VideoRequest(f"{script} {n}", priority=priority, max_wait_s=limit_s))
            except NoRoomError:
                assert generator.waiting == queue
                continue
            jobs.append(job)
            if cancel_s is not None:
                loop.call_later(cancel_s, generator.cancel, job)
            await asyncio.sleep(pause_s)
            assert generator.busy <= workers and generator.waiting <= queue + rerun * workers
        for job in jobs:
            await generator.result(job)
        # The tasks end in the same turn as their jobs, or the next.
        await asyncio.sleep(0.001)
        for job in jobs:
            assert job.state in ENDED
            runs = sum(script == job.request.script for _, _, script in told.log)
            assert runs <= 1 + rerun
            assert runs == 0 or job.state != EXPIRED
            assert (job.state == DONE) <= (runs >= 1)
        assert generator.counts["submitted"] == len(jobs) == sum(generator.counts[state] for state in ENDED)
        # All workers take jobs again.
        last = [generator.submit(VideoRequest("done 1 last")) for _ in range(min(workers, 1 + queue))]
        before_s = loop.time()
        for job in last:
            await generator.result(job)
        assert loop.time() - before_s < 1.01
        assert {job.state for job in last} == {DONE}

    scenario(act, workers=workers, queue=queue, rerun=rerun, execution_limit_s=20)
