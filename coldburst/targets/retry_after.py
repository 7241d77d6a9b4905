"""How long an answer's ``Retry-After`` header asks to wait."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from now until the instant that ``Retry-After`` names, at least 0; None without a usable header.

    It is a number of seconds or a date (RFC 9110, 10.2.3). Fractions are accepted: some services write them.
    """
    text = str(headers.get("retry-after", "")).strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        named = parsedate_to_datetime(text)
        return max(0.0, named.replace(tzinfo=named.tzinfo or UTC).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
