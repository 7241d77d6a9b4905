"""API keys: which environment variable holds them, and how they are read. The environment is the only source."""

from __future__ import annotations

import os

from coldburst.option import OptionError

# RunPod's key, for its endpoints and for REST v2.
RUNPOD_KEY = "RUNPOD_API_KEY"
# The key of any other service.
TRANSCRIPTION_KEY = "TRANSCRIPTION_API_KEY"


def read_key(variable: str) -> str:
    """The API key in an environment variable; "" where it is not set.

    Raises:
        OptionError: it cannot stand in a header (printable ASCII only); the message does not show it.
    """
    value = os.environ.get(variable, "").strip()
    if not (value.isascii() and value.isprintable()):
        raise OptionError(f"the key in {variable} holds a character that cannot stand in a header: set it again, without line breaks")
    return value
