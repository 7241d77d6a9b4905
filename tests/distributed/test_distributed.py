"""Distributed runs on one machine: master and generators as processes, held against the target's own log."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

import pytest

from tests.support.emulators import emulator
from tests.support.endings import endings, numbers
from tests.support.generators import Crew, dealt_s, distributed, settled
from tests.support.locusts import PLAIN, REPORTED, ROOT, locust
from tests.support.serving import reserved
from tests.support.transcribers import transcriber, until
from tests.support.web import WebUi

FAST = ("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "100", "--queue", "1000")
RATE = 20
CLOCKS_S = 0.03


def sent_by(crew):
    """How many attempts each generator sent, by the master's rows."""
    return Counter(row.generator for row in crew.master.rows if row.sent_s is not None)


def goes_on(seconds):
    """Whether a run has sent for so many seconds since shares were last dealt."""
    return lambda run: len(settled(run.rows, dealt_s(run))) >= seconds


def most_in_flight(rows, among=None):
    """How many requests were under way at once; clocks differ, and are set right, by a few milliseconds: ends count as so much earlier."""
    among = rows if among is None else among
    return max(sum(other.sent_s <= row.sent_s < other.done_s - CLOCKS_S for other in rows) for row in among)


def merged(crew, *parts):
    """``python -m analysis merge`` of these generators' directories; what it printed."""
    command = [sys.executable, "-m", "analysis", "merge", str(crew.master.folder), *map(str, parts)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout


def directory(generator):
    """The generator's own directory."""
    (folder,) = generator.runs.iterdir()
    return folder


@pytest.mark.slow
def test_target_rows_and_ledger_agree_where_nothing_is_in_the_way():
    """A burst: what is due at once is sent whenever its generator has its turn."""
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", f"burst {4 * RATE}", *PLAIN) as crew:
        assert crew.master.wait() == 0, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0]
        assert str(crew.master.ledger) == f"{4 * RATE} planned = {4 * RATE} ok"
        assert len(service.log()) == 4 * RATE
        assert sorted(row.seq for row in crew.master.rows) == list(range(4 * RATE))
        assert set(sent_by(crew)) == {"g1", "g2"}
        assert abs(sent_by(crew)["g1"] - 2 * RATE) <= 1
        assert {row["generator"] for row in crew.master.table("generator.csv")} == {"g1", "g2"}


@pytest.mark.slow
def test_closed_loops_are_shared_out_and_their_numbers_are_everybodys_own():
    unhurried = ("--engine", "fixed", "--service-time", "0.3", "--max-concurrent", "100", "--queue", "1000")
    with (
        transcriber(*unhurried) as service,
        distributed("--host", service.url, "--schedule", "b 20 4 at a time, a 5s 5 at a time, c 20", *PLAIN) as crew,
    ):
        assert crew.master.wait() == 0, crew.master.output
        rows = crew.master.rows
        assert len(service.log()) == len(rows) == len({row.seq for row in rows})
        by_stage = {name: [row for row in rows if row.stage == name] for name in "abc"}
        assert (len(by_stage["b"]), len(by_stage["c"])) == (20, 20)
        assert max(row.done_s for row in by_stage["b"]) < min(row.sent_s for row in by_stage["a"])
        assert most_in_flight(by_stage["a"]) == 5
        assert crew.master.ledger.balanced


@pytest.mark.slow
def test_processes_on_one_machine_share_the_load_and_the_masters_demo():
    with locust("--processes", "2", "--demo", "modelled", "--schedule", "steady 2s 10/s", *PLAIN) as run:
        assert run.wait() == 0, run.output
        assert {row.generator for row in run.rows} == {"g1", "g2"}
        assert [row.outcome for row in run.rows] == ["ok"] * 20
        assert run.ledger.balanced


@pytest.mark.slow
def test_processes_of_a_master_that_refuses_its_options_end_with_it():
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/burst.py", "--headless", "--processes", "2", "--runs", "/nowhere"]
    with reserved() as port:
        command += ["--master-bind-port", str(port), "--master-port", str(port)]
        # It returns when the last process that has its standard error has ended.
        refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert refused.returncode == 2, refused.stderr
    assert "--runs '/nowhere' is not a directory" in refused.stderr
    assert "silent" not in refused.stderr


@pytest.mark.nightly
def test_a_closed_loop_of_fewer_places_than_generators_ends():
    """One place, then three, for two generators: who has none sends nothing, and nobody waits for it."""
    schedule = "one 9 1 at a time, three 10 3 at a time, timed 1s 1 at a time"
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", schedule, *PLAIN) as crew:
        assert crew.master.wait() == 0, crew.master.output
        rows = crew.master.rows
        by_stage = {name: [row for row in rows if row.stage == name] for name in ("one", "three", "timed")}
        assert (len(by_stage["one"]), len(by_stage["three"])) == (9, 10)
        for name, most in (("one", 1), ("three", 3), ("timed", 1)):
            assert most_in_flight(by_stage[name]) == most
        assert {row.generator for row in by_stage["three"]} == {"g1", "g2"}
        assert len(service.log()) == len(rows) == len({row.seq for row in rows})


@pytest.mark.slow
def test_a_killed_generator_is_noticed_its_share_is_dealt_again_and_its_rows_can_be_merged():
    with (
        transcriber(*FAST) as service,
        distributed("--host", service.url, "--schedule", f"steady 300s {RATE}/s", *PLAIN, generators=3, **REPORTED) as crew,
    ):
        crew.master.until(lambda run: len(run.rows) >= 3 * RATE)
        victim = crew.generators[0]
        victim.interrupt(signal.SIGKILL)
        crew.master.until(goes_on(3))
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert set(settled(crew.master.rows, dealt_s(crew.master))) == {RATE}  # the rate is back
        assert crew.master.ledger.missing > 0
        assert "lost: " in crew.master.output  # in the verdict's words
        before = len(crew.master.rows)
        first = merged(crew, directory(victim))
        assert "still missing" in first
        again = merged(crew, directory(victim))
        assert "0 attempts added" in again
        rows = crew.master.rows
        assert len(rows) == len({(row.seq, row.attempt) for row in rows}) >= before
        # what the target saw and no row tells of was in flight at the kill, or written and not yet on the disk
        assert 0 <= len(service.log()) - sum(row.sent_s is not None for row in rows) <= RATE


@pytest.mark.slow
def test_a_generator_that_joins_in_the_middle_gets_its_share():
    with (
        transcriber(*FAST) as service,
        distributed("--host", service.url, "--schedule", f"steady 300s {RATE}/s", *PLAIN, generators=1) as crew,
    ):
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.add()
        crew.master.until(lambda run: "generator joined: " in run.output)
        crew.master.until(lambda run: sent_by(crew)["g2"] >= 2 * RATE and len(settled(run.rows)) >= 3)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert crew.master.ledger.balanced
        assert set(crew.master.ledger.counts) == {"ok", "not_sent"}
        assert crew.master.ledger.counts["ok"] == len(service.log())
        assert set(sent_by(crew)) == {"g1", "g2"}
        assert set(settled(crew.master.rows)) == {RATE}


@pytest.mark.slow
def test_generators_without_their_master_stop_keep_their_rows_and_say_so():
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", f"steady 60s {RATE}/s", *PLAIN) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.master.interrupt(signal.SIGKILL)
        crew.master.wait()
        assert [generator.wait() for generator in crew.generators] == [3, 3], crew.generators[0].output
        assert "The master has been silent" in crew.generators[0].output
        said = merged(crew, *map(directory, crew.generators))
        assert "no recorded end" in said
        rows = crew.master.rows
        assert len(rows) == len({row.seq for row in rows})
        assert sum(row.sent_s is not None for row in rows) == len(service.log())


@pytest.mark.nightly
def test_numbers_of_a_closed_loop_that_a_killed_generator_was_not_given_are_sent_by_the_others():
    """Six places for three; in the end there are six again, and only what the dead one had in its hands is missing."""
    slow = ("--engine", "fixed", "--service-time", "0.3", "--max-concurrent", "100", "--queue", "1000")
    with (
        transcriber(*slow) as service,
        distributed("--host", service.url, "--schedule", "loop 240 6 at a time", *PLAIN, generators=3) as crew,
    ):
        crew.master.until(lambda run: len(run.rows) >= 40)
        victim = crew.generators[0]
        victim.interrupt(signal.SIGKILL)
        assert crew.master.wait() == 1, crew.master.output
        rows, book = crew.master.rows, crew.master.ledger
        later = [row for row in rows if row.sent_s > dealt_s(crew.master)]
        assert most_in_flight(rows, later) == 6
        assert len({row.generator for row in later}) == 2
        merged(crew, directory(victim))
        rows, book = crew.master.rows, crew.master.ledger
        assert len(rows) == len({row.seq for row in rows})
        assert {row.seq for row in rows} <= set(range(240))
        assert 0 < len(service.log()) - len(rows) <= 2  # in flight at its two places, or at one that was between two requests
        assert book.missing <= 12


@pytest.mark.slow
def test_ctrl_c_in_a_closed_loop_tells_of_every_number():
    """Of the stage that goes on, and of the one that has not begun."""
    schedule = "loop 5000 4 at a time, after 31 2 at a time"
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", schedule, *PLAIN) as crew:
        crew.master.until(lambda run: len(run.rows) >= 40)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0]
        rows = crew.master.rows
        assert sorted(row.seq for row in rows) == list(range(5031))
        assert crew.master.ledger.counts["ok"] == len(service.log()) == sum(row.sent_s is not None for row in rows)


@pytest.mark.nightly
def test_a_generator_that_leaves_a_closed_loop_tells_of_its_numbers_and_the_others_go_on():
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", "loop 1000 4 at a time", *PLAIN) as crew:
        crew.master.until(lambda run: len(run.rows) >= 40)
        crew.generators[1].interrupt()
        assert crew.generators[1].wait() == 0, crew.generators[1].output
        assert crew.master.wait() in (0, 1), crew.master.output
        assert sorted(row.seq for row in crew.master.rows) == list(range(1000))
        assert sum(row.sent_s is not None for row in crew.master.rows) == len(service.log())
        stayed, left = (sent_by(crew)[directory(one).name.rpartition(".")[2]] for one in crew.generators)
        assert left < stayed
        assert crew.master.ledger.counts.get("not_sent", 0) <= 100  # what it had been given, and not what was left


@pytest.mark.nightly
def test_a_master_that_stands_still_for_a_while_gives_nobody_up():
    """As on a machine that is too busy, or asleep: what was due meanwhile is told as not sent, and then it goes on."""
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", f"steady 20s {RATE}/s", *PLAIN) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.master.interrupt(signal.SIGSTOP)
        time.sleep(7)  # longer than a lease and a generator's silence, shorter than the dead man's switch
        crew.master.interrupt(signal.SIGCONT)
        assert crew.master.wait() == 1, crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0]
        assert not [event for event in crew.master.table("events.csv") if event["kind"].startswith("generator")]
        assert crew.master.ledger.balanced
        assert set(crew.master.ledger.counts) == {"ok", "not_sent"}
        assert crew.master.ledger.counts["ok"] == len(service.log())
        after = settled(crew.master.rows)
        assert len(after) >= 3
        assert set(after) == {RATE}


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), [*endings(signal.SIGINT), pytest.param(None, "--run-time", marks=pytest.mark.nightly)])
def test_a_run_that_is_ended_at_the_master_drains_and_the_ledger_balances(number, name):
    words = ("--schedule", f"steady 60s {RATE}/s", *(() if number else ("--run-time", "8s")))
    with transcriber(*FAST) as service, distributed("--host", service.url, *words, *PLAIN) as crew:
        if number:
            crew.master.until(lambda run: len(run.rows) >= RATE)
            crew.master.interrupt(number)
        assert crew.master.wait() == (1 if number else 0), crew.master.output
        assert [generator.wait() for generator in crew.generators] == [0, 0]
        book = crew.master.ledger
        assert book.balanced, str(book)
        assert set(book.counts) == {"ok", "not_sent"}
        assert book.counts["ok"] == len(service.log())
        assert crew.master.about["ended_by"] == name


@pytest.mark.nightly
def test_a_second_ctrl_c_at_the_master_cuts_and_the_ledger_is_written_all_the_same():
    never = ("--engine", "fixed", "--service-time", "600", "--max-concurrent", "100")
    words = ("--schedule", "burst 30", "--max-in-flight", "8")
    with transcriber(*never) as service, distributed("--host", service.url, *words, *PLAIN) as crew:
        crew.master.until(lambda run: "in flight 8" in run.output)
        crew.master.interrupt()
        crew.master.until(lambda run: "Ending the run (Ctrl-C)" in run.output)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        service.process.kill()  # it would wait for its 600 s
        assert [generator.wait() for generator in crew.generators] == [0, 0]
        assert str(crew.master.ledger) == "30 planned = 8 unfinished + 22 not_sent"
        assert "Traceback" not in crew.master.output


@pytest.mark.slow
@pytest.mark.parametrize("number", numbers(signal.SIGTERM))
def test_a_generator_that_is_ended_hands_its_share_to_the_others(number):
    with transcriber(*FAST) as service, distributed("--host", service.url, "--schedule", f"steady 300s {RATE}/s", *PLAIN) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.generators[1].interrupt(number)
        assert crew.generators[1].wait() == 0, crew.generators[1].output
        crew.master.until(goes_on(3))
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        rows = crew.master.rows
        assert len(rows) == len({row.seq for row in rows})
        assert sum(row.sent_s is not None for row in rows) == len(service.log())
        assert crew.master.ledger.missing == 0
        assert set(settled(rows, dealt_s(crew.master))) == {RATE}


@pytest.mark.nightly
def test_where_the_last_generator_leaves_the_run_says_so():
    schedule = ("--schedule", f"steady 60s {RATE}/s")
    with transcriber(*FAST) as service, distributed("--host", service.url, *schedule, *PLAIN, generators=1) as crew:
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.generators[0].interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert crew.master.about["ended_by"] == "no generator left"
        book = crew.master.ledger
        assert (book.planned, book.counts["ok"]) == (60 * RATE, len(service.log()))
        assert book.missing + sum(book.counts.values()) == 60 * RATE


@pytest.mark.slow
def test_a_missing_key_on_one_generator_stops_the_run_before_the_first_request(tmp_path):
    template = tmp_path / "input.json"
    template.write_text('{"input": {"prompt": "hi"}}')
    with emulator("--worker", "modelled", RUNPOD_API_KEY="secret-of-mine") as platform:
        words = ("--host", f"{platform.url}/v2/demo", "--schedule", "burst 4", "--input", str(template))
        with distributed(*words, generators=1, keyed=False, RUNPOD_API_KEY="secret-of-mine") as crew:
            assert crew.master.wait() == 2, crew.master.output
            assert "RUNPOD_API_KEY is set on the master but not here" in crew.master.output
            assert "generator g1" in crew.master.output
            assert list(crew.master.runs.iterdir()) == []
            assert b"secret-of-mine" not in crew.master.output.encode()


@pytest.mark.nightly
def test_a_generator_with_another_question_is_told_from_one_that_fits():
    with distributed("--host", "http://127.0.0.1:9", *PLAIN, generators=0) as crew:
        crew.file = "locustfiles/burst.py"
        crew.add()
        assert crew.master.wait() == 2, crew.master.output
        assert "its locustfile has 'burst' but the master runs 'sustained'" in crew.master.output


@pytest.mark.slow
def test_a_sweep_is_conducted_by_the_master(tmp_path):
    template = tmp_path / "input.json"
    template.write_text('{"input": {"seq": "{{seq}}"}}')
    modelled = ("--worker", "modelled", "--start", "0", "--load", "0", "--service-time", "0.3", "--management-per-minute", "10000")
    with emulator(*modelled) as platform:
        before = platform.ask("/v2/serverless/demo").json()["workers"]
        load = ("--workers", "1,2", "--concurrency", "2", "--requests", "8", "--warm-up", "2")
        words = ("--host", f"{platform.url}/v2/demo", *load, "--input", str(template))
        with distributed(*words, file="locustfiles/scaling.py") as crew:
            assert crew.master.wait() == 0, crew.master.output
            reported = [row for row in crew.master.table("stages.csv") if row["phase"] == "measure"]
            assert [(row["stage"], row["workers_seen"], row["state"]) for row in reported] == [("w1", "1", "done"), ("w2", "2", "done")]
            rows = crew.master.rows
            assert Counter(row.stage for row in rows if not row.stage.endswith("warm")) == {"w1": 8, "w2": 16}
            assert {row.phase for row in rows} <= {"warm-up", "measure", "drain"}
            assert {row.generator for row in rows} == {"g1", "g2"}
        assert platform.ask("/v2/serverless/demo").json()["workers"] == before


@pytest.mark.slow
def test_run_after_run_from_the_masters_web_ui():
    """The same form with generators behind it; the second run is ended by the Stop button."""
    with (
        reserved() as port,
        transcriber(*FAST) as service,
        WebUi("--master", "--master-bind-port", str(port), "--host", service.url, *PLAIN, file="locustfiles/sustained.py") as ui,
        ExitStack() as stack,
    ):
        crew = Crew(ui.locust, "127.0.0.1", port, "locustfiles/sustained.py", stack)
        crew.add()
        crew.add()
        until(lambda: json.loads(ui.get("/stats/requests"))["worker_count"] == 2, "two generators")
        assert ui.post("/swarm", schedule="burst 10")["success"]
        ui.locust.until(lambda run: len(list(run.runs.glob("*/report/index.html"))) == 1)
        until(lambda: ui.state() == "stopped", "end of the first run")
        assert ui.post("/swarm", schedule=f"steady 60s {RATE}/s")["success"]
        assert ui.post("/swarm", schedule="burst 1")["message"] == "a run is in progress: stop it first"
        ui.locust.until(lambda run: len(service.log()) >= 10 + RATE)
        until(lambda: b"coldburst_generators 2.0" in ui.get("/metrics"), "both generators in the metrics")
        ui.post("/stop")
        ui.locust.until(lambda run: len(list(run.runs.glob("*/report/index.html"))) == 2)
        first, second = (json.loads(path.read_text()) for path in sorted(ui.locust.runs.glob("*/run.json")))
        assert (first["ledger"]["counts"], first["ledger"]["missing"]) == ({"ok": 10}, 0)
        assert (second["ended_by"], second["ledger"]["missing"]) == ("stop", 0)
        assert second["ledger"]["counts"]["ok"] == len(service.log()) - 10


@pytest.mark.nightly
def test_a_generator_that_joins_and_cannot_take_part_holds_nobody_up(tmp_path):
    """It has no key: the run goes on without it, and ends when the others have ended."""
    template = tmp_path / "input.json"
    template.write_text('{"input": {"prompt": "hi"}}')
    modelled = ("--worker", "modelled", "--start", "0", "--load", "0", "--service-time", "0.1", "--workers-max", "5")
    with emulator(*modelled, RUNPOD_API_KEY="secret-of-mine") as platform:
        words = ("--host", f"{platform.url}/v2/demo", "--schedule", "steady 12s 2/s", "--input", str(template))
        with distributed(*words, generators=1, RUNPOD_API_KEY="secret-of-mine") as crew:
            crew.master.until(lambda run: len(run.rows) >= 2)
            crew.add(RUNPOD_API_KEY="")
            assert crew.master.wait() == 0, crew.master.output
            assert str(crew.master.ledger) == "24 planned = 24 ok"
            assert "RUNPOD_API_KEY is set on the master but not here" in crew.generators[1].output
