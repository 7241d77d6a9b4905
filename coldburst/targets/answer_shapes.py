"""What JSON answers of services hold, by their shapes: errors, reasons, generated text, phases of a video."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

# Fields with the reason of a failure. RunPod's gateway and REST v2 use error, title and detail (RFC 9457).
REASONS = ("error", "errors", "error_message", "detail", "message", "title")
# Fields that wrap an output, and how much of an output error_in searches.
_WRAPPERS = ("output", "result", "response", "data")
_DEEPEST, _MOST_ITEMS = 4, 100
_TELLING = frozenset(("error", "errors", "object", "status", "success", *_WRAPPERS))
_FAILED = ("error", "failed", "failure")
# Parts of a delta that a model generated. A first chunk with nothing but the role is not a token.
_GENERATED = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal", "audio")
# A longer phase is not believed.
LONGEST_S = 7 * 86400.0


def error_in(output: Any) -> str:
    """The first error in ``output``, wherever services put it (see ``_first_error``), in words; "" without one."""
    return _first_error(output, 0)


def error_of(value: Any, name: str) -> str:
    """The error that ``value`` of field ``name`` is, in words; "" if it is none.

    An error is a text or ``true``, a list or object that is not empty, or a number other than 0 and 200..399 (a code).
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "" if value == 0 or 200 <= value < 400 else f"{name} {value}"
    if value is True:
        return f"{name} is true"
    return words(value) if value else ""


def _first_error(output: Any, depth: int) -> str:
    """The first error in an object, its _WRAPPERS and the items of lists; "" without one.

    An object holds one in ``error`` or ``errors``, or as a whole if its ``object`` is "error", its ``status`` is one of _FAILED, or
    ``success`` is false. A fraction in ``error`` is a measurement.
    """
    if depth > _DEEPEST:
        return ""
    if isinstance(output, list):
        return next(filter(None, (_first_error(item, depth + 1) for item in output[:_MOST_ITEMS])), "")
    # Most answers have none of these names.
    if not isinstance(output, dict) or _TELLING.isdisjoint(output):
        return ""
    for name in ("error", "errors"):
        value = output.get(name)
        if not (isinstance(value, float) or (isinstance(value, dict) and not any(value.values()))) and (error := error_of(value, name)):
            return error
    status = str(output.get("status", "")).lower()
    if output.get("object") == "error" or status in _FAILED or output.get("success") is False:
        return reason_in(output) or json.dumps(output)[:200]
    return next(filter(None, (_first_error(output.get(name), depth + 1) for name in _WRAPPERS)), "")


def reason_in(content: Mapping[str, Any]) -> str:
    """The text of the first of REASONS that is not empty, "" without one."""
    for name in REASONS:
        value = content.get(name)
        if isinstance(value, dict):
            value = value.get("message") or value
        if value:
            return value if isinstance(value, str) else json.dumps(value)
    return ""


def words(value: Any) -> str:
    """``value`` as a message: a text, an object's ``message``, anything else as JSON."""
    if isinstance(value, dict) and isinstance(value.get("message"), str) and value["message"]:
        return str(value["message"])
    return value if isinstance(value, str) else json.dumps(value)


def generated(choice: Mapping[str, Any]) -> bool:
    """Whether a choice holds generated text: of a chat (``delta``, ``message``) or of a text completion (``text``)."""
    parts: Sequence[Any] = (choice.get("delta"), choice.get("message"))
    return bool(choice.get("text")) or any(isinstance(part, dict) and any(part.get(name) for name in _GENERATED) for part in parts)


def phases(content: Any) -> dict[str, float]:
    """The columns of a video that an object fills: seconds of speech synthesis, of pictures, and of the speech; {} without phases."""
    if not isinstance(content, dict) or "tts_s" not in content:
        return {}
    found = {name: content.get(name) for name in ("tts_s", "video_s", "audio_s")}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_S
    }
