"""Progress of a headless run: a table on a terminal; elsewhere a line when something has changed, and at least every ten seconds."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import gevent

from coldburst.live.progress_words import achieved_words, clock, cost_words, sent_words, stage_words
from coldburst.live.run_monitor import LiveRates, RunMonitor
from coldburst.live.snapshot import RunSnapshot, RunView

if TYPE_CHECKING:
    from coldburst.live.terminal_table import TerminalTable

# A line comes at most and at least this often.
EVERY_S, SILENT_S, TABLE_EVERY_S = 2.0, 10.0, 0.5
# A line shows the number of the stage if there are more stages than this.
MANY = 3


class ProgressReporter:
    """Shows ``run`` until ``stop``."""

    def __init__(self, run: RunView) -> None:
        self._monitor = RunMonitor(run)
        self._terminal = _table() if on_terminal() else None
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


def _table() -> TerminalTable:
    # Imports rich.
    from coldburst.live.terminal_table import TerminalTable  # noqa: PLC0415

    return TerminalTable()


def on_terminal() -> bool:
    """Whether stdout is a terminal that can be redrawn, and not a CI log that pretends to be one."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown") and not os.environ.get("CI")


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
        stage_words(now, MANY),
        f"sent {sent_words(now)}",
        f"in flight {now.in_flight}",
        *([f"held at the limit {now.held}"] if now.held else []),
        *(f"{name} {count}" for name, count in now.outcomes.items() if count),
        *([f"offered {offered:.1f}/s"] if offered is not None and not now.finished else []),
        f"achieved {achieved_words(now, rates.overall.ok, rates.last_second.ok, last)}",
        *([f"cold starts {now.cold_starts}"] if now.cold_starts else []),
        *([f"{clock(now.left_s)} left"] if now.left_s is not None else []),
        *([f"about {cost_words(rates.usd, now.limit_usd)}"] if rates.usd is not None else []),
    ]
    return "  ".join(words)
