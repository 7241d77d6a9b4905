"""A request's body, rendered once except for the values that are known only when the request is sent."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from types import MappingProxyType
from typing import Any

from coldburst.pieces import Body, Pieces
from coldburst.targets.clips import Clip

# Names without spaces at their ends; {{ this }} is text.
PLACEHOLDER = re.compile(r"\{\{([\w:.-]+(?: [\w:.-]+)*)\}\}")
OF_REQUEST = ("seq", "name", "uuid")
NO_VALUES: Mapping[str, Any] = MappingProxyType({})
# Bytes of each value that the size check assumes.
_LONGEST = 100
# A body with a piece of at least so many bytes, such as a clip, is sent in pieces.
LARGE_BYTES = 16_384
# A system call takes 1,024 pieces (IOV_MAX).
MOST_PIECES = 1000


@dataclass(frozen=True, slots=True)
class BodyTemplate:
    """One body: ``first``, then each value and the bytes that follow it; ``clip`` is the clip in it, if any.

    Attributes:
        slots: for each value, the placeholder's name, whether it is a whole JSON text, and the bytes after it.
    """

    clip: Clip | None
    first: bytes
    slots: tuple[tuple[str, bool, bytes], ...] = ()

    def body(self, seq: int, name: str, values: Mapping[str, Any] = NO_VALUES) -> Body:
        """The body of request ``seq`` called ``name``; the same object each time if nothing in it changes.

        Args:
            values: by placeholder; they come before the request's seq, name and uuid. Bytes are ASCII text that needs no escaping, such
                as base64, and are not copied if they are large.

        Raises:
            KeyError: a placeholder without a value.
        """
        if not self.slots:
            return self.first
        pieces = [self.first]
        for key, whole, after in self.slots:
            value = values[key] if key in values else _of_request(key, seq, name)
            if isinstance(value, bytes):
                pieces += (b'"', value, b'"', after) if whole else (value, after)
            else:
                pieces += (_json(value, whole).encode(), after)
        if len(pieces) > MOST_PIECES or max(map(len, pieces)) < LARGE_BYTES:
            return b"".join(pieces)
        return Pieces(tuple(pieces))

    @property
    def largest(self) -> int:
        """Largest size of the body in bytes, if values are short."""
        return len(self.first) + sum(_LONGEST + len(after) for _, _, after in self.slots)


class Marks:
    """Stand-ins for values in a JSON tree, by which its text is cut into a ``BodyTemplate``."""

    def __init__(self) -> None:
        self._mark = uuid.uuid4().hex
        self._names: list[str] = []
        # A quote after a backslash belongs to the text: only a text that is nothing but the mark has a quote on both sides.
        self._cut = re.compile(rf'((?<!\\)"|){self._mark}:(\d+);\1')

    def put(self, name: str) -> str:
        """A stand-in for the value of that name."""
        self._names.append(name)
        return f"{self._mark}:{len(self._names) - 1};"

    def cut(self, text: str, clip: Clip | None) -> BodyTemplate:
        """The template of ``text``, JSON with marks."""
        first, *rest = self._cut.split(text)
        slots = [(self._names[int(number)], bool(quotes), after.encode()) for quotes, number, after in zip(*[iter(rest)] * 3, strict=True)]
        return BodyTemplate(clip, first.encode(), tuple(slots))


def _of_request(key: str, seq: int, name: str) -> Any:
    if key == "seq":
        return seq
    if key == "uuid":
        return str(uuid.uuid4())
    if key == "name":
        return name
    raise KeyError(key)


def _json(value: Any, whole: bool) -> str:
    """The value as JSON, or, inside a longer text, as text that is escaped; numbers and objects are written as JSON there too."""
    if isinstance(value, str):
        quoted = encode_basestring_ascii(value)
        return quoted if whole else quoted[1:-1]
    text = json.dumps(value)
    return text if whole else encode_basestring_ascii(text)[1:-1]
