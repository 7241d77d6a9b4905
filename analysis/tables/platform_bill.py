"""What the platform's billing API said of a run (run.json, ``platform``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from coldburst.record.bill import Bill

# 2100; later hours are not believed.
LATEST_S = 4_102_444_800


def platform_bill(about: Mapping[str, Any]) -> Bill | None:
    """The bill; None if it was not read, or cannot be used."""
    platform = about.get("platform")
    try:
        bill = msgspec.convert(platform.get("bill") if isinstance(platform, dict) else None, Bill)
    except msgspec.ValidationError:
        return None
    amounts = [usd for usd in (bill.usd, bill.before_usd) if usd is not None]
    return bill if 0 <= bill.from_s < bill.to_s < LATEST_S and all(math.isfinite(usd) for usd in amounts) else None
