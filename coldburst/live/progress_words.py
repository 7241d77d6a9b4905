"""Words of a run's progress, in lines and in tables."""

from __future__ import annotations

from coldburst.live.snapshot import RunSnapshot


def stage_words(now: RunSnapshot, many: int) -> str:
    """The current stage, with its number if there are more than ``many``."""
    return f"{now.stage or 'starting'}{f' ({now.place} of {now.stages})' if now.place and now.stages > many else ''}"


def sent_words(now: RunSnapshot) -> str:
    """Requests sent, and how many are planned if that is known."""
    return f"{now.sent}{'' if now.planned is None else f' of {now.planned}'}"


def achieved_words(now: RunSnapshot, overall: float, last_second: float, last: RunSnapshot | None = None) -> str:
    """Ok answers per second: since ``last`` or of the last full second, or of the whole run when it has ended.

    Args:
        overall, last_second: the rates of these.
    """
    if now.finished:
        return f"{overall:.1f}/s overall"
    if last and now.elapsed_s > last.elapsed_s:
        return f"{(now.ok - last.ok) / (now.elapsed_s - last.elapsed_s):.1f}/s"
    return f"{last_second:.1f}/s"


def cost_words(usd: float, limit_usd: float | None) -> str:
    """The cost so far, and what --max-spend allows."""
    return f"{usd:.2g} USD" if limit_usd is None else f"{usd:.2g} of {limit_usd:g} USD"


def clock(seconds: float) -> str:
    """Seconds, or minutes from two on."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
