"""Progress of a headless run: a table on a terminal, a plain line every two seconds elsewhere."""

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

EVERY_S, TABLE_EVERY_S = 2.0, 0.5
MANY = 3
"""Stages above which the place of the present one is told in a line."""
WIDE, NARROW = 112, 72
"""Columns of a terminal from which three, and two, figures stand side by side."""


class ProgressReporter:
    """Shows ``run`` until ``stop``."""

    def __init__(self, run: RunView) -> None:
        self._monitor = RunMonitor(run)
        self._terminal = TerminalTable() if on_terminal() else None
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
            else:
                print(line(now, self._monitor.live_rates), flush=True)
        except BlockingIOError:
            return  # full for a moment: the next line tells more anyway
        except OSError:  # the reader (head, less) or the terminal has gone, and the run goes on
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def on_terminal() -> bool:
    """Whether somebody looks at a terminal that can be written over; in CI nobody does, whatever its log pretends to be."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") and not os.environ.get("CI")


class TerminalTable:
    """A table at the foot of a terminal; what is logged or printed meanwhile stands above it.

    No thread refreshes it: what is shown comes from the greenlet that calls. The cursor stays visible, so that a run which is killed
    leaves nothing behind but the table.
    """

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        err = sys.stderr
        self._screen = Screen(console=self._console, auto_refresh=False, redirect_stderr=err.isatty())
        self._screen.start()
        self._console.show_cursor(True)
        self._rebound = [(handler, handler.setStream(sys.stderr)) for handler in _handlers() if handler.stream is err]

    def show(self, now: RunSnapshot, rates: LiveRates) -> None:
        """Writes over what was shown before."""
        self._screen.update(table(now, rates, self._console.width), refresh=True)

    def close(self) -> None:
        """Leaves the last table where it is, and the terminal as it was."""
        self._screen.stop()
        for handler, stream in self._rebound:
            if stream is not None:
                handler.setStream(stream)


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    """All that log to a stream, of whichever logger."""
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in logging.root.manager.loggerDict)]
    found = {id(handler): handler for logger in loggers for handler in logger.handlers}
    return (handler for handler in found.values() if isinstance(handler, logging.StreamHandler))


def line(now: RunSnapshot, rates: LiveRates) -> str:
    """Second, stage and its place, how much is sent, in flight and ended how; then rates, cold starts, time left and spend, where known."""
    planned = "" if now.planned is None else f" of {now.planned}"
    place = f" ({now.place} of {now.stages})" if now.place and now.stages > MANY else ""
    words = [
        f"{now.elapsed_s:6.1f} s",
        f"{now.stage or 'starting'}{place}",
        f"sent {now.sent}{planned}",
        f"in flight {now.in_flight}",
        *([f"held at the cap {now.held}"] if now.held else []),
        *(f"{name} {count}" for name, count in now.outcomes.items() if count),
        *([f"offered {rates.last_second.offered:.1f}/s"] if rates.last_second.offered is not None and not now.finished else []),
        f"achieved {_achieved(now, rates)}",
        *([f"cold starts {now.cold_starts}"] if now.cold_starts else []),
        *([f"{_clock(now.left_s)} left"] if now.left_s is not None else []),
        *([f"about {rates.usd:.2g} USD"] if rates.usd is not None else []),
    ]
    return "  ".join(words)


def table(now: RunSnapshot, rates: LiveRates, width: int) -> Table:
    """The same, and more, as a table for a terminal of ``width`` columns."""
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
    """Name and figure, in the order in which they are read."""
    times = rates.response_s
    others = {name: count for name, count in now.outcomes.items() if count and name != "ok"}
    seen = now.workers.get(now.view, {})
    yield "stage", Text(f"{now.stage or 'starting'}{f' ({now.place} of {now.stages})' if now.stages > 1 and now.place else ''}")
    yield "so far", Text(f"{now.elapsed_s:.1f} s{', stopping' if now.stopping and not now.finished else ''}")
    yield "sending ends", Text(_left(now))
    yield "sent", Text(f"{now.sent}{'' if now.planned is None else f' of {now.planned}'}")
    yield "in flight", Text(f"{now.in_flight}{f', {now.held} held at the cap' if now.held else ''}")
    yield "load generators", Text(f"{now.generators}, lateness {now.lateness_s * 1000:.1f} ms")
    yield "offered", Text(_offered(now, rates))
    yield "achieved", Text(_achieved(now, rates))
    yield "response time", Text("" if times.p50_s is None else f"P50 {times.p50_s:.2f} s, P95 {times.p95_s:.2f} s, last {times.n}")
    yield "ok", Text(str(now.ok), style="bold")
    yield "otherwise", Text(", ".join(f"{count} {name}" for name, count in others.items()) or "0", style="red" if others else "")
    yield "cold starts", Text(str(now.cold_starts))
    untold = "" if now.finished else "not told"
    yield "endpoint workers", Text(", ".join(f"{count} {name}" for name, count in seen.items() if count) or ("0" if seen else untold))
    yield "queue", Text(f"{now.jobs['in_queue']} jobs" if "in_queue" in now.jobs else untold)
    yield "estimated spend", Text(_spend(rates))


def _offered(now: RunSnapshot, rates: LiveRates) -> str:
    offered = (rates.overall if now.finished else rates.last_second).offered
    return "by completions" if offered is None else f"{offered:.1f}/s{' overall' if now.finished else ''}"


def _achieved(now: RunSnapshot, rates: LiveRates) -> str:
    """Answers ok per second: of the last full second, at the end over all."""
    return f"{rates.overall.ok:.1f}/s overall" if now.finished else f"{rates.last_second.ok:.1f}/s"


def _left(now: RunSnapshot) -> str:
    if now.finished:
        return "ended"
    return "with the answers" if now.left_s is None else f"in {_clock(now.left_s)}"


def _spend(rates: LiveRates) -> str:
    if rates.worker_s is None:
        return "not known"
    spent = f"{rates.worker_s:.0f} worker-seconds"
    return spent if rates.usd is None else f"{rates.usd:.2g} USD, {spent}"


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
