"""Videos: the phases of the work with their real-time factors, and what more workers would need for the same burst."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from coldburst.record.prices import PriceError

from ..runs.csv_columns import floats
from ..statistics.percentiles import TimeSummary, time_summary
from .price import worker_price
from .run_tables import Tables, cached_table

# The numbers of workers that the text-to-video system plans with.
WORKERS = (1, 5, 20)


@dataclass(frozen=True)
class Phase:
    """One phase of making a video.

    Attributes:
        name: speech, pictures, or both.
        times: of the videos answered ok, in seconds.
        share: of the time of both phases.
        factor: real-time factor: seconds of video ÷ seconds of processing (×, higher is faster).
    """

    name: str
    times: TimeSummary
    share: float
    factor: float | None


@dataclass(frozen=True)
class Videos:
    """The n videos answered ok whose phases are known; ``audio_s``: their length altogether; ``work_s``: mean of both phases."""

    n: int
    audio_s: float
    work_s: float
    phases: tuple[Phase, ...]


@dataclass(frozen=True)
class Fleet:
    """A burst on a number of workers, each on a GPU of its own: a projection from the mean work of a video.

    Attributes:
        makespan_s: ceil(requests ÷ workers) × work.
        per_hour: videos per hour, 3600 × workers ÷ work.
        usd_per_hour, usd_per_video: None without a price.
    """

    workers: int
    makespan_s: float
    per_hour: float
    usd_per_hour: float | None
    usd_per_video: float | None


def videos(rows: pd.DataFrame) -> Videos | None:
    """The Videos of ``rows`` (requests); None if no ok row has both phases."""
    ok = rows.loc[(rows["outcome"] == "ok") & rows["tts_s"].notna() & rows["video_s"].notna(), ["tts_s", "video_s", "audio_s"]]
    if ok.empty:
        return None
    speech, pictures, audio_s = floats(ok["tts_s"]), floats(ok["video_s"]), float(ok["audio_s"].sum())
    work = speech + pictures
    whole = float(work.sum())
    found = tuple(
        Phase(
            name,
            time_summary(times, len(ok)),
            1.0 if times is work else float(times.sum()) / whole if whole else 0.0,
            audio_s / float(times.sum()) if times.sum() else None,
        )
        for name, times in (("speech", speech), ("pictures", pictures), ("both", work))
    )
    return Videos(len(ok), audio_s, whole / len(ok), found)


@cached_table
def run_videos(of: Tables) -> Videos | None:
    """The Videos of a run."""
    return videos(of.requests)


def fleets(requests: int, work_s: float, usd_per_s: float | None) -> list[Fleet]:
    """A burst of ``requests`` on each of WORKERS; ``usd_per_s``: the price of one worker."""
    return [
        Fleet(
            n,
            math.ceil(requests / n) * work_s,
            3600 * n / work_s,
            None if usd_per_s is None else usd_per_s * n * 3600,
            None if usd_per_s is None else usd_per_s * work_s,
        )
        for n in WORKERS
    ]


def price_per_s(of: Tables) -> float | None:
    """The price of a worker in USD per second; None without one."""
    try:
        price = worker_price(of.run.about)
    except PriceError:
        return None
    return None if price is None else price.usd_per_s
