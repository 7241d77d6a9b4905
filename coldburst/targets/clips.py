"""Audio clips to send, with their transcripts, and the forms made of them."""

from __future__ import annotations

import csv
import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from coldburst.pieces import Pieces

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
TRANSCRIPTS = "transcripts.csv"


class ClipError(ValueError):
    """The clips cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Clip:
    """An audio clip: its length in seconds, its transcript ("" = not known), and its bytes."""

    name: str
    audio_s: float
    text: str
    data: bytes


def load_clips(place: Path) -> list[Clip]:
    """The clips of a directory, sorted by name, or the clip in a file.

    Transcripts are read from ``transcripts.csv`` in the same directory (columns file,text), if it exists.

    Raises:
        ClipError: no clips, or a file that is not audio.
    """
    folder = place if place.is_dir() else place.parent
    files = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS) if place.is_dir() else [place]
    if not place.exists() or not files:
        raise ClipError(f"no clips at '{place}': give a file or a directory with {', '.join(ENDINGS)} files, as in --clips samples")
    texts = _transcripts(folder / TRANSCRIPTS)
    return [_clip(path, texts.get(path.name, "")) for path in files]


def multipart(clip: Clip, fields: Mapping[str, str], boundary: str) -> bytes:
    """The form as bytes (RFC 7578)."""
    return bytes(form_pieces(clip, fields, boundary))


def form_pieces(clip: Clip, fields: Mapping[str, str], boundary: str) -> Pieces:
    """The form in pieces, of which one is the clip itself."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    name = clip.name.replace("\\", "_").replace('"', "_")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return Pieces(("".join(parts).encode(), clip.data, f"\r\n--{boundary}--\r\n".encode()))


@lru_cache(maxsize=4096)
def seconds_of(path: Path) -> float:
    """Length of the audio in a file. Raises ClipError if it is none."""
    return _length_s(path, _content(path))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error


def _length_s(path: Path, content: bytes) -> float:
    if audio_s := _seconds_of_wave(content):
        return audio_s
    # Imports numpy, which takes longer than reading the clips.
    import soundfile  # noqa: PLC0415

    try:
        audio_s = float(soundfile.info(io.BytesIO(content)).duration)
    except (OSError, soundfile.SoundFileError) as error:
        raise _unusable(path, error) from error
    if audio_s <= 0:
        raise ClipError(f"the clip '{path}' is empty: give one with speech in it")
    return audio_s


def _seconds_of_wave(content: bytes) -> float:
    """Length of a complete WAV file with plain samples; 0 for anything else, which libsndfile reads or refuses."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            audio_bytes = file.getnframes() * file.getsampwidth() * file.getnchannels()
            return file.getnframes() / file.getframerate() if audio_bytes <= len(content) else 0.0
    except (EOFError, wave.Error, ZeroDivisionError):
        return 0.0


def sent_name(path: Path) -> str:
    """The file's name, as it can be sent."""
    return path.name.encode(errors="replace").decode()


def _clip(path: Path, text: str) -> Clip:
    content = _content(path)
    return Clip(sent_name(path), _length_s(path, content), text, content)


def _unusable(path: Path, error: Exception) -> ClipError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "libsndfile cannot read it as audio"
    return ClipError(f"cannot read the clip '{path}': {reason}; give WAV, FLAC, Ogg or MP3")


def _transcripts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        # With or without the byte order mark that spreadsheets write.
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ClipError(f"cannot read '{path}' as UTF-8 text: save it as 'CSV UTF-8' ({error})") from error
    rows = csv.DictReader(io.StringIO(content, newline=""))
    if not {"file", "text"} <= set(rows.fieldnames or ()):
        raise ClipError(f"'{path}' has no columns file,text: its first line must be 'file,text'")
    # A text without a letter or digit has no words to compare.
    return {row["file"]: row["text"] if any(map(str.isalnum, row["text"] or "")) else "" for row in rows}
