"""Progress of a headless run on a terminal: a table that is rewritten. Only such runs import rich."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from coldburst.live.progress_words import achieved_words, clock, cost_words, sent_words, stage_words
from coldburst.live.run_monitor import LiveRates
from coldburst.live.snapshot import RunSnapshot

# Terminal widths from which three, and two, figures are next to each other.
WIDE, NARROW = 112, 72


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
    left = "with the last answer" if now.left_s is None else f"in {clock(now.left_s)}"
    spent = "unknown" if rates.worker_s is None else f"{rates.worker_s:.0f} worker-seconds"
    yield "stage", Text(stage_words(now, 1))
    yield "elapsed", Text(f"{now.elapsed_s:.1f} s{', stopping' if now.stopping and not now.finished else ''}")
    yield "sending ends", Text("ended" if now.finished else left)
    yield "sent", Text(sent_words(now))
    yield "in flight", Text(f"{now.in_flight}{f', {now.held} held at the limit' if now.held else ''}")
    yield "load generators", Text(f"{now.generators}, send delay {now.lateness_s * 1000:.1f} ms")
    yield "offered", Text("by completions" if offered is None else f"{offered:.1f}/s{' overall' if now.finished else ''}")
    yield "achieved", Text(achieved_words(now, rates.overall.ok, rates.last_second.ok))
    yield "response time", Text("" if times.p50_s is None else f"P50 {times.p50_s:.2f} s, P95 {times.p95_s:.2f} s, last {times.n}")
    yield "ok", Text(str(now.ok), style="bold")
    yield "not ok", Text(", ".join(f"{count} {name}" for name, count in others.items()) or "0", style="red" if others else "")
    yield "cold starts", Text(str(now.cold_starts))
    yield "endpoint workers", Text(", ".join(f"{count} {name}" for name, count in seen.items() if count) or ("0" if seen else unknown))
    yield "queue", Text(f"{now.jobs['in_queue']} jobs" if "in_queue" in now.jobs else unknown)
    yield "estimated cost", Text(spent if rates.usd is None else f"{cost_words(rates.usd, now.limit_usd)}, {spent}")
