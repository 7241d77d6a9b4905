"""Compares transcripts with the text of their clips."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Any

_SPACES = re.compile(r"\s+")
_PUNCTUATION = str.maketrans(string.punctuation + "’“”…–—", " " * (len(string.punctuation) + 6))


def judge_text(text: str, reference: str, max_wer: float | None) -> tuple[str, dict[str, Any]]:
    """Compares ``text`` with the clip's text: "wrong" or "", and the columns filled. Without reference or limit, any text is right."""
    if not reference or max_wer is None:
        return "", {}
    # A much longer text is wrong anyway, and the rest of it would take long to compare.
    wer = word_error_rate(reference, text[: 20 * len(reference) + 1000])
    if wer > max_wer:
        heard = f"heard '{text[:60]}'" if text.strip() else "the transcript is empty"
        return "wrong", {"wer": wer, "error": f"word error rate {wer:.2f} is above {max_wer:g}: {heard}"}
    return "", {"wer": wer}


def transcript(output: Any) -> str | None:
    """The text in ``output``: itself, or its ``text`` or ``transcription`` (RunPod's faster-whisper worker); None without one."""
    if isinstance(output, dict):
        output = output.get("text", output.get("transcription"))
    return output if isinstance(output, str) else None


def warm_up(references: Iterable[str], max_wer: float | None) -> None:
    """Imports jiwer before the run if answers will be compared with texts: the import blocks the process."""
    if max_wer is not None and any(references):
        word_error_rate("warm", "up")


def word_error_rate(reference: str, heard: str) -> float:
    """(Substitutions + deletions + insertions) / words of the reference, ignoring case and punctuation (jiwer)."""
    # Only runs with reference texts need it.
    import jiwer  # noqa: PLC0415

    return float(jiwer.wer(normal(reference), normal(heard)))


def normal(text: str) -> str:
    """``text`` in lower case, without punctuation, with single spaces."""
    return _SPACES.sub(" ", text.lower().replace("'", "").translate(_PUNCTUATION)).strip()
