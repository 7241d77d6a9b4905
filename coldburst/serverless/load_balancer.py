"""The load balancer: holds requests until a worker has room, assigns them, cuts the ones that take too long. No queue API, no retry."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from coldburst.serverless.actions import Action, Cut, Forward, GiveUp
from coldburst.serverless.job import Refused
from coldburst.serverless.timers import Timer, Timers
from coldburst.serverless.worker_pool import SERVING, Worker, WorkerPool

MODES = ("strict", "strict-resume")


@dataclass(slots=True, eq=False)
class Request:
    """One request at the balancer.

    Attributes:
        mode, target: its affinity: "" or "soft" or one of MODES, and the worker that it names.
        worker_id: who has it; "" while it is held.
    """

    id: str
    arrived_s: float
    mode: str
    target: str
    worker_id: str = ""
    timer: Timer | None = None


def parse_affinity(header: str) -> tuple[str, str]:
    """(mode, worker id) of the request header X-Runpod-Worker-Id: "", "<id>", "strict <id>" or "strict-resume <id>"."""
    words = header.split()
    if not words:
        return "", ""
    return (words[0], words[1]) if len(words) == 2 and words[0] in MODES else ("soft", words[-1])


class LoadBalancer:
    """Requests in order of arrival, to workers with room.

    Attributes:
        answered: requests that were forwarded and left by themselves.
        failed: requests that were given up or cut.
    """

    def __init__(self, fleet: WorkerPool, timers: Timers, tell: Callable[[Action], None]) -> None:
        self._fleet, self._timers, self._tell = fleet, timers, tell
        self._platform = fleet.platform
        self._held: OrderedDict[str, Request] = OrderedDict()
        self._bound: dict[str, OrderedDict[str, Request]] = {}
        self._bound_count = 0
        self._going: dict[str, Request] = {}
        self._turn = 0
        self.answered = self.failed = 0

    # what it is asked

    @property
    def waiting(self) -> int:
        """Requests that are held."""
        return len(self._held) + self._bound_count

    @property
    def working(self) -> int:
        """Requests that workers have."""
        return len(self._going)

    def oldest_s(self) -> float | None:
        """Since when the first request that any worker may take is held."""
        return next(iter(self._held.values())).arrived_s if self._held else None

    # what clients do

    def arrive(self, request_id: str, now: float, affinity: str) -> None:
        """Forward a request, or hold it.

        Raises:
            Refused: a request of that id is here already.
        """
        if request_id in self._going or request_id in self._held or any(request_id in bound for bound in self._bound.values()):
            raise Refused(f"there is a request {request_id!r} already: give each one an id of its own")
        request = Request(request_id, now, *parse_affinity(affinity))
        if request.mode in MODES:
            self._arrive_bound(request, now)
            return
        worker = self._choose(request)
        if worker is not None:
            self._forward(request, worker, now)
            return
        self._held[request.id] = request
        request.timer = self._timers.at(now + self._platform.hold_s, partial(self._held_too_long, request))

    def _arrive_bound(self, request: Request, now: float) -> None:
        worker = self._fleet.workers.get(request.target)
        if worker is not None and worker.state == "CACHED" and request.mode == "strict-resume":
            if self._fleet.wanted < self._fleet.most:
                self._fleet.wake(worker, now)
        elif worker is None or worker.state in ("CACHED", "DRAINING"):
            self.failed += 1
            self._tell(GiveUp(request.id, 404, "affinity_worker_gone"))
            return
        if self._has_room(worker):
            self._forward(request, worker, now)
            return
        self._bound.setdefault(worker.id, OrderedDict())[request.id] = request
        self._bound_count += 1
        request.timer = self._timers.at(now + self._platform.strict_hold_s, partial(self._held_too_long, request))

    def left(self, request_id: str, now: float) -> None:
        """A request is answered, or its client went away; unknown ones are ignored."""
        request = self._going.pop(request_id, None)
        if request is not None:
            self.answered += 1
            self._release(request, now)
            return
        held = self._held.get(request_id) or next((bound[request_id] for bound in self._bound.values() if request_id in bound), None)
        if held is not None:
            self._unhold(held)

    # workers

    def fill(self, now: float) -> None:
        """Give held requests to workers with room: for each place the one that came first."""
        if not self.waiting:
            return
        while able := [worker for worker in self._with_room() if self._held or worker.id in self._bound]:
            worker = min(able, key=self._rank)
            if (request := self._next_for(worker)) is not None:
                self._unhold(request)
                self._forward(request, worker, now)

    def lost(self, worker: Worker) -> None:
        """The worker is no more: its requests are answered with 502, those that wait for it alone with 404."""
        for request in [request for request in self._going.values() if request.worker_id == worker.id]:
            del self._going[request.id]
            self._timers.cancel(request.timer)
            self._fail(request, 502, "the worker ended")
        self.release_bound_requests(worker)

    def release_bound_requests(self, worker: Worker) -> None:
        """Nobody may wait for this worker alone any more."""
        for request in list(self._bound.get(worker.id, {}).values()):
            self._unhold(request)
            self._fail(request, 404, "affinity_worker_gone")

    def _has_room(self, worker: Worker) -> bool:
        per_worker = self._platform.per_worker
        cap = int(self._fleet.policy.scaler_value) if per_worker is None else per_worker
        return worker.state in SERVING and worker.load < cap

    def _choose(self, request: Request) -> Worker | None:
        """The worker that the request names if it has room, else the one with the least to do or whose turn it is."""
        named = self._fleet.workers.get(request.target)
        if named is not None and self._has_room(named):
            return named
        return min(self._with_room(), key=self._rank, default=None)

    def _with_room(self) -> list[Worker]:
        return [worker for worker in self._fleet.in_state(*SERVING) if self._has_room(worker)]

    def _rank(self, worker: Worker) -> tuple[int, int]:
        return (0 if self._platform.choose == "round_robin" else worker.load), worker.turn

    def _next_for(self, worker: Worker) -> Request | None:
        first = [next(iter(line.values())) for line in (self._held, self._bound.get(worker.id)) if line]
        return min(first, key=lambda request: request.arrived_s) if first else None

    # one request

    def _forward(self, request: Request, worker: Worker, now: float) -> None:
        ready_s = now if worker.ready_s is None else worker.ready_s
        first = self._fleet.occupy(worker, 1, now)
        self._turn += 1
        worker.turn = self._turn
        request.worker_id = worker.id
        request.timer = self._timers.at(now + self._platform.processing_s, partial(self._cut, request))
        self._going[request.id] = request
        cold = (first or now == ready_s) and request.arrived_s < ready_s
        self._tell(Forward(request.id, worker.id, cold, now - request.arrived_s))

    def _held_too_long(self, request: Request, now: float) -> None:
        self._unhold(request)
        self._fail(request, 400, "worker_timeout" if request.mode in MODES else "timed out waiting for worker")

    def _cut(self, request: Request, now: float) -> None:
        del self._going[request.id]
        self.failed += 1
        self._tell(Cut(request.id, request.worker_id))
        self._release(request, now)

    def _fail(self, request: Request, status: int, reason: str) -> None:
        self.failed += 1
        self._tell(GiveUp(request.id, status, reason))

    def _unhold(self, request: Request) -> None:
        self._timers.cancel(request.timer)
        if self._held.pop(request.id, None) is None:
            bound = self._bound[request.target]
            del bound[request.id]
            self._bound_count -= 1
            if not bound:
                del self._bound[request.target]

    def _release(self, request: Request, now: float) -> None:
        self._timers.cancel(request.timer)
        worker = self._fleet.workers.get(request.worker_id)
        if worker is not None:
            self._fleet.vacate(worker, now)
