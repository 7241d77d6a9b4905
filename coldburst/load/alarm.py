"""Waits that end when they are due, a tenth of a millisecond late rather than a whole one.

libev rounds its timers up to whole milliseconds on Linux (the unit of epoll_wait), so there the event loop waits for a timer of the
kernel (timerfd_create(2)), which is a file that becomes readable. Elsewhere libev's timers are exact (kqueue).
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from typing import Any

import gevent
from gevent.event import Event

# libev's event.
_READ = 1
# Flag of timerfd_settime: an instant, not a duration. 0 would turn the timer off.
_ABSOLUTE, _PAST_NS = 1, 1
_PER_S = 10**9


class LoopAlarm:
    """An alarm by a timer of the event loop."""

    def __init__(self) -> None:
        self._rung = Event()

    def wait(self, due: float) -> None:
        """Waits until that instant by time.perf_counter, or for ring()."""
        self._rung.wait(max(0.0, due - time.perf_counter()))
        self._rung.clear()

    def ring(self) -> None:
        """Ends the present wait."""
        self._rung.set()

    def close(self) -> None:
        """Frees what the alarm holds; nobody may wait."""


class KernelAlarm:
    """An alarm by a timer of the Linux kernel, whose monotonic clock is that of time.perf_counter."""

    def __init__(self) -> None:
        # Python has these functions from 3.13 on. PyDLL keeps the interpreter's lock: they return at once.
        self._libc: Any = ctypes.PyDLL(None, use_errno=True)
        self._hub = gevent.get_hub()
        self._fd = -1
        self._readable: Any = None
        # struct itimerspec: seconds and nanoseconds of the period, then of the instant.
        self._setting = (ctypes.c_long * 4)()

    def wait(self, due: float) -> None:
        """Waits until that instant by time.perf_counter, or for ring()."""
        if self._fd < 0:
            self._open()
        self._set(max(math.ceil(due * _PER_S), _PAST_NS))
        # Setting the timer again makes it unreadable, so it is never read.
        self._hub.wait(self._readable)

    def ring(self) -> None:
        """Ends the present wait."""
        if self._fd >= 0:
            self._set(_PAST_NS)

    def close(self) -> None:
        """Frees what the alarm holds; nobody may wait."""
        if self._fd >= 0:
            self._readable.close()
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), f"timerfd_create: {os.strerror(ctypes.get_errno())}")
        self._readable = self._hub.loop.io(self._fd, _READ)

    def _set(self, due_ns: int) -> None:
        self._setting[2:] = list(divmod(due_ns, _PER_S))
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, self._setting, None)


Alarm = KernelAlarm if sys.platform == "linux" else LoopAlarm
