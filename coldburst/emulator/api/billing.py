"""REST v2's billing of serverless endpoints, from the emulator's own bill: records by hour or day, as RunPod has them.

Source of the format: api-reference-v2/openapi.json, ListServerlessBillingResponse. How soon RunPod has a record is not published
(``billing_lag_s``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from coldburst.emulator.api.responses import HttpError
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.serverless.errors import short_repr

BUCKETS_S = {"hour": 3600, "day": 86_400}
# RunPod's default period.
DEFAULT_S = 30 * 86_400
MOST = 10_000


def records(endpoints: Mapping[str, HostedEndpoint], zero_s: float, query: Mapping[str, str]) -> dict[str, Any]:
    """The answer to a query; ``zero_s`` is second 0 of the endpoints' clocks. HttpError 400, 422.

    A bucket without usage has no record.
    """
    size = query.get("bucketSize", "day")
    if size not in BUCKETS_S:
        raise HttpError(422, f"bucketSize {short_repr(size)} is not served by the emulator: use {' or '.join(BUCKETS_S)}")
    bucket_s = BUCKETS_S[size]
    from_s, to_s = _window(query, bucket_s)
    wanted = query.get("serverlessId")
    found = [
        record
        for name, endpoint in endpoints.items()
        if wanted in (None, name)
        for record in _records(endpoint, zero_s, range(from_s, to_s, bucket_s), bucket_s)
    ]
    period = {"startTime": _text(from_s), "endTime": _text(to_s), "bucketSize": size, "serverlessId": wanted}
    ids = {record["serverlessId"] for record in found}
    totals = _amounts(sum(record["totalAmount"] for record in found))
    return {
        "records": found,
        "metadata": {"query": period, "recordCount": len(found), "uniqueServerlessCount": len(ids), "totals": totals},
    }


def _records(endpoint: HostedEndpoint, zero_s: float, buckets: range, bucket_s: int) -> Iterator[dict[str, Any]]:
    now = endpoint.now()
    # A second that has begun is billed whole.
    shown_s = now - endpoint.platform.billing_lag_s + 1.0
    for from_s in buckets:
        usd = endpoint.core.billed_usd(from_s - zero_s, min(from_s + bucket_s - zero_s, shown_s), now)
        if usd > 0:
            yield {"startTime": _text(from_s), "endTime": _text(from_s + bucket_s), "serverlessId": endpoint.name, **_amounts(usd)}


def _amounts(usd: float) -> dict[str, float]:
    return {"totalAmount": usd, "gpuAmount": usd, "cpuAmount": 0.0, "diskAmount": 0.0, "feeAmount": 0.0}


def _window(query: Mapping[str, str], bucket_s: int) -> tuple[int, int]:
    """Start and end in seconds since 1970, at the bounds of buckets."""
    now = time.time()
    if "lastN" in query:
        if "startTime" in query or "endTime" in query:
            raise HttpError(400, "lastN excludes startTime and endTime: give one or the other")
        number = query["lastN"]
        if not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= MOST):
            raise HttpError(422, f"lastN {short_repr(number)} is not a whole number from 1 to {MOST}")
        end_s = _ceil(now, bucket_s)
        return end_s - int(number) * bucket_s, end_s
    from_s, to_s = _instant(query, "startTime", now - DEFAULT_S), _instant(query, "endTime", now)
    window = math.floor(from_s / bucket_s) * bucket_s, _ceil(to_s, bucket_s)
    if not 0 < window[1] - window[0] <= MOST * bucket_s:
        raise HttpError(422, f"startTime must be before endTime, and the period at most {MOST} buckets")
    return window


def _instant(query: Mapping[str, str], name: str, default_s: float) -> float:
    text = query.get(name)
    if text is None:
        return default_s
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise HttpError(422, f"{name} {short_repr(text)} is not a time: write it as in 2026-06-01T00:00:00Z") from None


def _ceil(instant_s: float, bucket_s: int) -> int:
    return math.ceil(instant_s / bucket_s) * bucket_s


def _text(instant_s: float) -> str:
    return datetime.fromtimestamp(instant_s, UTC).isoformat().replace("+00:00", "Z")
