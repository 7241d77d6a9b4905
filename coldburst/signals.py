"""Signals that end a process in good order. Standard library only."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping

NAMES: Mapping[int, str] = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP", signal.SIGQUIT: "SIGQUIT"}


def ending_signals() -> dict[int, str]:
    """Signals to handle, with their names. Under nohup SIGHUP is ignored from the start, and stays so."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return {number: name for number, name in NAMES.items() if not (ignored and number == signal.SIGHUP)}


def handlers(interrupt: Callable[[str], object]) -> dict[int, Callable[[], None]]:
    """A handler for each signal, which calls ``interrupt`` with its name; only once for SIGHUP.

    A terminal that closes and its shell both send SIGHUP: the second one is no order to hurry.
    """
    seen: set[str] = set()

    def handler(name: str) -> Callable[[], None]:
        def handle() -> None:
            if name != NAMES[signal.SIGHUP] or name not in seen:
                seen.add(name)
                interrupt(name)

        return handle

    return {number: handler(name) for number, name in ending_signals().items()}
