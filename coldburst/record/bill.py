"""What RunPod's billing API says of an endpoint, in whole hours (GET /v2/billing/serverless).

A record covers an hour of the whole endpoint. How soon RunPod has one is not published. So the same hours are read before and after
a run: the difference is the run's if nobody else used the endpoint, and as far as the records are there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

HOUR_S = 3600
# Workers stop some time after a run; without an idle timeout, RunPod was seen to keep one for 57 s.
STOPS_S = 60.0
# Larger amounts are not believed.
MOST_USD = 1e6


@dataclass(frozen=True, slots=True)
class Bill:
    """What the billing API has of a run.

    Attributes:
        from_s, to_s: the hours, in seconds since 1970.
        before_usd: for these hours before the run; None if it was not read.
        usd: after it; None if it could not be read.
        records: number of the records then; none is no usage, or not there yet.
        read: when, as an ISO time.
        trouble: why it could not be read, "" if it could.
    """

    from_s: int
    to_s: int
    before_usd: float | None = None
    usd: float | None = None
    records: int = 0
    read: str = ""
    trouble: str = ""

    @property
    def run_usd(self) -> float | None:
        """What came to these hours since before the run; None without a record."""
        return None if self.usd is None or not self.records else self.usd - (self.before_usd or 0.0)

    @property
    def hours(self) -> str:
        """In words: ``2026-11-30 13:00 to 14:00 UTC``."""
        start, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (self.from_s, self.to_s))
        return f"{start:%Y-%m-%d %H:%M} to {end:{'%H:%M' if start.date() == end.date() else '%Y-%m-%d %H:%M'}} UTC"

    @property
    def words(self) -> str:
        """What it says, without a full stop."""
        if self.trouble:
            return f"the billing API could not be read ({self.trouble})"
        if not self.records:
            return f"the billing API has no record for {self.hours} yet"
        before = f", {self.before_usd:.4g} of them before the run" if self.before_usd else ""
        return f"the billing API has {self.usd:.4g} USD for {self.hours}{before}"

    def plain(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)

    def query(self, endpoint_id: str) -> str:
        """The path of the request, below the address of REST v2."""
        words = {"serverlessId": endpoint_id, "bucketSize": "hour", "startTime": _text(self.from_s), "endTime": _text(self.to_s)}
        return f"/billing/serverless?{urlencode(words, quote_via=quote)}"

    def answered(self, content: Mapping[str, Any], endpoint_id: str) -> Bill:
        """With what an answer has. Raises ValueError if it is not an answer of this API."""
        found = content.get("records")
        if not isinstance(found, list):
            raise ValueError("an answer without records")
        amounts = [_amount(one) for one in found if not isinstance(one, dict) or one.get("serverlessId", endpoint_id) == endpoint_id]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return replace(self, usd=math.fsum(amounts), records=len(amounts), read=now, trouble="")


def hours(from_s: float, to_s: float) -> Bill:
    """A bill without amounts of the whole hours that hold this time, in seconds since 1970."""
    return Bill(math.floor(from_s / HOUR_S) * HOUR_S, math.ceil(max(to_s, from_s + 1) / HOUR_S) * HOUR_S)


def run_hours(started_s: float, idle_s: float | None) -> Bill:
    """The hours of a run that ends now, until its workers have stopped."""
    return hours(started_s, time.time() + max(idle_s or 0.0, STOPS_S))


def _amount(record: Any) -> float:
    usd = record.get("totalAmount") if isinstance(record, dict) else None
    if not isinstance(usd, int | float) or isinstance(usd, bool) or not 0 <= usd < MOST_USD:
        raise ValueError("a record without a totalAmount in USD")
    return float(usd)


def _text(instant_s: float) -> str:
    return datetime.fromtimestamp(instant_s, UTC).isoformat().replace("+00:00", "Z")
