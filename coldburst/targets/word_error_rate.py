"""Word error rate of a transcript against what is said in its clip."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Any

_SPACES = re.compile(r"\s+")
_PUNCTUATION = str.maketrans(string.punctuation + "’“”…–—", " " * (len(string.punctuation) + 6))


def judge_text(text: str, reference: str, max_wer: float | None) -> tuple[str, dict[str, Any]]:
    """``text`` compared with what is said in the clip: "wrong" or "", and the columns that this fills.

    Without a reference or a limit any text will do.
    """
    if not reference or max_wer is None:
        return "", {}
    wer = word_error_rate(reference, text)
    if wer > max_wer:
        heard = f"heard '{text[:60]}'" if text.strip() else "the transcript is empty"
        return "wrong", {"wer": wer, "error": f"word error rate {wer:.2f} is above {max_wer:g}: {heard}"}
    return "", {"wer": wer}


def transcript(output: Any) -> str | None:
    """The text in ``output``: itself, or its ``text`` or ``transcription`` (RunPod's faster-whisper worker); None where there is none."""
    if isinstance(output, dict):
        output = output.get("text", output.get("transcription"))
    return output if isinstance(output, str) else None


def warm_up(references: Iterable[str], max_wer: float | None) -> None:
    """Imports jiwer where answers will be compared with texts: the import blocks the process, so it must not happen during a run."""
    if max_wer is not None and any(references):
        word_error_rate("warm", "up")


def word_error_rate(reference: str, heard: str) -> float:
    """(Substitutions + deletions + insertions) / words of the reference, case and punctuation apart (jiwer)."""
    import jiwer  # only a run with reference texts pays for it  # noqa: PLC0415

    return float(jiwer.wer(normal(reference), normal(heard)))


def normal(text: str) -> str:
    """``text`` as compared: small letters, no punctuation, single spaces."""
    return _SPACES.sub(" ", text.lower().replace("'", "").translate(_PUNCTUATION)).strip()
