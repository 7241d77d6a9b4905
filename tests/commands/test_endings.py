"""How a run ends when its terminal is closed, and that its jobs at the endpoint are cancelled."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.support.emulators import MODELLED, emulator
from tests.support.endings import numbers
from tests.support.locusts import OF_TESTS, PLAIN, REPORTED, ROOT, Locust, locust
from tests.support.transcribers import transcriber

FIXED = ("--engine", "fixed", "--service-time", "0.5", "--max-concurrent", "5")
SESSION_LEADER = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.slow
@pytest.mark.parametrize("web", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_a_closed_terminal_ends_the_run_with_a_drain_and_a_report(web, tmp_path):
    """The kernel sends SIGHUP, and every write to the terminal fails from then on."""
    (tmp_path / "runs").mkdir()
    words = ["--autostart", "--web-port", "0"] if web else ["--headless"]
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/burst.py", *words, "--runs", str(tmp_path / "runs"), *PLAIN]
    master, slave = pty.openpty()
    with transcriber(*FIXED) as service:
        command += ["--host", service.url, "--schedule", "burst 300", "--max-in-flight", "5"]
        process = subprocess.Popen(
            [sys.executable, "-c", SESSION_LEADER, *command],
            cwd=ROOT,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | OF_TESTS | REPORTED,
        )
        os.close(slave)
        run = Locust(process, tmp_path / "runs", tmp_path / "output")
        (tmp_path / "output").touch()
        try:
            run.until(lambda run: list(run.runs.glob("*/attempts.csv")) and len(run.rows) >= 5)
            os.close(master)
            # An interactive shell sends it again to each of its jobs.
            time.sleep(0.1)
            run.interrupt(signal.SIGHUP)
            assert run.wait() == 1
        finally:
            process.kill()
            process.wait()
        assert run.about["ended_by"] == "SIGHUP"
        assert run.ledger.balanced
        assert set(run.ledger.counts) == {"ok", "not_sent"}
        assert (run.folder / "report" / "index.html").is_file()


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_changes_nothing():
    with (
        transcriber(*FIXED) as service,
        locust("--host", service.url, "--schedule", "steady 5s 5/s", *PLAIN, before=("nohup",)) as run,
    ):
        run.until(lambda run: len(run.rows) >= 5)
        run.interrupt(signal.SIGHUP)
        assert run.wait() == 0
        assert str(run.ledger) == "25 planned = 25 ok"


@pytest.mark.slow
@pytest.mark.parametrize("number", numbers(signal.SIGQUIT))
def test_jobs_that_outlast_the_drain_are_cancelled_at_the_endpoint(number, tmp_path):
    template = tmp_path / "input.json"
    template.write_text('{"input": {"seq": "{{seq}}"}}')
    with (
        emulator(*MODELLED, "--service-time", "600", "--workers-max", "2") as platform,
        locust("--host", f"{platform.url}/v2/demo", "--schedule", "burst 6", "--drain-timeout", "1", "--input", str(template)) as run,
    ):
        run.until(lambda _: sum(platform.ask("/v2/demo/health").json()["jobs"][state] for state in ("inQueue", "inProgress")) == 6)
        run.interrupt(number)
        assert run.wait() == 1
        assert str(run.ledger) == "6 planned = 6 unfinished"
        jobs = platform.ask("/v2/demo/health").json()["jobs"]
        assert (jobs["inQueue"], jobs["inProgress"]) == (0, 0)
