"""The table of videos by setting: the measured speed-up beside the projection n × 1, contention, and real-time factors."""

from __future__ import annotations

from ..sweep.ratios import workers_that_fit
from ..sweep.setting_videos import SettingVideos, recommended_workers, setting_videos
from ..sweep.sweep_result import SweepResult
from ..text.number_format import number, percent
from ..text.sheet import Sheet

HEAD = ("Setting", "Videos per hour", "Projection", "Speed-up", "Projection", "Contention", "Slow-down", "Speech", "Pictures")


def video_sheet(of: SweepResult) -> Sheet:
    """The table; without rows if no setting has videos."""
    made = {cell.name: found for cell in of.deciding if (found := setting_videos(of, cell))}
    base = of.baseline
    if base is None or base.name not in made:
        return Sheet("", (), ())
    remark = f"Projection: workers × {base.name}, as if nothing were shared. Speed-up = throughput ÷ that of {base.name}. "
    remark += "Contention = 1 − speed-up ÷ workers. Slow-down = (workers ÷ speed-up − 1) ÷ (workers − 1): how much longer a video takes "
    remark += (
        "for each further worker. Speech and pictures: real-time factors, seconds of video ÷ seconds of processing (higher is faster)."
    )
    return Sheet("Videos", HEAD, tuple(_row(name, found) for name, found in made.items()), remark + _recommended(of))


def _row(name: str, found: SettingVideos) -> tuple[str, ...]:
    return (
        name,
        number(found.per_hour),
        number(found.projected_per_hour),
        number(found.speed_up, "×"),
        number(found.projected, "×"),
        percent(found.contention),
        percent(found.slow_down),
        number(found.speech, "×"),
        number(found.pictures, "×"),
    )


def _recommended(of: SweepResult) -> str:
    """The recommendation; "" without a card."""
    card = of.settings.card
    if card is None or not of.settings.by_workers:
        return ""
    fit, good = workers_that_fit(card), recommended_workers(of)
    if good is None:
        return f" Recommendation: none of the numbers measured is worth it and fits ({fit} fit)."
    return (
        f" Recommendation: {good} worker{'s' if good != 1 else ''} per card, the largest number measured that meets the "
        f"{of.settings.worth:g} rule and fits ({fit} fit into {percent(card.headroom)} of {number(card.vram_gb)} GB)."
    )
