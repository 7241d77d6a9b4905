"""Cancels jobs whose results nobody wants any more, as fast as RunPod's rate limit allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import gevent

from coldburst.targets.exchange import Exchange
from coldburst.targets.rate_limiter import RateLimit, RateLimiter

# Requests per 10 s and open at a time that RunPod allows to /cancel (documented).
CANCELS = (100, 20)
CANCEL_S = 5.0

# Sends the request that cancels a job.
Cancel = Callable[[str], Exchange]


def cancel_jobs(cancel: Cancel, job_ids: Iterable[str], share: float, within_s: float) -> list[str]:
    """Cancels them, the last ones first; those that may still run after ``within_s``.

    Args:
        share: part of the rate limit that this process uses.
    """
    left = dict.fromkeys(job_ids)
    # Half of the limit at once and half during the five seconds: its window has ten.
    limiter = RateLimiter(RateLimit(*CANCELS, share=share), burst=CANCELS[0] * share / 2)
    waiting = list(left)[::-1]
    lanes = [gevent.spawn(_lane, cancel, waiting, left, limiter) for _ in range(min(limiter.places, len(left)))]
    gevent.joinall(lanes, timeout=within_s)
    gevent.killall(lanes)
    return list(left)


def _lane(cancel: Cancel, waiting: list[str], left: dict[str, None], limiter: RateLimiter) -> None:
    while waiting and (turn := limiter.enter(CANCEL_S)):
        if not waiting:
            # Another lane took the last one while this one waited for its turn.
            limiter.leave()
            return
        job_id = waiting.pop()
        exchange = cancel(job_id)
        limiter.leave()
        limiter.hear(turn, exchange.headers)
        if exchange.status == 429:
            limiter.slow(exchange.sent or 0.0)
            waiting.append(job_id)
        elif exchange.status in (200, 404):
            left.pop(job_id)
