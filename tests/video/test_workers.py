"""The arithmetic of memory and contention, and models that load once."""

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.video.workers.buffer import Buffer, MixedError
from coldburst.video.workers.contention import Progress, SharedGpu, slowdown
from coldburst.video.workers.engines import FixedEngine
from coldburst.video.workers.memory import SPEECH, VIDEO, Card, MemoryPlan, OutOfMemoryError
from coldburst.video.workers.process import Models
from coldburst.video.workers.single_flight import SingleFlight


def test_the_memory_plan_of_the_avatar_system():
    plan = MemoryPlan(24, 3.4, 3.3, 0.8)
    assert [plan.usage_gb(n) for n in (1, 2, 3)] == pytest.approx([6.7, 10.0, 13.3])
    assert (plan.fit, MemoryPlan(24, 3.4, 3.3, 1.0).fit, MemoryPlan(24, 3.4, 3.3, 0.9).fit) == (4, 6, 5)
    assert MemoryPlan(6.7, 3.4, 3.3, 1.0).fit == 1
    assert MemoryPlan(4, 3.4, 3.3, 0.8).fit == 0


def test_a_card_counts_what_is_on_it():
    card = Card(MemoryPlan())
    card.load("speech", SPEECH)
    for worker in ("worker 0", "worker 1"):
        card.load(worker, VIDEO)
    assert (card.used_gb, card.duplicates_gb, card.loads) == (pytest.approx(10.0), 0, {SPEECH: 1, VIDEO: 2})
    card.free_all("worker 0")
    card.free("worker 1", VIDEO)
    assert (card.used_gb, card.peak_gb) == (pytest.approx(3.4), pytest.approx(10.0))


def test_a_model_that_would_fit_without_duplicates_is_a_double_load_and_any_other_out_of_memory():
    card = Card(MemoryPlan())
    for _ in range(7):
        card.load("worker 0", SPEECH)
    with pytest.raises(OutOfMemoryError, match=r"double load: the video model needs 3.3 GB, and 0.2 of 24 GB are free") as found:
        card.load("worker 0", VIDEO)
    assert found.value.code == "double_load"
    crowded = Card(MemoryPlan())
    crowded.load("speech", SPEECH)
    for worker in range(6):
        crowded.load(f"worker {worker}", VIDEO)
    with pytest.raises(OutOfMemoryError, match=r"out of memory: the video model needs 3.3 GB, and 0.8 of 24 GB are free") as found:
        crowded.load("worker 6", VIDEO)
    assert found.value.code == "out_of_memory"


@given(moves=st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.sampled_from([SPEECH, VIDEO])), max_size=60))
def test_a_card_is_never_overfull_and_ends_empty(moves):
    card = Card(MemoryPlan())
    for loads, owner, model in moves:
        if not loads:
            card.free(str(owner), model)
            continue
        with contextlib.suppress(OutOfMemoryError):
            card.load(str(owner), model)
        assert card.used_gb <= 24.0 + 1e-6
    for owner in range(4):
        card.free_all(str(owner))
    assert card.used_gb == card.duplicates_gb == 0


@pytest.mark.parametrize(("workers", "times"), [(1, 1.0), (2, 1.7391), (3, 2.3077)])
def test_a_contention_of_15_percent_gives_the_throughput_of_amdahls_law(workers, times):
    """A closed loop over n workers, each with a job of 1.55 s of work at any time, for a hundred jobs each."""
    slow = slowdown(0.15, workers)
    jobs = [Progress(1.55) for _ in range(workers)]
    ended, now_s = 0, 0.0
    while ended < 100 * workers:
        step_s = min(job.ends_in_s(slow) for job in jobs)
        now_s += step_s
        for place, job in enumerate(jobs):
            job.advance(step_s, slow)
            if job.left_s <= 1e-9:
                ended, jobs[place] = ended + 1, Progress(1.55)
    assert ended / now_s * 1.55 == pytest.approx(times, rel=0.0005)


def test_work_goes_on_at_the_speed_of_the_moment():
    progress = Progress(1.0)
    progress.advance(0.5, slow=1.0)
    progress.advance(0.6, slow=2.0)
    assert (progress.left_s, progress.ends_in_s(1.0), progress.ends_in_s(3.0)) == pytest.approx((0.2, 0.2, 0.6))


def test_waiting_work_ends_when_it_is_given_up():
    def give_up():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        SharedGpu(0.0).work(1e6, give_up)


def test_a_model_loads_once_for_twenty_who_ask_at_once():
    loads = []

    async def load():
        loads.append(1)
        await asyncio.sleep(0)
        return "model"

    async def ask():
        flight = SingleFlight(load)
        return await asyncio.gather(*(flight.get() for _ in range(20))), flight.loaded

    assert asyncio.run(ask()) == (["model"] * 20, True)
    assert len(loads) == 1


def test_a_load_that_failed_is_tried_again_and_one_caller_who_leaves_does_not_end_it():
    outcomes = [OSError("torn"), "model"]

    async def load():
        await asyncio.sleep(0)
        found = outcomes.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def ask():
        flight = SingleFlight(load)
        failed = await asyncio.gather(*(flight.get() for _ in range(3)), return_exceptions=True)
        leaver, stayer = asyncio.ensure_future(flight.get()), asyncio.ensure_future(flight.get())
        await asyncio.sleep(0)
        leaver.cancel()
        return [str(error) for error in failed], await stayer

    assert asyncio.run(ask()) == (["torn"] * 3, "model")


class Gate(FixedEngine):
    """Loads end when all who are expected have begun one, or at once if nobody else is."""

    def __init__(self, expected):
        super().__init__(0, 0, 0, SharedGpu(0))
        self._all = threading.Barrier(expected)

    def load(self, model):
        self._all.wait(timeout=60)
        return super().load(model)


@pytest.mark.parametrize(("locks", "expected"), [(True, 1), (False, 20)])
def test_twenty_threads_load_one_model_with_locks_and_twenty_without(locks, expected):
    reserved, freed, models = [], [], []
    cache = Models(Gate(expected), reserved.append, freed.append, locks=locks)
    threads = [threading.Thread(target=lambda: models.append(cache.get(SPEECH))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert (len(reserved), len(set(map(id, models)))) == (expected, expected)
    for model in models:
        cache.drop(SPEECH, model)
    assert len(freed) == expected - 1


def test_a_buffer_that_another_job_took_over_is_a_race():
    buffer = Buffer()
    buffer.begin("a")
    buffer.end("a")
    buffer.begin("a")
    buffer.begin("b")
    with pytest.raises(MixedError, match="race: another job"):
        buffer.end("a")
    buffer.end("b")


def test_the_file_of_engine_fixed_is_written_in_two_halves(tmp_path):
    engine = FixedEngine(0, 0, 0, SharedGpu(0))
    seen = []
    order = type("Order", (), {"job_id": "a", "script": "one two three four five"})
    assert engine.speak(None, order, Path("unused"), lambda: None) == 2.0
    engine.film(engine.load(VIDEO), order, Path("unused"), tmp_path / "v", lambda: seen.append((tmp_path / "v").stat().st_size))
    assert 2 * seen[0] == (tmp_path / "v").stat().st_size
