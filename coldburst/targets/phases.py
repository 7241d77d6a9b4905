"""The phases of making a video, as services and handlers report them."""

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
