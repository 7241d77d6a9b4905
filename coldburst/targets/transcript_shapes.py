"""Transcripts in one piece that are not JSON objects: plain text and subtitles; and the form's fields that ask for each shape."""

from __future__ import annotations

from typing import Any

STREAM = "stream"
SHAPES = ("json", "verbose_json", "text", "srt", "vtt", STREAM)
_TEXTS = ("text", "srt", "vtt")
_ARROW = "-->"
# What an answer lacks, by the shape that was asked for.
WANTED = {"text": "plain text", "srt": "subtitles", "vtt": "subtitles", STREAM: "a stream of events"}


def form_fields(model: str, language: str, shape: str = "json") -> dict[str, str]:
    """The form's fields without the file, as OpenAI names them; an empty language is not sent. ``shape``: one of SHAPES."""
    wanted = {"response_format": "json", "stream": "true"} if shape == STREAM else {"response_format": shape}
    return {"model": model} | wanted | ({"language": language} if language else {})


def spoken_text(shape: str, content: Any, body: bytes) -> str | None:
    """The text in an answer that is not a JSON object; None if it holds no transcript.

    Args:
        shape: what was asked for.
        content: the body as JSON, such as a text; None if it is none.
    """
    if shape not in _TEXTS:
        return None
    if isinstance(content, str):
        return content
    text = body.decode("utf-8-sig", errors="replace")
    if shape == "text":
        return None if text.lstrip().startswith(("<", "{")) else text.strip()
    return _of_subtitles(text) if _ARROW in text or not text.strip().removeprefix("WEBVTT") else None


def _of_subtitles(text: str) -> str:
    """The lines below the times of each cue (SubRip, WebVTT)."""
    spoken = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = block.split("\n")
        times = next((number for number, line in enumerate(lines) if _ARROW in line), None)
        if times is not None:
            spoken += lines[times + 1 :]
    return " ".join(line.strip() for line in spoken if line.strip())
