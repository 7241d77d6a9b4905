"""Compares transcripts with the text of their clips."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

ANY_WER = float("inf")
_SPACES = re.compile(r"\s+")
_PUNCTUATION = str.maketrans(string.punctuation + "’“”…–—", " " * (len(string.punctuation) + 6))


def judge_text(text: str, reference: str, max_wer: float | None = ANY_WER) -> tuple[str, dict[str, Any]]:
    """Compares ``text`` with the clip's text: "wrong" or "", and the columns filled. An empty text of a clip with words is wrong.

    Args:
        reference: the clip's text; "" = not known, then any text is right.
        max_wer: above this word error rate the text is wrong; ANY_WER = it is only compared, None = not compared.
    """
    if not reference or max_wer is None:
        return "", {}
    if not text.strip():
        return "wrong", {"wer": 1.0, "error": "the transcript is empty"}
    # A much longer text is wrong anyway, and the rest of it would take long to compare.
    wer = word_error_rate(reference, text[: 20 * len(reference) + 1000])
    if wer > max_wer:
        return "wrong", {"wer": wer, "error": f"word error rate {wer:.2f} is above {max_wer:g}: heard '{text[:60]}'"}
    return "", {"wer": wer}


def judge_output(output: Any, reference: str, max_wer: float | None) -> tuple[str, dict[str, Any]]:
    """As judge_text, for the transcript in ``output``. An output without one is wrong only where a limit is given."""
    text = transcript(output) if reference and max_wer is not None else ""
    if text is None and max_wer != ANY_WER:
        return "wrong", {"error": f"the answer has no 'text' to compare: {str(output)[:80]}"}
    return judge_text(text, reference, max_wer) if text is not None else ("", {})


def transcript(output: Any) -> str | None:
    """The text in ``output``: itself, or its ``text`` or ``transcription`` (RunPod's faster-whisper worker); None without one."""
    if isinstance(output, dict):
        output = output.get("text", output.get("transcription"))
    return output if isinstance(output, str) else None


def warm_up(references: Iterable[str], max_wer: float | None) -> None:
    """Imports jiwer before the run if answers will be compared with texts: the import blocks the process."""
    if max_wer is not None and any(references):
        word_error_rate("warm", "up")


# Clips are sent over and over, and most services say the same of each every time.
@lru_cache(maxsize=256)
def word_error_rate(reference: str, heard: str) -> float:
    """(Substitutions + deletions + insertions) / words of the reference, ignoring case and punctuation (jiwer)."""
    # Only runs with reference texts need it.
    import jiwer  # noqa: PLC0415

    return float(jiwer.wer(normal(reference), normal(heard)))


def normal(text: str) -> str:
    """``text`` in lower case, without punctuation, with single spaces."""
    return _SPACES.sub(" ", text.lower().replace("'", "").translate(_PUNCTUATION)).strip()
