"""The load balancer: holds requests until a worker has room, forwards them, and cuts those that take too long. It never retries."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from coldburst.serverless.actions import Action, Cut, Forward, GiveUp
from coldburst.serverless.errors import RequestRefusedError
from coldburst.serverless.line import Load
from coldburst.serverless.timers import Timer, Timers
from coldburst.serverless.worker_pool import Worker, WorkerPool
from coldburst.serverless.worker_states import SERVING

MODES = ("strict", "strict-resume")
# Entries of the workers with room that are kept before those out of date are removed.
LEAST_ENTRIES = 64


@dataclass(slots=True, eq=False)
class BalancedRequest:
    """One request; ``mode`` is "", "soft" or one of MODES, and ``worker_id`` is "" while it is held."""

    id: str
    arrived_s: float
    mode: str
    wanted_worker_id: str
    worker_id: str = ""
    timer: Timer | None = None


def parse_affinity(header: str) -> tuple[str, str]:
    """(mode, worker id) of the header X-Runpod-Worker-Id: "", "<id>", "strict <id>" or "strict-resume <id>"."""
    words = header.split()
    if not words:
        return "", ""
    return (words[0], words[1]) if len(words) == 2 and words[0] in MODES else ("soft", words[-1])


class LoadBalancer:
    """Forwards requests to workers with room, in order of arrival; ``failed`` counts those given up or cut."""

    def __init__(self, pool: WorkerPool, timers: Timers, emit: Callable[[Action], None]) -> None:
        self._pool, self._timers, self._emit = pool, timers, emit
        self._platform = pool.platform
        # (rank, number, worker) of those with room, the next one first; entries that are out of date are dropped when they come up.
        self._roomy: list[tuple[tuple[int, int], int, Worker]] = []
        self._cap = self._cap_now()
        self._held: OrderedDict[str, BalancedRequest] = OrderedDict()
        self._bound: dict[str, OrderedDict[str, BalancedRequest]] = {}
        self._bound_count = 0
        self._in_flight: dict[str, BalancedRequest] = {}
        self._turn = 0
        self.answered = self.failed = 0

    @property
    def waiting(self) -> int:
        """Held requests."""
        return len(self._held) + self._bound_count

    @property
    def working(self) -> int:
        """Requests at workers."""
        return len(self._in_flight)

    def counts(self) -> dict[str, int]:
        """The counts of RunPod's /health."""
        return {
            "completed": self.answered,
            "failed": self.failed,
            "inProgress": self.working,
            "inQueue": self.waiting,
            "retried": 0,
        }

    def load(self) -> Load:
        """See Line."""
        return Load(self.waiting, len(self._in_flight))

    def oldest_s(self) -> float | None:
        """When the first held request without strict affinity arrived."""
        return next(iter(self._held.values())).arrived_s if self._held else None

    def arrive(self, request_id: str, now: float, affinity: str) -> None:
        """Forward a request, or hold it; RequestRefusedError where its id is in use."""
        known = request_id in self._in_flight or request_id in self._held
        if known or (self._bound_count and any(request_id in bound for bound in self._bound.values())):
            raise RequestRefusedError(f"request {request_id!r} already exists: give each one its own id")
        mode, wanted = parse_affinity(affinity) if affinity else ("", "")
        request = BalancedRequest(request_id, now, mode, wanted)
        if request.mode in MODES:
            self._arrive_with_affinity(request, now)
            return
        if worker := self._choose(request):
            self._forward(request, worker, now)
            return
        self._held[request.id] = request
        request.timer = self._timers.at(now + self._platform.hold_s, self._hold_expired, request)

    def _arrive_with_affinity(self, request: BalancedRequest, now: float) -> None:
        worker = self._pool.workers.get(request.wanted_worker_id)
        if worker is not None and worker.state == "CACHED" and request.mode == "strict-resume":
            if self._pool.wanted < self._pool.limit:
                self._pool.wake(worker, now)
        elif worker is None or worker.state in ("CACHED", "DRAINING"):
            self.failed += 1
            self._emit(GiveUp(request.id, 404, "affinity_worker_gone"))
            return
        if self._has_room(worker):
            self._forward(request, worker, now)
            return
        self._bound.setdefault(worker.id, OrderedDict())[request.id] = request
        self._bound_count += 1
        request.timer = self._timers.at(now + self._platform.strict_hold_s, self._hold_expired, request)

    def left(self, request_id: str, now: float) -> None:
        """A request was answered, or its client disconnected; unknown ids are ignored."""
        if request := self._in_flight.pop(request_id, None):
            self.answered += 1
            self._release(request, now)
            return
        held = self._held.get(request_id) or next((bound[request_id] for bound in self._bound.values() if request_id in bound), None)
        if held is not None:
            self._stop_holding(held)

    def fill(self, now: float) -> None:
        """Forward held requests to workers with room, the oldest first."""
        if not self._held and not self._bound_count:
            return
        while self._held and not self._bound_count:
            if (next_one := self._first_with_room()) is None:
                return
            oldest = next(iter(self._held.values()))
            self._stop_holding(oldest)
            self._forward(oldest, next_one, now)
        if not self.waiting:
            return
        while candidates := [worker for worker in self._with_room() if self._held or worker.id in self._bound]:
            worker = min(candidates, key=self._rank)
            if (request := self._next_for(worker)) is not None:
                self._stop_holding(request)
                self._forward(request, worker, now)

    def worker_lost(self, worker: Worker) -> None:
        """Answer an ended worker's requests with 502, and those bound to it with 404."""
        for request in [request for request in self._in_flight.values() if request.worker_id == worker.id]:
            del self._in_flight[request.id]
            self._timers.cancel(request.timer)
            self._give_up(request, 502, "the worker ended")
        self.release_bound_requests(worker)

    def release_bound_requests(self, worker: Worker) -> None:
        """Give up the requests that wait for this worker alone."""
        for request in list(self._bound.get(worker.id, {}).values()):
            self._stop_holding(request)
            self._give_up(request, 404, "affinity_worker_gone")

    def read_settings(self) -> None:
        """Rank the workers anew: the operator has changed the settings."""
        self._cap = self._cap_now()
        self._roomy = []
        for worker in self._pool.workers.values():
            self.note_room(worker)

    def note_room(self, worker: Worker) -> None:
        """The worker's state or load has changed."""
        if worker.state in SERVING and worker.load < self._cap:
            heapq.heappush(self._roomy, (self._rank(worker), worker.number, worker))
            if len(self._roomy) > LEAST_ENTRIES and len(self._roomy) > 4 * len(self._pool.workers):
                self._roomy = [(self._rank(one), one.number, one) for one in self._with_room()]
                heapq.heapify(self._roomy)

    def _first_with_room(self) -> Worker | None:
        roomy = self._roomy
        while roomy:
            rank, _, worker = roomy[0]
            if worker.state in SERVING and worker.load < self._cap and rank == self._rank(worker):
                return worker
            heapq.heappop(roomy)
        return None

    def _cap_now(self) -> int:
        per_worker = self._platform.per_worker
        return int(self._pool.policy.scaler_value) if per_worker is None else per_worker

    def _has_room(self, worker: Worker) -> bool:
        return worker.state in SERVING and worker.load < self._cap

    def _choose(self, request: BalancedRequest) -> Worker | None:
        """The worker named by the request if it has room, else the first by rank."""
        named = self._pool.workers.get(request.wanted_worker_id) if request.wanted_worker_id else None
        if named is not None and self._has_room(named):
            return named
        return self._first_with_room()

    def _with_room(self) -> list[Worker]:
        return [worker for worker in self._pool.in_state(*SERVING) if self._has_room(worker)]

    def _rank(self, worker: Worker) -> tuple[int, int]:
        """The worker with the lowest is next; the first of equals, which is the oldest."""
        choose = self._platform.choose
        if choose == "fill_first":
            return 0, 0
        return (0 if choose == "round_robin" else worker.load), worker.turn

    def _next_for(self, worker: Worker) -> BalancedRequest | None:
        first = [next(iter(line.values())) for line in (self._held, self._bound.get(worker.id)) if line]
        return min(first, key=lambda request: request.arrived_s) if first else None

    def _forward(self, request: BalancedRequest, worker: Worker, now: float) -> None:
        ready_s = now if worker.ready_s is None else worker.ready_s
        first = self._pool.occupy(worker, 1, now)
        self._turn += 1
        worker.turn = self._turn
        if self._platform.choose != "fill_first":
            self.note_room(worker)
        request.worker_id = worker.id
        request.timer = self._timers.at(now + self._platform.processing_s, self._cut, request)
        self._in_flight[request.id] = request
        cold = (first or now == ready_s) and request.arrived_s < ready_s
        self._emit(Forward(request.id, worker.id, cold, now - request.arrived_s))

    def _hold_expired(self, request: BalancedRequest, now: float) -> None:
        self._stop_holding(request)
        self._give_up(request, 400, "worker_timeout" if request.mode in MODES else "timed out waiting for worker")

    def _cut(self, request: BalancedRequest, now: float) -> None:
        del self._in_flight[request.id]
        self.failed += 1
        self._emit(Cut(request.id, request.worker_id))
        self._release(request, now)

    def _give_up(self, request: BalancedRequest, status: int, reason: str) -> None:
        self.failed += 1
        self._emit(GiveUp(request.id, status, reason))

    def _stop_holding(self, request: BalancedRequest) -> None:
        self._timers.cancel(request.timer)
        if self._held.pop(request.id, None) is None:
            bound = self._bound[request.wanted_worker_id]
            del bound[request.id]
            self._bound_count -= 1
            if not bound:
                del self._bound[request.wanted_worker_id]

    def _release(self, request: BalancedRequest, now: float) -> None:
        self._timers.cancel(request.timer)
        slot_s = self._platform.slot_s
        if slot_s:
            self._timers.at(now + slot_s, self._vacate, request.worker_id)
        else:
            self._vacate(request.worker_id, now)

    def _vacate(self, worker_id: str, now: float) -> None:
        worker = self._pool.vacate(worker_id, now)
        if worker is not None and (self._platform.choose != "fill_first" or worker.load == self._cap - 1):
            self.note_room(worker)
