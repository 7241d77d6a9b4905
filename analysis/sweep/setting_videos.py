"""Videos of a setting beside the projection n × 1, and the number of workers to recommend."""

from __future__ import annotations

from dataclasses import dataclass

from ..tables.videos import videos
from . import ratios
from .setting_result import SettingResult
from .sweep_result import SweepResult


@dataclass(frozen=True)
class SettingVideos:
    """What a setting made; None = not known.

    Attributes:
        per_hour: videos per hour, measured.
        projected_per_hour: workers × the baseline's, as if nothing were shared.
        speed_up, projected: throughput ÷ that of the baseline, measured and projected.
        contention: 1 − speed-up ÷ projected.
        slow_down: (projected ÷ speed-up − 1) ÷ (projected − 1): how much longer a video takes for each further worker.
        speech, pictures: real-time factors, seconds of video ÷ seconds of processing.
        usd_per_video: None without a price.
    """

    per_hour: float
    projected_per_hour: float | None
    speed_up: float | None
    projected: float | None
    contention: float | None
    slow_down: float | None
    speech: float | None
    pictures: float | None
    usd_per_video: float | None


def setting_videos(of: SweepResult, cell: SettingResult) -> SettingVideos | None:
    """The videos of a setting that decides; None without any, or without a baseline."""
    base, found = of.baseline, videos(cell.requests)
    if base is None or found is None or cell.name not in of.relative:
        return None
    to = of.relative[cell.name]
    times, share = to.multiplier.value, to.share
    return SettingVideos(
        per_hour=(cell.throughput.value or 0.0) * 3600,
        projected_per_hour=None if share is None else (base.throughput.value or 0.0) * share * 3600,
        speed_up=times,
        projected=share,
        contention=None if times is None or share is None else ratios.contention(times, share),
        slow_down=None if not times or not share or share <= 1 else (share / times - 1) / (share - 1),
        speech=found.phases[0].factor,
        pictures=found.phases[1].factor,
        usd_per_video=None if cell.usd_per_1000 is None else cell.usd_per_1000 / 1000,
    )


def recommended_workers(of: SweepResult) -> int | None:
    """The largest number of workers measured that is worth it and fits on the card; None if there is none, or no card."""
    card = of.settings.card
    if card is None or not of.settings.by_workers:
        return None
    fit = ratios.workers_that_fit(card)
    worth = [cell.size for cell in of.deciding if cell.size and cell.name not in of.unfit and of.relative[cell.name].worth]
    found = max((size for size in worth if size <= fit), default=None)
    return None if found is None else round(found)
