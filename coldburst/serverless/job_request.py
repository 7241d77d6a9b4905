"""The body of a client's request, checked and made into a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coldburst.serverless.errors import RequestRefusedError, short_repr
from coldburst.serverless.job import Job
from coldburst.serverless.platform_parameters import Platform


def job_from_request(job_id: str, body: Mapping[str, Any], now: float, *, sync: bool, platform: Platform) -> Job:
    """A new job from a request's body.

    Raises:
        RequestRefusedError: no ``input``, or a ``policy`` outside its bounds.
    """
    if "input" not in body or body["input"] is None:
        raise RequestRefusedError('the body has no "input": send {"input": {...}}')
    policy = body.get("policy")
    if policy is None:
        return Job(job_id, sync, body, "IN_QUEUE", now, now, platform.ttl_s)
    if not isinstance(policy, Mapping):
        raise RequestRefusedError(f'"policy" is {short_repr(policy)}: send an object such as {{"executionTimeout": 60000}}')
    ttl_s = _limit_s(policy, "ttl", platform.ttl_min_s, platform.policy_max_s)
    return Job(
        job_id,
        sync,
        body,
        "IN_QUEUE",
        now,
        now,
        platform.ttl_s if ttl_s is None else ttl_s,
        low_priority=policy.get("lowPriority") is True,
        own_execution_timeout_s=_limit_s(policy, "executionTimeout", platform.execution_timeout_min_s, platform.policy_max_s),
    )


def _limit_s(policy: Mapping[str, Any], key: str, least_s: float, most_s: float) -> float | None:
    value = policy.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least_s * 1000 <= value <= most_s * 1000:
        raise RequestRefusedError(
            f'"policy.{key}" is {short_repr(value)}: give milliseconds from {least_s * 1000:.0f} to {most_s * 1000:.0f}'
        )
    return value / 1000
