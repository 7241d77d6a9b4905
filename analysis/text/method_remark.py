"""The sentence on how percentiles and their intervals were computed."""

from __future__ import annotations

from ..statistics.percentiles import TimeSummary


def method_remark(*samples: TimeSummary) -> str:
    """How the percentiles and intervals of ``samples`` were computed."""
    of = [percentile for times in samples for percentile in times.percentiles]
    shown, bounded = any(one.lower is not None for one in of), any(one.at_least is not None for one in of)
    if not (shown or bounded):
        return "Nearest-rank percentiles."
    alike = any(one.alike for one in of if one.lower is not None)
    basis = "or from blocks of time if successive requests are correlated" if alike else "assuming independent requests"
    two = f" 95 % intervals cover this run only: from order statistics, {basis}." if shown else ""
    one_sided = " Where n is too small for an interval: bounds that hold with 95 %, each by itself (Wilks)." if bounded else ""
    return f"Nearest-rank percentiles.{two}{one_sided}"
