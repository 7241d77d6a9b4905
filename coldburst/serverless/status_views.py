"""What an endpoint says of itself: RunPod's /health and REST v2's worker list, which do not agree."""

from __future__ import annotations

from typing import Any

from coldburst.serverless.job_queue import JobQueue
from coldburst.serverless.load_balancer import LoadBalancer
from coldburst.serverless.worker_pool import WorkerPool

STATUS = {
    "THROTTLED": "THROTTLED",
    "UNHEALTHY": "UNHEALTHY",
    "READY": "IDLE",
    "CACHED": "IDLE",
    "RUNNING": "RUNNING",
    "DRAINING": "RUNNING",
}
"""Worker states as REST v2 lists them; the rest is INITIALIZING."""


def health(fleet: WorkerPool, book: JobQueue, balancer: LoadBalancer) -> dict[str, dict[str, int]]:
    """The scheduler's gauge, with its peculiarities.

    ``running`` counts workers from when they are wanted on a host, before any container exists, and
    those of the minimum always; ``ready`` counts those whose state FlashBoot keeps, and never the
    minimum's. Source: runpodctl's notes on the backend, and live traces.
    """
    count = fleet.count
    resting = min(count["READY"], max(fleet.serving - fleet.policy.workers_min, 0))
    ready = resting + count["CACHED"]
    workers = {
        "idle": ready,
        "initializing": fleet.starting,
        "ready": ready,
        "running": fleet.starting + fleet.serving - resting + count["DRAINING"],
        "throttled": count["THROTTLED"],
        "unhealthy": count["UNHEALTHY"],
    }
    if fleet.policy.kind == "QUEUE":
        jobs = (book.completed, book.failed, book.working, book.queued, book.retried)
    else:
        jobs = (balancer.answered, balancer.failed, balancer.working, balancer.waiting, 0)
    return {"jobs": dict(zip(("completed", "failed", "inProgress", "inQueue", "retried"), jobs, strict=True)), "workers": workers}


def worker_list(fleet: WorkerPool, now: float) -> list[dict[str, Any]]:
    """The records, and beside them what only the core knows (from ``state`` on). Seconds by the core's clock."""
    return [
        {
            "id": worker.id,
            "status": STATUS.get(worker.state, "INITIALIZING"),
            "isStale": worker.state == "DRAINING",
            "startedAt_s": worker.started_s,
            "uptime_s": 0.0 if worker.started_s is None else now - worker.started_s,
            "gpuTypeId": fleet.policy.gpu,
            "gpuCount": 1,
            "state": worker.state,
            "created_s": worker.created_s,
            "ready_s": worker.ready_s,
            "load": worker.load,
            "reason": worker.reason,
        }
        for worker in fleet.workers.values()
    ]
