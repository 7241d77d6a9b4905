"""What the service says of itself: /health with RunPod's counts, and /metrics for Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from coldburst.video import job as states
from coldburst.video.api.resources import GB, ResourceMeter
from coldburst.video.generator import VideoGenerator

HELP = {
    "cpu": "CPU of the service and its workers, in cores",
    "rss_bytes": "resident memory of the service and its workers",
    "gpu_memory_bytes": "GPU memory in use: from NVML, or modelled",
    "gpu_utilisation": "share of the time in which the GPU worked (NVML)",
}


class ServiceStatus:
    """The state of a generator and its resources."""

    def __init__(self, generator: VideoGenerator) -> None:
        self._generator, self._meter = generator, ResourceMeter()

    @property
    def ready(self) -> bool:
        """Whether the models are loaded, or load at the first job."""
        return self._generator.loaded

    def resources(self) -> dict[str, Any]:
        """CPU, memory, and the GPU's: measured, or without a card the modelled memory."""
        return {"gpu_memory_bytes": round(self._generator.card.used_gb * GB)} | self._meter.measure()

    def health(self) -> dict[str, Any]:
        """``jobs`` and ``workers`` as RunPod's /health has them, so that a load test reads both the same way."""
        generator, options, counts = self._generator, self._generator.options, self._generator.counts
        slots, busy = options.slots, generator.busy
        idle = max(slots - busy, 0) if self.ready else 0
        failed = sum(counts[name] for name in (states.FAILED, states.CANCELLED, states.EXPIRED))
        return {
            "status": "healthy" if self.ready else "loading",
            "worker_id": options.worker_id,
            "engine": options.engine,
            "gpu": self._meter.gpu or "modelled",
            "jobs": {
                "inQueue": generator.waiting,
                "inProgress": busy,
                "completed": counts[states.DONE],
                "failed": failed,
                "retried": counts["rerun"],
            },
            "workers": {
                "idle": idle,
                "initializing": 0 if self.ready else slots,
                "ready": slots if self.ready else 0,
                "running": min(busy, slots),
                "throttled": 0,
                "unhealthy": 0,
            },
            **generator.statistics(),
            "resources": self.resources(),
        }

    def metrics(self) -> bytes:
        """The same for Prometheus."""
        registry, generator = CollectorRegistry(), self._generator
        jobs = Gauge("coldburst_video_jobs", "jobs by state", ["state"], registry=registry)
        for state, count in {"waiting": generator.waiting, "running": generator.busy, **_ended(generator)}.items():
            jobs.labels(state).set(count)
        loads = Gauge("coldburst_video_model_loads", "how often each model was loaded", ["model"], registry=registry)
        for model, count in generator.card.loads.items():
            loads.labels(model).set(count)
        kills = "processes killed because a model did not fit into the GPU memory"
        Gauge("coldburst_video_memory_kills", kills, registry=registry).set(generator.card.kills)
        for name, value in self.resources().items():
            Gauge(f"coldburst_video_{name}", HELP[name], registry=registry).set(value)
        return generate_latest(registry)


def _ended(generator: VideoGenerator) -> dict[str, int]:
    return {state: generator.counts[state] for state in (*states.ENDED, "refused", "rerun")}
