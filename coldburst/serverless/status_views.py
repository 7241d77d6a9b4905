"""Views of an endpoint's state: RunPod's /health and REST v2's worker list, which do not agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coldburst.serverless.worker_pool import WorkerPool

STATUS = {
    "THROTTLED": "THROTTLED",
    "UNHEALTHY": "UNHEALTHY",
    "READY": "IDLE",
    "CACHED": "IDLE",
    "RUNNING": "RUNNING",
    "DRAINING": "RUNNING",
}
"""REST v2's names of worker states; others are INITIALIZING."""


def health(pool: WorkerPool, jobs: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """RunPod's /health, with the platform's peculiarities; ``jobs``: counts of the queue or the balancer.

    ``running`` counts workers from when they are wanted, before a container exists, and always those of the minimum. ``ready``
    counts cached workers, and never those of the minimum. Source: runpodctl's notes on the backend, and live traces.
    """
    count = pool.count
    resting = min(len(pool.idle), max(pool.serving - pool.policy.workers_min, 0))
    ready = resting + count["CACHED"]
    workers = {
        "idle": ready,
        "initializing": pool.starting,
        "ready": ready,
        "running": pool.starting + pool.serving - resting + count["DRAINING"],
        "throttled": count["THROTTLED"],
        "unhealthy": count["UNHEALTHY"],
    }
    return {"jobs": dict(jobs), "workers": workers}


def worker_list(pool: WorkerPool, now: float) -> list[dict[str, Any]]:
    """REST v2's records, and the model's own values from ``state`` on; seconds of the model's clock."""
    return [
        {
            "id": worker.id,
            "status": STATUS.get(worker.state, "INITIALIZING"),
            "isStale": worker.state == "DRAINING",
            # A worker that FlashBoot keeps has no container.
            "startedAt_s": None if worker.state in ("CACHED", "PULLING") else worker.started_s,
            "uptime_s": 0.0 if worker.started_s is None else now - worker.started_s,
            "gpuTypeId": pool.policy.gpu,
            "gpuCount": 1,
            "state": worker.state,
            "created_s": worker.created_s,
            "ready_s": worker.ready_s,
            "load": worker.load,
            "reason": worker.reason,
        }
        for worker in pool.workers.values()
    ]
