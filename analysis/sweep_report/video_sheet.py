"""The table of videos by setting: the measured speed-up beside the projection n × 1, contention, and real-time factors."""

from __future__ import annotations

from ..sweep import ratios
from ..sweep.ratios import workers_that_fit
from ..sweep.setting_result import SettingResult
from ..sweep.sweep_result import SweepResult
from ..tables.videos import videos
from ..text.number_format import NONE, number, percent
from ..text.sheet import Sheet


def video_sheet(of: SweepResult) -> Sheet:
    """The table; without rows if no setting has videos."""
    base = of.baseline
    made = [cell for cell in of.deciding if videos(cell.requests) is not None]
    if base is None or base not in made:
        return Sheet("", (), ())
    rows = tuple(_row(of, cell, base) for cell in made)
    head = ("Setting", "Videos per hour", "Projection", "Speed-up", "Projection", "Contention", "Slow-down", "Speech", "Pictures")
    remark = f"Projection: workers × {base.name}, as if nothing were shared. Speed-up = throughput ÷ that of {base.name}. "
    remark += "Contention = 1 − speed-up ÷ workers. Slow-down = (workers ÷ speed-up − 1) ÷ (workers − 1): how much longer a video takes "
    remark += (
        "for each further worker. Speech and pictures: real-time factors, seconds of video ÷ seconds of processing (higher is faster)."
    )
    remark += _recommended(of)
    return Sheet("Videos", head, rows, remark)


def _row(of: SweepResult, cell: SettingResult, base: SettingResult) -> tuple[str, ...]:
    to, found, per_s = of.relative[cell.name], videos(cell.requests), base.throughput.value or 0.0
    assert found is not None
    times, share = to.multiplier.value, to.share
    slower = None if not times or not share or share <= 1 else (share / times - 1) / (share - 1)
    speech, pictures = (number(phase.factor, "×") for phase in found.phases[:2])
    return (
        cell.name,
        number((cell.throughput.value or 0.0) * 3600),
        NONE if share is None else number(per_s * share * 3600),
        number(times, "×"),
        NONE if share is None else number(share, "×"),
        NONE if times is None or share is None else percent(ratios.contention(times, share)),
        NONE if slower is None else percent(slower),
        speech,
        pictures,
    )


def _recommended(of: SweepResult) -> str:
    """The largest number of workers that is worth it and fits on the card."""
    card = of.settings.card
    if card is None or not of.settings.by_workers:
        return ""
    fit = workers_that_fit(card)
    worth = [cell.size for cell in of.deciding if cell.size and cell.name not in of.unfit and of.relative[cell.name].worth]
    good = max((size for size in worth if size <= fit), default=None)
    if good is None:
        return f" Recommendation: none of the numbers measured is worth it and fits ({fit} fit)."
    return (
        f" Recommendation: {good:g} worker{'s' if good != 1 else ''} per card, the largest number measured that meets the "
        f"{of.settings.worth:g} rule and fits ({fit} fit into {percent(card.headroom)} of {number(card.vram_gb)} GB)."
    )
