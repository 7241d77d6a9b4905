"""The sentence on how percentiles and their intervals were computed."""

from __future__ import annotations

from ..statistics.percentiles import TimeSummary


def method_remark(*samples: TimeSummary) -> str:
    """How the percentiles and intervals of ``samples`` were computed."""
    alike = any(percentile.alike for times in samples for percentile in times.percentiles)
    basis = "or from blocks of time if successive requests are correlated" if alike else "assuming independent requests"
    return f"Nearest-rank percentiles. 95 % intervals cover this run only: from order statistics, {basis}."
