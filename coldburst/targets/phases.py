"""The phases of making a video, as services and handlers report them, and the instant at which a polled job ended."""

from __future__ import annotations

from typing import Any

# A longer phase is not believed.
LONGEST_S = 7 * 86400.0


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


def ended_at(accepted: float, asked: float, seen: float, queue_s: float | None, execution_s: float | None) -> float:
    """When a job ended: accepted + delayTime + executionTime, limited to [asked, seen]; without the platform's times, seen.

    Polling sees an end late by up to an interval, so the platform's own times are used. They start when it accepts the job, which is
    when /run's answer arrives here, except for half a round trip. What was observed limits them.

    Args:
        accepted: when /run's answer came.
        asked: when the last poll was sent that saw the job unfinished.
        seen: when the answer came that saw it ended.
    """
    if queue_s is None or execution_s is None:
        return seen
    return min(max(accepted + queue_s + execution_s, asked), seen)
