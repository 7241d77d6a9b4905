"""API keys, which are read from environment variables only."""

from __future__ import annotations

import os

from coldburst.option import OptionError

# RunPod's key, for its endpoints and for REST v2.
RUNPOD_KEY = "RUNPOD_API_KEY"
# The keys of other services: transcription, chat, and video.
TRANSCRIPTION_KEY = "TRANSCRIPTION_API_KEY"
CHAT_KEY = "OPENAI_API_KEY"
VIDEO_KEY = "VIDEO_API_KEY"


def read_key(variable: str) -> str:
    """The API key in an environment variable; "" if it is not set.

    Raises:
        OptionError: the key is not printable ASCII, as a header must be. The message does not show it.
    """
    value = os.environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise OptionError(f"the key in {variable} contains a character that is not allowed in a header: set it again, without line breaks")
    return value
