"""The meter of a run's spending: hand-worked containers, and the emulator's own bill over whole runs in virtual time."""

from datetime import UTC, datetime

import pytest

from coldburst.randomness import stream
from coldburst.serverless.endpoint import Endpoint
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.policy import Policy
from coldburst.serverless.simulation.driver import Simulation
from coldburst.serverless.simulation.modelled_worker import ModelledWorker
from coldburst.targets import worker_spans
from coldburst.targets.spend_meter import SpendMeter, billed_s
from coldburst.targets.worker_spans import WorkerSpan, WorkerSpans

PRICE = 0.00031
EPOCH = 1_800_000_000.0


def span(start_s, seen_s, gone_s=None, gpu="A", gpus=1):
    return WorkerSpan("w", gpu, gpus, start_s, seen_s, gone_s=gone_s)


@pytest.mark.parametrize(
    ("container", "now_s", "seconds"),
    [
        (span(10.0, 20.0), 20.0, 10),
        (span(10.0, 20.0), 20.2, 11),  # each container's last second is rounded up
        (span(10.0, 20.0, 22.0), 90.0, 11),  # it stopped between two looks: in their middle
        (span(-30.0, 20.0), 20.0, 20),  # from second 0 only
        (span(-30.5, 0.5), 0.5, 0),  # a second that began before the run was billed before it
        (span(5.0, 5.0), 5.0, 0),
    ],
)
def test_a_container_is_billed_for_whole_seconds_within_the_run(container, now_s, seconds):
    assert billed_s(container, now_s) == seconds


def test_each_worker_has_the_price_of_its_gpus():
    spans = WorkerSpans()
    listed = [
        {"id": "w1", "status": "RUNNING", "startedAt": "a", "uptimeSeconds": 0, "gpuTypeId": "A", "gpuCount": 1},
        {"id": "w2", "status": "INITIALIZING", "startedAt": "b", "uptimeSeconds": 0, "gpuTypeId": "B", "gpuCount": 2},
        {"id": "w3", "status": "IDLE", "startedAt": None, "gpuTypeId": "A", "gpuCount": 1},
        {"id": "w4", "status": "THROTTLED", "startedAt": "d", "gpuTypeId": "A", "gpuCount": 1},
    ]
    spans.see(listed, 0.5)
    meter = SpendMeter(spans, 2.0, lambda gpu, gpus: {"A": 1.0, "B": 10.0}[gpu] * gpus, lambda: 10.0)
    # A worker that FlashBoot keeps, and one that waits for a host, have no container.
    assert meter.usd == 10 * 1.0 + 10 * 20.0
    assert meter.prices == {"1 x A": 1.0, "2 x B": 20.0}
    assert meter.blind_s == 9.5


class Metered:
    """An endpoint in virtual time under Poisson traffic, and a meter that looks at its worker list every two seconds."""

    def __init__(self, monkeypatch, seed, **policy):
        self.now = 0.0
        monkeypatch.setattr(worker_spans, "time", self)
        self.endpoint = Endpoint(Policy(**policy), Platform(), now=0.0, seed=seed, price_per_s=PRICE)
        self._simulation = Simulation(self.endpoint, lambda name: self._worker(name, seed))
        self._rng, self.spans = stream(seed, "arrivals"), WorkerSpans()
        self.meter = SpendMeter(self.spans, 2.0, lambda *_: PRICE, lambda: self.now)

    def time(self):
        return EPOCH + self.now

    def run(self, end_s, rate):
        """Jobs at ``rate`` for ``end_s`` seconds; then until every worker beyond the minimum has stopped."""
        due_s, look_s = self._rng.expovariate(rate), 0.0
        while self.now < end_s + 120.0:
            wake_s = self._simulation.wake_s()
            self.now = min(due_s, look_s, self.now + 1.0 if wake_s is None else wake_s)
            self._simulation.pump(self.now)
            if self.now >= due_s:
                self.endpoint.submit({"input": {"n": 1}}, self.now)
                due_s = self.now + self._rng.expovariate(rate) if self.now < end_s else 1e9
            if self.now >= look_s:
                self.spans.see([self._listed(worker) for worker in self.endpoint.workers(self.now)], self.now)
                look_s += 2.0

    def _worker(self, name, seed):
        return ModelledWorker(name, load_s=20.0, service=lambda _, rng: rng.expovariate(1 / 6.0), rng=stream(seed, name))

    def _listed(self, worker):
        """As REST v2 lists it, by the platform's clock."""
        started_s = worker["startedAt_s"]
        stamp = None if started_s is None else datetime.fromtimestamp(EPOCH + started_s, UTC).isoformat(timespec="milliseconds")
        return {**worker, "startedAt": stamp, "uptimeSeconds": int(worker["uptime_s"])}


@pytest.mark.parametrize(
    "policy",
    [
        {"workers_max": 3},
        {"workers_max": 3, "workers_min": 1, "idle_timeout_s": 20.0},
        {"workers_max": 5, "scaler": "REQUEST_COUNT", "scaler_value": 2},
        {"workers_max": 3, "flashboot": True},
    ],
    ids=["queue delay", "minimum", "request count", "flashboot"],
)
def test_the_meter_agrees_with_the_platforms_bill(monkeypatch, policy):
    """Half an hour of traffic with idle times between the jobs, so that workers come and go."""
    metered = Metered(monkeypatch, 7, **policy)
    metered.run(1800.0, 0.08)
    bill = metered.endpoint.bill(metered.now)
    assert bill.usd > 0.2
    assert len(metered.spans.all()) >= 10
    assert metered.meter.usd == pytest.approx(bill.usd, rel=0.02)
