"""The clip that a row of a data set names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from coldburst.data.row import DataError
from coldburst.targets.clips import Clip, ClipError, seconds_of, sent_name


class Spoken(NamedTuple):
    """The columns of a data set with the names of audio files, and with what is said in them ("" = not known)."""

    audio: str
    text: str


def row_clip(values: Mapping[str, Any], spoken: Spoken, data: bool = False) -> Clip:
    """The clip that a row names.

    Args:
        data: whether its bytes are needed.

    Raises:
        DataError: the file cannot be read, or is not audio.
    """
    path: Path = values[f"path:{spoken.audio}"]
    text = values[spoken.text] if spoken.text else ""
    said = text if isinstance(text, str) and any(map(str.isalnum, text)) else ""
    try:
        return Clip(sent_name(path), seconds_of(path), said, values[f"bytes:{spoken.audio}"] if data else b"")
    except ClipError as error:
        raise DataError(str(error)) from error
