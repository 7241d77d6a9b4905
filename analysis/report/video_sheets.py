"""The tables of videos: phases with real-time factors, and what a burst would take and cost with more workers."""

from __future__ import annotations

from collections.abc import Iterator

from ..tables.run_tables import Tables
from ..tables.videos import fleets, price_per_s, run_videos
from ..text.number_format import NONE, number, percent, percentile_text, seconds
from ..text.sheet import Sheet


def video_sheets(of: Tables) -> Iterator[Sheet]:
    """The tables, if answers report the phases of videos."""
    found = run_videos(of)
    if found is None:
        return
    rows = tuple(
        (
            phase.name,
            seconds(phase.times.mean),
            *(percentile_text(phase.times.at(p).value, phase.times.n, p) for p in (50, 95)),
            percent(phase.share),
            number(phase.factor, "×"),
        )
        for phase in found.phases
    )
    remark = f"n = {found.n:,} videos answered ok, {number(found.audio_s)} s of video. Real-time factor = seconds of video ÷ seconds of "
    remark += "processing: higher is faster, 1 × is real time. The wait for a worker and cold starts are not part of it."
    yield Sheet("Phases of a video", ("Phase", "Mean", "P50", "P95", "Share", "Real-time factor"), rows, remark)
    yield _fleets(of, found.work_s)


def _fleets(of: Tables, work_s: float) -> Sheet:
    requests = of.ledger.planned
    rows = tuple(
        (
            str(one.workers),
            seconds(one.makespan_s),
            number(one.per_hour),
            NONE if one.usd_per_hour is None else f"${one.usd_per_hour:,.2f}",
            NONE if one.usd_per_video is None else f"${number(one.usd_per_video)}",
        )
        for one in fleets(requests, work_s, price_per_s(of))
    )
    remark = f"A projection, not measured: each worker on a GPU of its own makes a video in {seconds(work_s)}, the mean of both phases. "
    remark += f"Makespan of {requests:,} requests at once = ceil({requests:,} ÷ workers) × that time. Cold starts, idle time and "
    remark += "contention are not included; a price per video does not depend on the number of busy workers."
    head = ("Workers", f"Makespan of {requests:,}", "Videos per hour", "USD per hour", "USD per video")
    return Sheet("Workers and cost of videos", head, rows, remark)
