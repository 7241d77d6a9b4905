"""Progress of a headless run: a table on a terminal; elsewhere a line when something has changed, and at least every ten seconds."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import gevent
from rich.console import Console
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from coldburst.live.run_monitor import LiveRates, RunMonitor
from coldburst.live.snapshot import RunSnapshot, RunView

# A line comes at most and at least this often.
EVERY_S, SILENT_S, TABLE_EVERY_S = 2.0, 10.0, 0.5
# A line shows the number of the stage if there are more stages than this.
MANY = 3
# Terminal widths from which three, and two, figures are next to each other.
WIDE, NARROW = 112, 72


class ProgressReporter:
    """Shows ``run`` until ``stop``."""

    def __init__(self, run: RunView) -> None:
        self._monitor = RunMonitor(run)
        self._terminal = TerminalTable() if on_terminal() else None
        self._last: RunSnapshot | None = None
        self._greenlet = gevent.spawn(self._repeat)

    def stop(self) -> None:
        """Shows how the run ended."""
        self._greenlet.kill()
        self._show()
        self._monitor.stop()
        if self._terminal:
            self._terminal.close()

    def _repeat(self) -> None:
        while True:
            gevent.sleep(TABLE_EVERY_S if self._terminal else EVERY_S)
            self._show()

    def _show(self) -> None:
        now = self._monitor.snapshot
        try:
            if self._terminal:
                self._terminal.show(now, self._monitor.live_rates)
            elif news(now, self._last):
                print(line(now, self._monitor.live_rates, self._last), flush=True)
                self._last = now
        except BlockingIOError:
            # The pipe is full for a moment: the next line has newer figures anyway.
            return
        except OSError:
            # The reader (head, less) or the terminal is gone, but the run continues.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def on_terminal() -> bool:
    """Whether stdout is a terminal that can be redrawn, and not a CI log that pretends to be one."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") and not os.environ.get("CI")


class TerminalTable:
    """A table at the bottom of a terminal; log lines and other output appear above it.

    The caller's greenlet redraws it, not a thread. The cursor stays visible, so a killed run leaves only the table behind.
    """

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        err = sys.stderr
        self._screen = Screen(console=self._console, auto_refresh=False, redirect_stderr=err.isatty())
        self._screen.start()
        self._console.show_cursor(True)
        self._rebound = [(handler, handler.setStream(sys.stderr)) for handler in _handlers() if handler.stream is err]

    def show(self, now: RunSnapshot, rates: LiveRates) -> None:
        """Replaces the table."""
        self._screen.update(table(now, rates, self._console.width), refresh=True)

    def close(self) -> None:
        """Keeps the last table on the screen and restores the terminal."""
        self._screen.stop()
        for handler, stream in self._rebound:
            if stream is not None:
                handler.setStream(stream)


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    """The handlers of all loggers that write to a stream."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    found = {id(handler): handler for logger in loggers for handler in logger.handlers}
    return (handler for handler in found.values() if isinstance(handler, logging.StreamHandler))


def news(now: RunSnapshot, last: RunSnapshot | None) -> bool:
    """Whether a line has something to say that the ``last`` one did not, or SILENT_S passed since."""
    if last is None or now.finished or now.elapsed_s - last.elapsed_s >= SILENT_S:
        return True
    return any(getattr(now, name) != getattr(last, name) for name in ("stage", "sent", "in_flight", "held", "outcomes", "cold_starts"))


def line(now: RunSnapshot, rates: LiveRates, last: RunSnapshot | None = None) -> str:
    """One line of progress: time, stage, requests by state and outcome, then rates, cold starts, time left and cost if known.

    The achieved rate is that since the ``last`` line, of the last second without one.
    """
    offered = rates.last_second.offered
    words = [
        f"{now.elapsed_s:6.1f} s",
        _stage(now, MANY),
        f"sent {_sent(now)}",
        f"in flight {now.in_flight}",
        *([f"held at the limit {now.held}"] if now.held else []),
        *(f"{name} {count}" for name, count in now.outcomes.items() if count),
        *([f"offered {offered:.1f}/s"] if offered is not None and not now.finished else []),
        f"achieved {_achieved(now, rates, last)}",
        *([f"cold starts {now.cold_starts}"] if now.cold_starts else []),
        *([f"{_clock(now.left_s)} left"] if now.left_s is not None else []),
        *([f"about {rates.usd:.2g} USD"] if rates.usd is not None else []),
    ]
    return "  ".join(words)


def table(now: RunSnapshot, rates: LiveRates, width: int) -> Table:
    """The progress as a table for a terminal of ``width`` columns."""
    beside = 3 if width >= WIDE else 2 if width >= NARROW else 1
    found = list(figures(now, rates))
    grid = Table.grid(padding=(0, 2))
    grid.title = Text(f"{now.question}  {now.id}", style="bold")
    grid.title_justify = "left"
    for _ in range(beside):
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(min_width=18)
    for first in range(0, len(found), beside):
        grid.add_row(*(cell for name, said in found[first : first + beside] for cell in (Text(name), said)))
    return grid


def figures(now: RunSnapshot, rates: LiveRates) -> Iterator[tuple[str, Text]]:
    """Names and figures of the table, in reading order."""
    times = rates.response_s
    others = {name: count for name, count in now.outcomes.items() if count and name != "ok"}
    seen = now.workers.get(now.view, {})
    unknown = "" if now.finished else "unknown"
    offered = (rates.overall if now.finished else rates.last_second).offered
    left = "with the last answer" if now.left_s is None else f"in {_clock(now.left_s)}"
    spent = "unknown" if rates.worker_s is None else f"{rates.worker_s:.0f} worker-seconds"
    yield "stage", Text(_stage(now, 1))
    yield "elapsed", Text(f"{now.elapsed_s:.1f} s{', stopping' if now.stopping and not now.finished else ''}")
    yield "sending ends", Text("ended" if now.finished else left)
    yield "sent", Text(_sent(now))
    yield "in flight", Text(f"{now.in_flight}{f', {now.held} held at the limit' if now.held else ''}")
    yield "load generators", Text(f"{now.generators}, send delay {now.lateness_s * 1000:.1f} ms")
    yield "offered", Text("by completions" if offered is None else f"{offered:.1f}/s{' overall' if now.finished else ''}")
    yield "achieved", Text(_achieved(now, rates))
    yield "response time", Text("" if times.p50_s is None else f"P50 {times.p50_s:.2f} s, P95 {times.p95_s:.2f} s, last {times.n}")
    yield "ok", Text(str(now.ok), style="bold")
    yield "not ok", Text(", ".join(f"{count} {name}" for name, count in others.items()) or "0", style="red" if others else "")
    yield "cold starts", Text(str(now.cold_starts))
    yield "endpoint workers", Text(", ".join(f"{count} {name}" for name, count in seen.items() if count) or ("0" if seen else unknown))
    yield "queue", Text(f"{now.jobs['in_queue']} jobs" if "in_queue" in now.jobs else unknown)
    yield "estimated cost", Text(spent if rates.usd is None else f"{rates.usd:.2g} USD, {spent}")


def _stage(now: RunSnapshot, many: int) -> str:
    """The current stage, with its number if there are more than ``many``."""
    return f"{now.stage or 'starting'}{f' ({now.place} of {now.stages})' if now.place and now.stages > many else ''}"


def _sent(now: RunSnapshot) -> str:
    return f"{now.sent}{'' if now.planned is None else f' of {now.planned}'}"


def _achieved(now: RunSnapshot, rates: LiveRates, last: RunSnapshot | None = None) -> str:
    """Ok answers per second: since ``last`` or of the last full second, or of the whole run when it has ended."""
    if now.finished:
        return f"{rates.overall.ok:.1f}/s overall"
    if last and now.elapsed_s > last.elapsed_s:
        return f"{(now.ok - last.ok) / (now.elapsed_s - last.elapsed_s):.1f}/s"
    return f"{rates.last_second.ok:.1f}/s"


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
