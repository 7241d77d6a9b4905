"""A transcript in the shapes of OpenAI's transcription route: JSON, plain text, subtitles, server-sent events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from coldburst.transcriber.recognisers import Segment, Transcript

TEXT = "text/plain; charset=utf-8"
EVENTS = "text/event-stream; charset=utf-8"
STREAMABLE = ("json", "text")


def verbose_json(transcript: Transcript) -> dict[str, Any]:
    """Everything that is known; ``duration``: the clip's length in seconds, silence included."""
    return {
        "task": "transcribe",
        "text": transcript.text,
        "language": transcript.language,
        "duration": transcript.duration_s,
        "segments": [_segment(number, segment) for number, segment in enumerate(transcript.segments)],
    }


def plain_json(transcript: Transcript) -> dict[str, Any]:
    """The text, and what would be paid for."""
    return {"text": transcript.text, "usage": {"type": "duration", "seconds": transcript.duration_s}}


def srt(transcript: Transcript) -> str:
    """SubRip subtitles, one for each segment."""
    return "".join(
        f"{number}\n{_clock(part.start, ',')} --> {_clock(part.end, ',')}\n{part.text.strip()}\n\n"
        for number, part in enumerate(transcript.segments, start=1)
    )


def vtt(transcript: Transcript) -> str:
    """WebVTT subtitles, one for each segment."""
    cues = (f"{_clock(part.start, '.')} --> {_clock(part.end, '.')}\n{part.text.strip()}\n\n" for part in transcript.segments)
    return "WEBVTT\n\n" + "".join(cues)


def events(transcript: Transcript) -> Iterator[str]:
    """Server-sent events: a delta for each segment, then the whole text."""
    for number, part in enumerate(transcript.segments):
        yield _event({"type": "transcript.text.delta", "delta": " " * (number > 0) + part.text.strip()})
    yield _event({"type": "transcript.text.done", "text": transcript.text})


FORMATS: Mapping[str, tuple[Callable[[Transcript], Any], str]] = {
    "json": (plain_json, "application/json"),
    "verbose_json": (verbose_json, "application/json"),
    "text": (lambda transcript: f"{transcript.text}\n", TEXT),
    "srt": (srt, TEXT),
    "vtt": (vtt, "text/vtt; charset=utf-8"),
}
"""By ``response_format``: the content, and its type."""


def _event(content: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        "audio_start": segment.start,
        "audio_end": segment.end,
    }
