"""What must not end a distributed run: a generator that stands still, a wall clock that is changed, and a master that is started again."""

import signal
import time
from contextlib import contextmanager
from datetime import datetime

import msgpack
import pytest

from tests.distributed.test_strangers import report, stranger
from tests.support.generators import dealt_s, distributed, settled
from tests.support.locusts import PLAIN, locust
from tests.support.transcribers import transcriber

FAST = ("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "100", "--queue", "1000")
RATE = 20
STEP_S = 3600
STEPPING = f"""
import os, time
real = time.time
time.time = lambda: real() + {STEP_S} * os.path.exists(os.environ["STEP_WHEN"])
"""


@contextmanager
def wall_clock(folder):
    """Variables of a process whose wall clock is changed when the file that is given, too, is made."""
    (folder / "sitecustomize.py").write_text(STEPPING)
    yield {"PYTHONPATH": str(folder), "STEP_WHEN": str(folder / "now")}, folder / "now"


@pytest.mark.nightly
@pytest.mark.parametrize("generators", [1, 2])
def test_a_generator_that_stands_still_for_15_seconds_goes_on(generators):
    words = ("--schedule", f"steady 300s {RATE}/s", *PLAIN)
    with transcriber(*FAST) as service, distributed("--host", service.url, *words, generators=generators) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.generators[0].interrupt(signal.SIGSTOP)
        time.sleep(15)
        crew.generators[0].interrupt(signal.SIGCONT)
        crew.master.until(lambda run: "generator back: " in run.output)
        crew.master.until(lambda run: len(settled(run.rows, dealt_s(run))) >= 3)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0] * generators
        book = crew.master.ledger
        assert (book.planned, book.missing) == (300 * RATE, 0)
        assert set(book.counts) <= {"ok", "not_sent"}
        assert book.counts["ok"] == len(service.log())
        assert set(settled(crew.master.rows, dealt_s(crew.master))) == {RATE}


@pytest.mark.slow
@pytest.mark.parametrize("where", ["generator", pytest.param("master", marks=pytest.mark.nightly)])
def test_a_changed_wall_clock_loses_nothing_and_is_reported(where, tmp_path):
    words = ("--schedule", f"steady 300s {RATE}/s", *PLAIN)
    with (
        wall_clock(tmp_path) as (env, step),
        transcriber(*FAST) as service,
        distributed("--host", service.url, *words, generators=0, **(env if where == "master" else {})) as crew,
    ):
        for _ in range(2):
            crew.add(**(env if where == "generator" else {}))
        crew.master.until(lambda run: len(run.rows) >= RATE)
        step.touch()
        told = len(crew.master.rows)
        crew.master.until(lambda run: len(run.rows) >= told + 2 * RATE)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0]
        book, about = crew.master.ledger, crew.master.about
        assert (book.planned, book.missing) == (300 * RATE, 0)
        assert set(book.counts) == {"ok", "not_sent"}
        assert book.counts["ok"] == len(service.log())
        assert abs(about["second_0"] - datetime.fromisoformat(about["started"]).timestamp()) < 600
        stepped = crew.master if where == "master" else crew.generators[0]
        assert f"The wall clock was changed by +{STEP_S}.0 s" in stepped.output
        assert about.get("wall_clock_step_s") == (STEP_S if where == "master" else None)


@pytest.mark.nightly
def test_a_changed_wall_clock_changes_no_time_of_a_run_in_one_process(tmp_path):
    with (
        wall_clock(tmp_path) as (env, step),
        transcriber(*FAST) as service,
        locust("--host", service.url, "--schedule", f"steady 6s {RATE}/s", *PLAIN, **env) as run,
    ):
        run.until(lambda run: len(run.rows) >= RATE)
        step.touch()
        assert run.wait() == 0
        assert str(run.ledger) == f"{6 * RATE} planned = {6 * RATE} ok"
        assert abs(run.about["second_0"] - datetime.fromisoformat(run.about["started"]).timestamp()) < 60
        assert run.about["wall_clock_step_s"] == STEP_S
        assert run.about["elapsed_s"] < 60


@pytest.mark.slow
def test_a_master_that_is_started_again_leads_new_generators_and_the_old_one_ends():
    words = ("--schedule", f"steady 60s {RATE}/s", *PLAIN)
    with transcriber(*FAST) as service, distributed("--host", service.url, *words, generators=1) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait()
        sent = len(service.log())
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(crew.port), "--expect-workers", "1")
        again = ("--host", service.url, "--schedule", f"steady 300s {RATE}/s", *PLAIN)
        with locust(*bind, *again, file=crew.file) as second:
            (old,) = crew.generators
            assert old.wait() == 3, old.output
            assert "The master has been silent" in old.output
            crew.add()
            with stranger(crew.port, "older one") as dealer:
                second.until(lambda run: "1 generators: " in run.output)
                dealer.send(msgpack.dumps(["coldburst-beat", report(session="an earlier one"), "older one"]))
                assert dealer.poll(60_000)
                kind, answer, _ = msgpack.loads(dealer.recv())
                assert (kind, answer["session"] not in ("", "an earlier one")) == ("coldburst-clock", True)
                second.until(lambda run: "it is a generator of an earlier master at this address" in run.output)
            second.until(lambda run: len(run.rows) >= RATE)
            second.interrupt()
            assert second.wait() == 1, second.output
            assert second.ledger.balanced
            assert set(second.ledger.counts) == {"ok", "not_sent"}
        kept = [path for path in old.runs.iterdir() if (path / "run.json").is_file()]
        assert len(kept) == 1
        assert '"ended_by": "a master that fell silent"' in (kept[0] / "run.json").read_text()
        assert len((kept[0] / "attempts.csv").read_text().splitlines()) - 1 >= sent


@pytest.mark.nightly
def test_a_generator_that_is_told_to_stay_joins_the_next_master():
    words = ("--schedule", f"steady 60s {RATE}/s", *PLAIN)
    with transcriber(*FAST) as service, distributed("--host", service.url, *words, generators=0) as crew:
        stays = crew.add(COLDBURST_STAY="true")
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait()
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(crew.port), "--expect-workers", "1")
        with locust(*bind, "--host", service.url, "--schedule", f"steady 3s {RATE}/s", *PLAIN, file=crew.file) as second:
            assert second.wait() == 0, second.output
            assert str(second.ledger) == f"{3 * RATE} planned = {3 * RATE} ok"
        assert stays.wait() == 0, stays.output
        assert "Waiting for the next master at 127.0.0.1" in stays.output
        assert len([path for path in stays.runs.iterdir() if (path / "run.json").is_file()]) == 2
