"""Start and end of a service process, also of the emulator: one-sentence errors, a listening socket, a log file, stop signals.

Each slot process imports this module again, so it imports little.
"""

# ruff: noqa: PLC0415 - each slot process imports this file, and pays for what it imports

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import socket
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

from coldburst.signals import ending_signals

BACKLOG = 2048


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence on standard error, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Exit with the sentence, without the usage."""
        self.exit(2, f"{self.prog}: {message}\n")


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of an option: a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {most}")
        return int(text)

    return read


def number(least: float) -> Callable[[str], float]:
    """The type of an option: a finite number of at least ``least``."""

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            if least <= (found := float(text)) < math.inf:
                return found
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least {least:g}: write it as in '2.5'")

    return read


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; connections wait in the kernel until they are served. OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def in_url(host: str) -> str:
    """The host for a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def open_log(file: str) -> TextIO | None:
    """The log file, opened to append; "-" = standard output, "" = none. OSError."""
    if file in ("", "-"):
        return sys.stdout if file else None
    # Open until the process ends.
    return open(file, "a", encoding="utf-8")  # noqa: PTH123


def start_error(program: str, error: OSError, host: str, port: int) -> str:
    """One sentence on a log file that cannot be written, or an address that cannot be used."""
    what = f"write '{error.filename}'" if error.filename else f"listen on {host}:{port}"
    remedy = "; stop the program there, or choose another with --port" if error.errno == errno.EADDRINUSE else ""
    return f"{program}: cannot {what}: {str(error.strerror).partition(' (')[0]}{remedy}"


def on_stop(stop: Callable[[], None], *, until_stdin_closes: bool) -> None:
    """Call ``stop`` in the running event loop at an ending signal and, if asked for, when standard input closes."""
    import asyncio
    import threading

    loop = asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, stop)

    def await_stdin() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 65536):
                pass
        # RuntimeError: the loop has already ended.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop)

    if until_stdin_closes:
        threading.Thread(target=await_stdin, daemon=True).start()
