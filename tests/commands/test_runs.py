"""Runs of Locust against a real service: the ledger balances in every ending, and the figures agree with the service's own log."""

import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.endings import endings
from tests.support.locusts import PLAIN, REPORTED, ROOT, locust, quantile, response_s
from tests.support.transcribers import transcriber

KEY = "sesame-7c1f0e"
FIXED = ("--engine", "fixed", "--queue", "1000")
QUEUED_S = 0.1
"""Of coldburst.load.events, which imports Locust: that belongs into a process of its own."""


@pytest.mark.slow
def test_an_untroubled_run_agrees_with_the_services_own_log():
    with (
        transcriber(*FIXED, "--service-time", "0.2", "--max-concurrent", "15", API_TOKEN=KEY) as service,
        locust(
            "--host",
            service.url,
            "--schedule",
            "steady 2s 10/s, burst 75",
            "--max-in-flight",
            "15",
            *PLAIN,
            TRANSCRIPTION_API_KEY=KEY,
            **REPORTED,
        ) as run,
    ):
        assert run.wait() == 0, run.output
        assert KEY.encode() not in run.everything()
        assert str(run.ledger) == "95 planned = 95 ok"
        assert "95 planned = 95 ok" in run.output
        assert "verdict" in run.output
        assert "Traceback" not in run.output
        about = run.about
        assert (about["state"], about["ended_by"], about["ledger"]["missing"]) == ("ended", "schedule", 0)
        assert about["command"][:3] == ["locust", "-f", "locustfiles/burst.py"]
        assert (run.folder / "report" / "index.html").is_file()
        assert str(run.folder / "report" / "index.html") in run.output
        assert list((run.folder / "report" / "figures").iterdir()) == []  # as the tests ask, where nobody looks at them
        rows, log = run.rows, {line["request_id"]: line for line in service.log()}
        assert len(log) == 95
        for row in rows:
            line = log[f"{about['id']}-{row.seq}-1"]
            assert row.queue_s == pytest.approx(line["queue_s"], abs=0.002)
            assert row.execution_s == pytest.approx(line["execution_s"], abs=0.002)
            assert (row.worker_id, row.status) == (line["worker_id"], line["status"])
            assert row.scheduled_s <= row.sent_s <= row.first_s <= row.done_s
            # The service takes total_s after it has written the answer, which may have arrived by then.
            assert 0.2 <= line["queue_s"] + line["execution_s"] <= min(line["total_s"], row.done_s - row.sent_s) + 0.001
        # Locust's own table is whole, to the last request
        total = run.table("locust_stats.csv")[-1]
        assert (total["Request Count"], total["Failure Count"]) == ("95", "0")
        assert run.table("locust_stats_history.csv")[-1]["Total Request Count"] == "95"
        # 15 at a time: the last of five rounds was held back by the cap for four, and its lateness counts from then on
        assert max(row.held_s for row in rows) >= 0.8
        assert all(row.sent_s - row.scheduled_s >= row.held_s for row in rows)
        assert (run.folder / "attempts.csv").stat().st_size < 95 * 500


@pytest.mark.slow
def test_queueing_at_the_service_is_response_time():
    with (
        transcriber(*FIXED, "--service-time", "0.5", "--max-concurrent", "1") as service,
        locust("--host", service.url, "--schedule", "burst 5", *PLAIN) as run,
    ):
        assert run.wait() == 0, run.output
        queues = sorted(row.queue_s for row in run.rows)
        assert queues == pytest.approx(sorted(line["queue_s"] for line in service.log(5)), abs=0.002)
        # one slot of 0.5 s: the k-th waits for k others, and its response time holds that wait
        assert all(response >= 0.5 * (k + 1) for k, response in enumerate(response_s(run.rows)))
        assert all(row.done_s - row.sent_s >= row.queue_s + row.execution_s - 0.002 for row in run.rows)
        queued = [float(event["seconds"]) for event in run.table("events.csv") if event["kind"] == "queued"]
        assert sorted(queued) == pytest.approx([queue_s for queue_s in queues if queue_s >= QUEUED_S], abs=1e-6)
        assert queued


@pytest.mark.slow
def test_a_service_killed_half_way_leaves_a_whole_ledger():
    with (
        transcriber(*FIXED, "--service-time", "0.3", "--max-concurrent", "5") as service,
        locust("--host", service.url, "--schedule", "burst 300", "--max-in-flight", "5", *PLAIN) as run,
    ):
        run.until(lambda run: len(run.rows) >= 10)
        service.process.kill()
        assert run.wait() == 1
        found = run.ledger
        assert found.balanced
        assert set(found.counts) == {"ok", "unreachable"}
        assert found.counts["ok"] >= 10
        assert "Traceback" not in run.output


@pytest.mark.slow
def test_a_port_where_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with locust("--host", f"http://127.0.0.1:{free.getsockname()[1]}", *PLAIN) as run:
            assert run.wait() == 1
            assert str(run.ledger) == "30 planned = 30 unreachable"
            assert all(row.error and row.status is None for row in run.rows)
            assert "Traceback" not in run.output


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), endings(signal.SIGINT))
def test_a_run_that_is_ended_from_outside_drains_and_balances(number, name):
    with (
        transcriber(*FIXED, "--service-time", "0.5", "--max-concurrent", "5") as service,
        locust("--host", service.url, "--schedule", "burst 300", "--max-in-flight", "5", *PLAIN, **REPORTED) as run,
    ):
        run.until(lambda run: len(run.rows) >= 5)
        run.interrupt(number)
        assert run.wait() == 1
        found = run.ledger
        assert found.balanced
        assert set(found.counts) == {"ok", "not_sent"}
        assert found.counts["ok"] > 5  # those in flight were waited for
        assert (run.about["state"], run.about["ended_by"]) == ("ended", name)
        assert (run.folder / "report" / "index.html").is_file()
        assert "Traceback" not in run.output


@pytest.mark.slow
def test_a_second_interrupt_cuts_and_the_ledger_is_written_all_the_same():
    with (
        transcriber(*FIXED, "--service-time", "600", "--max-concurrent", "5") as service,
        locust("--host", service.url, "--max-in-flight", "5", *PLAIN) as run,
    ):
        run.until(lambda run: "in flight 5" in run.output)
        run.interrupt()
        run.until(lambda run: run.output.count("Ending the run"))
        run.interrupt()
        assert run.wait() == 1
        service.process.kill()  # it would wait for its 600 s
        assert str(run.ledger) == "30 planned = 5 unfinished + 25 not_sent"
        assert "Traceback" not in run.output


@pytest.mark.slow
def test_a_drain_that_takes_too_long_is_cut():
    with (
        transcriber(*FIXED, "--service-time", "600", "--max-concurrent", "5") as service,
        locust("--host", service.url, "--max-in-flight", "5", "--drain-timeout", "0.5", *PLAIN) as run,
    ):
        run.until(lambda run: "in flight 5" in run.output)
        run.interrupt(signal.SIGTERM)
        assert run.wait() == 1
        service.process.kill()  # it would wait for its 600 s
        assert str(run.ledger) == "30 planned = 5 unfinished + 25 not_sent"


@pytest.mark.slow
def test_a_killed_generator_leaves_its_rows_and_a_report_says_what_is_missing():
    with (
        transcriber(*FIXED, "--service-time", "0.3", "--max-concurrent", "5") as service,
        locust("--host", service.url, "--schedule", "burst 300", "--max-in-flight", "5", *PLAIN) as run,
    ):
        run.until(lambda run: len(run.rows) >= 10)
        service.process.send_signal(signal.SIGSTOP)  # what is in flight stays so
        run.until(lambda run: len(run.rows) >= len(service.log()))
        run.process.kill()
        run.wait()
        service.process.send_signal(signal.SIGCONT)
        assert run.about["state"] == "running"
        rows = run.rows
        assert run.ledger.missing == 300 - len(rows)
        assert len(rows) <= len(service.log(len(rows))) <= len(rows) + 5
        report = [sys.executable, "-m", "analysis", "report", str(run.folder)]
        said = subprocess.run(report, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert str(run.ledger) in said
        assert "no recorded end" in said


@pytest.mark.slow
def test_failures_are_named_for_what_they_are():
    with (
        transcriber(*FIXED, "--service-time", "3", "--max-concurrent", "1", "--fail-fast") as service,
        locust("--host", service.url, "--schedule", "burst 4", *PLAIN) as run,
    ):
        assert run.wait() == 1
        assert str(run.ledger) == "4 planned = 1 ok + 3 busy"
        assert {row.status for row in run.rows if row.outcome == "busy"} == {503}
        failures = run.table("locust_failures.csv")
        assert [(row["Error"], row["Occurrences"]) for row in failures] == [("NotOkError('busy (503)')", "3")]


@pytest.mark.slow
def test_our_own_deadline_abandons():
    with (
        transcriber(*FIXED, "--service-time", "600", "--max-concurrent", "5") as service,
        locust("--host", service.url, "--schedule", "burst 3", "--deadline", "2", *PLAIN) as run,
    ):
        assert run.wait() == 1
        service.process.kill()  # it would wait for its 600 s
        assert str(run.ledger) == "3 planned = 3 abandoned"
        assert {row.error for row in run.rows} == {"not done within 2 s"}


@pytest.mark.slow
def test_a_closed_loop_is_counted_by_what_it_sent():
    with (
        transcriber(*FIXED, "--service-time", "0.1", "--max-concurrent", "2") as service,
        locust("--host", service.url, "--schedule", "level 1s 2 at a time, last 3 1 at a time", *PLAIN, **REPORTED) as run,
    ):
        assert run.wait() == 0, run.output
        assert run.ledger.balanced
        log = service.log(run.about["dispatched"])
        assert (run.about["planned"], run.about["dispatched"]) == (None, len(log))
        assert f"{len(log)} sent in a closed loop = {len(log)} ok" in run.output
        assert [row.stage for row in run.rows].count("last") == 3
        # never more than two at a time: whoever came third came when the first had gone
        times = sorted((row.sent_s, row.done_s) for row in run.rows)
        assert all(third[0] >= min(first[1], second[1]) for first, second, third in zip(times, times[1:], times[2:], strict=False))


@pytest.mark.slow
def test_an_error_of_the_generators_own_is_told_and_loses_no_row(tmp_path):
    broken = """
from coldburst.targets.transcription import TranscriptionTarget

def send(self, seq, name, exchange, values):
    raise RuntimeError("boom")

TranscriptionTarget.send = send
"""
    file = tmp_path / "mine.py"
    file.write_text((ROOT / "locustfiles" / "burst.py").read_text(encoding="utf-8") + broken, encoding="utf-8")
    with locust("--host", "http://127.0.0.1:9", "--schedule", "burst 3", *PLAIN, file=file) as run:
        assert run.wait() == 1
        assert str(run.ledger) == "3 planned = 3 unreachable"
        assert {row.error for row in run.rows} == {"the generator failed: RuntimeError: boom"}
        assert "RuntimeError: boom" in run.output


@pytest.mark.nightly
def test_a_stall_shows_in_the_open_loop_and_hides_in_the_closed():
    stalls = ("--service-time", "0.02", "--max-concurrent", "400", "--stall", "2", "--stall-every", "10")

    def p99(schedule):
        with (
            transcriber(*FIXED, *stalls) as service,
            locust("--host", service.url, "--schedule", schedule, *PLAIN, file="locustfiles/sustained.py") as run,
        ):
            assert run.wait() == 0, run.output
            return quantile(response_s(run.rows), 0.99)

    with ThreadPoolExecutor(2) as pool:
        open_loop, closed_loop = pool.map(p99, ("steady 40s 50/s", "level 40s 8 at a time"))
    # truth at 50/s: the wait of an arrival in the first 2 of 10 s is uniform from 2 s down, so P99 is 1.9 s + 20 ms
    assert 1.8 < open_loop < 2.3
    assert closed_loop < open_loop / 4
