"""What a headless run says: a line where nobody looks, one table on a terminal, and the terminal afterwards as it was before."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import pyte
import pytest
from rich.console import Console

from coldburst.live.history import Rates
from coldburst.live.recent_rows import Quantiles
from coldburst.live.run_monitor import LiveRates
from coldburst.live.snapshot import snapshot
from coldburst.live.terminal import line, news, on_terminal
from coldburst.live.terminal_table import table
from coldburst.record.ledger import Ledger
from tests.support.locusts import OF_TESTS, PLAIN, REPORTED, ROOT, locust
from tests.support.run_views import HEALTH, Load, listed, run_of
from tests.support.transcribers import DEADLINE_S, transcriber

FIXED = ("--engine", "fixed", "--service-time", "0.1", "--max-concurrent", "2", "--queue", "3")
PACE = LiveRates(Rates(4.0, 3.9, 3.5, 0.2), Rates(4.0, 3.0, 2.5, 0.1), Quantiles(4, 0.25, 1.5), Quantiles(0, None, None), 35.0, 0.0042)
UNKNOWN = LiveRates(Rates(), Rates(), Quantiles(0, None, None), Quantiles(0, None, None), None, None)
COLUMNS, LINES = 120, 30


def going(schedule="warm 5s 2/s, steady 60s 4/s", **more):
    """A run with the endpoint's word."""
    run = run_of(schedule, **more)
    run.samples.add({"at_s": 10.0, **HEALTH})
    listed(run, 10.0)
    return run


def test_a_line_has_all_that_is_known():
    assert line(snapshot(going()), PACE) == (
        "  10.5 s  steady  sent 7 of 250  in flight 2  held at the limit 3  ok 4  queue_timeout 1"
        "  offered 4.0/s  achieved 3.5/s  cold starts 2  54 s left  about 0.0042 USD"
    )


def test_a_line_leaves_out_what_nobody_knows():
    run = run_of("level 60s 4 at a time, more 60s 2 at a time", load=Load(held=0, stage=""))
    run.recorder.counts, run.recorder.events = Counter(), Counter()
    assert line(snapshot(run), UNKNOWN) == "  10.5 s  starting  sent 7  in flight 2  achieved 0.0/s"


def test_the_last_line_tells_of_the_whole_run():
    assert line(snapshot(run_of(ledger=Ledger(5, {"ok": 5}))), PACE).endswith("  achieved 2.5/s overall  cold starts 2  about 0.0042 USD")


def test_a_line_has_the_rate_since_the_one_before():
    now = snapshot(going())
    before = replace(now, elapsed_s=now.elapsed_s - 4.0, outcomes={**now.outcomes, "ok": 2})
    assert "  achieved 0.5/s  " in line(now, PACE, before)


@pytest.mark.slow
def test_a_line_comes_when_something_has_changed_or_ten_seconds_have_passed():
    now = snapshot(going())
    later = replace(now, elapsed_s=now.elapsed_s + 9.9)
    assert news(now, None) and not news(later, now)
    assert news(replace(later, in_flight=1), now)
    assert news(replace(later, outcomes={**now.outcomes, "ok": 5}), now)
    assert news(replace(now, elapsed_s=now.elapsed_s + 10.0), now)
    assert news(snapshot(run_of(ledger=Ledger(5, {"ok": 5}))), now)


def test_of_many_stages_a_line_tells_the_place():
    run = run_of(", ".join(f"s{number} 10s 1/s" for number in range(5)))
    run.load.stage = "s1"
    assert "  s1 (2 of 5)  " in line(snapshot(run), UNKNOWN)


def drawn(now, width):
    """A table as lines of a terminal of that width."""
    console = Console(width=width, height=40, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(table(now, PACE, width))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_a_table_has_every_figure_and_fits(width):
    lines = drawn(snapshot(going()), width)
    text = " ".join(" ".join(lines).split())
    for figure in ("steady (2 of 2)", "10.5 s", "in 54 s", "7 of 250", "2, 3 held at the limit", "4.0 ms", "4.0/s", "3.5/s", "P50 0.25 s"):
        assert figure in text
    for figure in ("1 queue_timeout", "cold starts 2", "2 running", "3 jobs", "0.0042 USD, 35 worker-seconds"):
        assert figure in text
    assert max(map(len, lines)) <= width


def test_nothing_that_a_name_holds_is_taken_for_markup():
    run = going()
    run.recorder.id = "[red]x[/nonsense]"
    assert "[red]x[/nonsense]" in drawn(snapshot(run), 120)[0]


def test_a_table_is_for_a_terminal_where_somebody_looks(monkeypatch):
    seen = {}
    for name, terminal, term, ci in (
        ("pipe", False, "xterm", ""),
        ("dumb", True, "dumb", ""),
        ("ci", True, "xterm", "true"),
        ("tty", True, "xterm", ""),
    ):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal, raising=False)
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("CI", ci)
        seen[name] = on_terminal()
    assert seen == {"pipe": False, "dumb": False, "ci": False, "tty": True}


@pytest.mark.slow
def test_in_a_pipe_there_are_plain_lines():
    with transcriber(*FIXED) as service, locust("--host", service.url, "--schedule", "steady 60s 6/s", *PLAIN, FORCE_COLOR="1") as run:
        run.until(lambda run: " s left" in run.output)
        run.interrupt()
        run.wait()
        lines = [said for said in run.output.splitlines() if re.match(r" +\d+\.\d s  steady  sent \d+ of 360  in flight \d", said)]
        assert len(lines) >= 2
        assert re.search(r"offered 6\.0/s  achieved \d+\.\d/s  \d+ s left$", lines[0])
        assert "overall" in lines[-1]
        assert "\x1b" not in run.output


@pytest.mark.slow
def test_a_run_whose_output_nobody_reads_any_more_is_reported_and_ends_as_it_would(tmp_path):
    read, write = os.pipe()
    os.close(read)
    with transcriber(*FIXED) as service, (tmp_path / "log").open("wb") as log:
        run = ("--runs", str(tmp_path), "--host", service.url, *PLAIN, "--schedule", "burst 4")
        command = [sys.executable, "-m", "locust", "-f", "locustfiles/burst.py", "--headless", *run]
        with subprocess.Popen(command, cwd=ROOT, stdout=write, stderr=log, env=os.environ | OF_TESTS | REPORTED) as process:
            os.close(write)
            code = process.wait(DEADLINE_S)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert (code, "Traceback" in said) == (0, False), said
    assert len(list(tmp_path.glob("*/report/index.html"))) == 1


class Seen:
    """A terminal that shows what a program writes, of COLUMNS × LINES."""

    def __init__(self, process, master):
        self.process, self.master, self.raw = process, master, b""
        self._screen = pyte.HistoryScreen(COLUMNS, LINES, history=1000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self):
        """All lines so far, those that have scrolled away too."""
        gone = ["".join(row[place].data for place in range(COLUMNS)).rstrip() for row in self._screen.history.top]
        return gone + [row.rstrip() for row in self._screen.display]

    @property
    def cursor_hidden(self):
        return self._screen.cursor.hidden

    def count(self, start):
        return sum(row.startswith(start) for row in self.lines)

    def until(self, true, limit_s=DEADLINE_S):
        """Reads on until ``true()``, or the program's end."""
        end = time.monotonic() + limit_s
        while not true():
            assert time.monotonic() < end, "\n".join(self.lines)
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                news = os.read(self.master, 65536)
                self.raw += news
                self._stream.feed(news)
            elif self.process.poll() is not None:
                assert true(), "\n".join(self.lines)


@contextmanager
def terminal(*arguments):
    """Locust on a terminal of its own; what the terminal shows, and its settings before."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    before = termios.tcgetattr(slave)
    size = ("COLUMNS", "LINES")  # whoever runs these tests may have set them, and they stand above the terminal's own
    env = {name: value for name, value in os.environ.items() if name not in size} | {"TERM": "xterm-256color", "CI": ""}
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/burst.py", "--headless", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=env)
    try:
        yield Seen(process, master), lambda: termios.tcgetattr(slave) == before
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def ended(seen):
    return lambda: any("Shutting down" in row for row in seen.lines)


@pytest.mark.slow
@pytest.mark.parametrize("interrupts", [1, 2])
def test_on_a_terminal_there_is_one_table_and_ctrl_c_leaves_the_terminal_sane(tmp_path, interrupts):
    slow = ("--engine", "fixed", "--service-time", "30", "--max-concurrent", "9", "--queue", "9") if interrupts == 2 else FIXED
    with (
        transcriber(*slow) as service,
        terminal("--runs", str(tmp_path), "--host", service.url, *PLAIN, "--schedule", "steady 60s 5/s") as (seen, as_before),
    ):
        seen.until(lambda: any(re.search(r"elapsed +([2-9]|\d+\d)\.\d s", row) for row in seen.lines))
        assert seen.count("burst  ") == 1
        assert not seen.cursor_hidden
        for _ in range(interrupts):
            seen.process.send_signal(signal.SIGINT)
            seen.until(lambda: any("Ending the run (Ctrl-C)" in row for row in seen.lines))
        seen.until(ended(seen))
        seen.process.wait(DEADLINE_S)
        assert seen.count("burst  ") == seen.count("stage  ") == 1
        (log,) = (place for place, row in enumerate(seen.lines) if "Ending the run (Ctrl-C)" in row)
        (foot,) = (place for place, row in enumerate(seen.lines) if row.startswith("endpoint workers"))
        assert seen.lines[log].startswith("[")  # a line of its own, above the table
        assert log < foot
        assert " sending ends     ended" in "\n".join(seen.lines)
        assert any(re.match(r"\d+ planned = ", row) for row in seen.lines[foot:])
        assert not seen.cursor_hidden
        assert seen.raw.rfind(b"\x1b[?25l") < seen.raw.rfind(b"\x1b[?25h")
        assert as_before()


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_the_cursor_where_it_can_be_seen(tmp_path):
    with (
        transcriber(*FIXED) as service,
        terminal("--runs", str(tmp_path), "--host", service.url, *PLAIN, "--schedule", "steady 60s 5/s") as (seen, _),
    ):
        seen.until(lambda: seen.count("stage  ") == 1)
        seen.process.kill()
        seen.process.wait()
        seen.until(lambda: not select.select([seen.master], [], [], 0.1)[0])
        assert not seen.cursor_hidden
