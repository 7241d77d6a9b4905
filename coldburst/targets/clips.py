"""Audio clips to send: read from files with what is said in them, and made into forms."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coldburst.targets.word_error_rate import normal

ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
TRANSCRIPTS = "transcripts.csv"


class ClipError(ValueError):
    """The clips cannot be used; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A piece of speech: its length in seconds, what is said in it ("" = not known), and its bytes."""

    name: str
    audio_s: float
    text: str
    data: bytes


def load_clips(place: Path) -> list[Clip]:
    """The clips of a directory in the order of their names, or the one clip of a file.

    What is said in them stands in ``transcripts.csv`` beside them (columns file,text), if at all.

    Raises:
        ClipError: nothing there, or a file that is no audio.
    """
    folder = place if place.is_dir() else place.parent
    files = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS) if place.is_dir() else [place]
    if not place.exists() or not files:
        raise ClipError(f"no clips at '{place}': name a file or a directory with {', '.join(ENDINGS)} files, as in --clips samples")
    texts = _transcripts(folder / TRANSCRIPTS)
    return [_clip(path, texts.get(path.name, "")) for path in files]


def form_fields(model: str, language: str) -> dict[str, str]:
    """The form's fields besides the file, as OpenAI names them; an empty language is not sent."""
    return {"model": model, "response_format": "json"} | ({"language": language} if language else {})


def multipart(clip: Clip, fields: Mapping[str, str], boundary: str) -> bytes:
    """The form as bytes (RFC 7578), built once per clip and options: sending it costs no copy of the clip."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    name = clip.name.replace("\\", "_").replace('"', "_")
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return "".join(parts).encode() + clip.data + f"\r\n--{boundary}--\r\n".encode()


def _clip(path: Path, text: str) -> Clip:
    import soundfile  # brings numpy: only a run with clips pays for it  # noqa: PLC0415

    try:
        data = path.read_bytes()
        audio_s = float(soundfile.info(str(path)).duration)
    except (OSError, soundfile.SoundFileError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no audio that libsndfile can read"
        raise ClipError(f"cannot read the clip '{path}': {reason}; give WAV, FLAC, Ogg or MP3") from error
    if audio_s <= 0:
        raise ClipError(f"the clip '{path}' is empty: give one with some speech in it")
    return Clip(path.name.encode(errors="replace").decode(), audio_s, text, data)


def _transcripts(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        content = path.read_text(encoding="utf-8-sig")  # with or without the mark that spreadsheets put in front
    except (OSError, UnicodeDecodeError) as error:
        raise ClipError(f"cannot read '{path}' as UTF-8 text: save it as 'CSV UTF-8' ({error})") from error
    rows = csv.DictReader(io.StringIO(content, newline=""))
    if not {"file", "text"} <= set(rows.fieldnames or ()):
        raise ClipError(f"'{path}' has no columns file,text: its first line should be 'file,text'")
    return {row["file"]: row["text"] if normal(row["text"] or "") else "" for row in rows}
