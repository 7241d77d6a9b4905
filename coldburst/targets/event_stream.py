"""Parses server-sent events as they arrive.

Source: WHATWG HTML, "Server-sent events", 9.2.6. Comments, and fields other than ``data``, are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

# A line without an end would otherwise grow until the deadline.
MAX_EVENT_BYTES = 4 * 2**20
# The data of the last event of OpenAI's streams.
DONE = b"[DONE]"


class EventStream:
    """The events of one response body, which may arrive in pieces of any size.

    Attributes:
        overflow: a line or an event exceeded MAX_EVENT_BYTES and was dropped.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self.overflow = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The ``data`` of each event that ``piece`` completes; several data lines are joined by a line feed."""
        # Most pieces are one whole event of one line: this takes half of the time.
        whole = piece.startswith(b"data: ") and piece.endswith(b"\n\n") and piece.find(b"\n") == len(piece) - 2
        if whole and not (self._rest or self._data) and b"\r" not in piece:
            return [piece[6:-2]]
        return list(self._events(piece))

    def _events(self, piece: bytes) -> Iterator[bytes]:
        text = self._rest + piece
        # A carriage return at the end may be the first half of CRLF.
        held = b"\r" if text.endswith(b"\r") else b""
        lines = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        if len(self._rest) > MAX_EVENT_BYTES:
            self._rest, self.overflow = b"", True
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[bytes]:
        """The last event, where the stream ended without an empty line after it. Browsers drop it; servers of models send it."""
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        for line in (rest, b""):
            yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[bytes]:
        if not line:
            data, self._data, self._size = self._data, [], 0
            if data:
                yield b"\n".join(data)
            return
        name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        if name == b"data":
            self._size += len(value)
            if self._size > MAX_EVENT_BYTES:
                self._data, self.overflow = [], True
            else:
                self._data.append(value.removeprefix(b" "))
