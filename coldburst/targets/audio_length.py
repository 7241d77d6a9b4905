"""The length of audio in an answer, from its header or its bytes."""

from __future__ import annotations

import io
import struct
from email.message import Message

# OpenAI's raw format: 24 kHz, one channel, 16 bits, no header.
PCM_RATE, PCM_BYTES = 24_000, 2
PCM = ("audio/pcm", "audio/l16")
# What of an answer's beginning is kept for a header.
HEAD_BYTES = 4096


def audio_seconds(head: bytes, body: bytes, received: int, content_type: str, requested: str = "") -> float | None:
    """Seconds of the audio in an answer; None if its format is not known.

    Args:
        head: the first HEAD_BYTES of it.
        body: all of it; empty if it was too long to be kept.
        received: its length.
        content_type: of the answer, as in ``audio/pcm;rate=24000``.
        requested: the format that was asked for, as in "pcm": raw samples do not tell what they are.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _wave(head, received)
    kind = Message()
    kind["content-type"] = content_type
    named = kind.get_content_type() in PCM
    if named or (requested == "pcm" and not _is_container(head)):
        rate, channels = (_number(kind, name, default) for name, default in (("rate", PCM_RATE), ("channels", 1)))
        return received / (rate * channels * PCM_BYTES)
    return _decoded(body) if body else None


def _wave(head: bytes, received: int) -> float | None:
    """From the header. A file that is written while it is sent has 0 or the largest number as its length: then the bytes count."""
    at, bytes_per_s = 12, 0
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt " and at + 20 <= len(head):
            bytes_per_s = struct.unpack_from("<I", head, at + 16)[0]
        if name == b"data":
            left = received - at - 8
            return (min(size, left) if size else left) / bytes_per_s if bytes_per_s else None
        at += 8 + size + size % 2
    return None


def _is_container(head: bytes) -> bool:
    return head[:4] in (b"OggS", b"fLaC", b"caff") or head[:3] == b"ID3"


def _number(kind: Message, name: str, default: int) -> int:
    text = str(kind.get_param(name, ""))
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 10**6 else default


def _decoded(body: bytes) -> float | None:
    """MP3, FLAC, Ogg and others that libsndfile reads; None for AAC and what is not audio."""
    # Imports numpy, which only answers in these formats need.
    import soundfile  # noqa: PLC0415

    try:
        return float(soundfile.info(io.BytesIO(body)).duration)
    except soundfile.SoundFileError:
        return None
