"""What a worker's process writes: its last lines, for REST v2's stream of logs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

# REST v2 gives no more; a longer line is cut into several.
MOST_LINES, MOST_BYTES = 5000, 8192
_READ = 1 << 16


class LogLine(NamedTuple):
    """A line of a log, and when it was written (RFC 3339)."""

    ts: str
    text: str


class WorkerLog:
    """The log of one worker; ``ended``: nothing more will come."""

    def __init__(self) -> None:
        self.lines: deque[LogLine] = deque(maxlen=MOST_LINES)
        self.ended = False
        self._count, self._changed = 0, asyncio.Event()

    def add(self, text: str) -> None:
        """Adds a line."""
        self.lines.append(LogLine(datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"), text))
        self._count += 1
        self._wake()

    def end(self) -> None:
        """Ends the log."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self, tail: int) -> AsyncIterator[LogLine]:
        """The last ``tail`` lines, then each new one until the log ends."""
        seen = self._count - min(tail, len(self.lines))
        while True:
            for line in list(self.lines)[len(self.lines) - (self._count - seen) :] if self._count > seen else ():
                yield line
            seen = self._count
            if self.ended:
                return
            await self._changed.wait()


class LogPipe:
    """A pipe whose lines enter a log; ``copy_to``: a descriptor that gets all of it too, or None."""

    def __init__(self, log: WorkerLog, copy_to: int | None) -> None:
        self._log, self._copy_to, self._rest = log, copy_to, b""
        self._end, self.entry = os.pipe()
        os.set_blocking(self._end, False)
        asyncio.get_running_loop().add_reader(self._end, self._read)

    def started(self) -> None:
        """The process has its copy of ``entry``: close this one."""
        os.close(self.entry)

    def close(self) -> None:
        """Reads what is left, and closes the pipe. Processes that still write to it get an error."""
        while self._read():
            pass
        if self._rest:
            self._add(self._rest)
        if self._end >= 0:
            self._shut()

    def _shut(self) -> None:
        asyncio.get_running_loop().remove_reader(self._end)
        os.close(self._end)
        self._end = -1

    def _read(self) -> bool:
        """Reads what is there; whether there may be more."""
        if self._end < 0:
            return False
        try:
            data = os.read(self._end, _READ)
        except BlockingIOError:
            return False
        if not data:
            self._shut()
            return False
        if self._copy_to is not None:
            with contextlib.suppress(OSError):
                os.write(self._copy_to, data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MOST_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._add(line)
        return True

    def _add(self, line: bytes) -> None:
        for begin in range(0, max(len(line), 1), MOST_BYTES):
            self._log.add(line[begin : begin + MOST_BYTES].decode(errors="replace").rstrip("\r"))
