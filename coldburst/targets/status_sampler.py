"""Polls an endpoint's own status during a run: /health and the list of its workers.

The two views disagree by design: /health is the scheduler's gauge, the list are records. Both are kept
as they are. A poll is never recorded as a request of the run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent

from coldburst.keys import RUNPOD_KEY
from coldburst.lines import one_line
from coldburst.targets import answer
from coldburst.targets.address import EndpointAddress
from coldburst.targets.endpoint_samples import EndpointSamples, Row
from coldburst.targets.http import Exchange, HttpClient, Timeouts

logger = logging.getLogger("coldburst")
LIST_EVERY_S = 2.0
"""RunPod's REST v2 allows 60 requests a minute and 3,000 an hour: one in 2 s leaves most of both to others."""
LIMITS = Timeouts(5.0, 5.0, 5.0)
JOBS = {"in_queue": "inQueue", "in_progress": "inProgress", "completed": "completed", "failed": "failed", "retried": "retried"}
WORKERS = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
SERVING = ("RUNNING", "IDLE")
MOST = 1e15
"""A count beyond this is none."""
BEFORE = "the worker list: it was there before the run, since then at least"
SINCE = "the worker list, start to the answer that showed it"


class StatusSampler:
    """Polls an endpoint's status until ``stop``.

    Args:
        address: what to poll; without a queue API there is nothing to poll.
        key: API key, or "".
        every_s: seconds between two polls of /health; 0 = no polls.
        samples: gets each answer.
        now: the run's clock, in seconds from second 0.
        row: takes a row of endpoint.csv.
        ready: takes the keyword arguments of the hook ``worker_ready``.
    """

    def __init__(
        self,
        address: EndpointAddress,
        key: str,
        every_s: float,
        samples: EndpointSamples,
        *,
        now: Callable[[], float],
        row: Callable[[Row], None],
        ready: Callable[[Row], None],
    ) -> None:
        self._now, self._row, self._ready, self._key = now, row, ready, key
        self._samples = samples
        self._serving: dict[str, str] | None = None
        headers = {"User-Agent": "coldburst", "Accept": "application/json"} | answer.bearer(key)
        self._greenlets: list[gevent.Greenlet] = []
        if every_s > 0 and address.api:
            self._greenlets.append(gevent.spawn(self._repeat, every_s, HttpClient(address.api, LIMITS, headers), "/health", self._health))
        if every_s > 0 and address.management:
            path = f"/serverless/{address.endpoint_id}/workers"
            self._greenlets.append(
                gevent.spawn(self._repeat, max(every_s, LIST_EVERY_S), HttpClient(address.management, LIMITS, headers), path, self._workers)
            )

    def stop(self) -> None:
        """Stops polling."""
        gevent.killall(self._greenlets)

    def _repeat(self, every_s: float, client: HttpClient, path: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        try:
            while self._ask(client, path, read):
                gevent.sleep(every_s)
        finally:
            client.close()

    def _ask(self, client: HttpClient, path: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> bool:
        """Asks once, keeps the answer as a row; whether it is worth asking again."""
        exchange, at_s = Exchange(), self._now()
        client.send(exchange, "GET", path)
        answer.mask_key(exchange, self._key)
        view = "health" if path == "/health" else "workers"
        try:
            content = read(json.loads(exchange.body)) if exchange.status == 200 else {"error": self._reason(exchange)}
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            content = {"error": one_line(f"the answer cannot be read: {type(error).__name__}: {error}")}
        sample = {"at_s": at_s, "view": view, "error": "", **content}
        self._samples.add(sample)
        self._row(sample)
        if exchange.status in (401, 403, 404):
            logger.warning("The endpoint's own word (%s) cannot be had: %s; it is not asked for again", view, sample["error"])
            if view == "health":
                self._samples.refused = str(sample["error"])
            return False
        return True

    def _reason(self, exchange: Exchange) -> str:
        if exchange.fault:
            return one_line(exchange.error)
        hint = answer.key_hint(exchange.status, self._key, RUNPOD_KEY) or answer.address_hint(exchange.status, "the endpoint id in --host")
        return one_line(f"{exchange.status}: {answer.reason(exchange, answer.parse_json(exchange.body))}{hint}")

    def _health(self, content: Mapping[str, Any]) -> dict[str, Any]:
        jobs, workers = content["jobs"], content["workers"]
        counts = {name: _count(jobs.get(key)) for name, key in JOBS.items()}
        return counts | {name: _count(workers.get(name)) for name in WORKERS}

    def _workers(self, content: Mapping[str, Any]) -> dict[str, Any]:
        workers = content["workers"]
        for about in self._newly_ready(workers):
            self._ready(about)
        summary = content.get("summary") or {}
        return {name: _count(summary.get(name)) for name in WORKERS if name in summary}

    def _newly_ready(self, workers: list[Mapping[str, Any]]) -> Iterator[Row]:
        """Workers that serve now and did not when last asked; those of the first answer were ready before second 0."""
        before, now_s = self._serving, self._now()
        # As text: NaN would differ from itself, and be a new start at each look.
        self._serving = {str(worker["id"]): str(worker.get("startedAt")) for worker in workers if worker["status"] in SERVING}
        for worker in workers:
            name, up_s = str(worker["id"]), worker.get("uptimeSeconds")
            seconds = float(up_s) if isinstance(up_s, int | float) and 0 <= up_s < MOST else None
            if name not in self._serving:
                continue
            if before is None:
                yield {"worker_id": name, "at_s": min(now_s - (seconds or 0.0), -0.001), "seconds": None, "detail": BEFORE}
            elif before.get(name, self) != self._serving[name]:
                yield {"worker_id": name, "at_s": now_s, "seconds": seconds, "detail": SINCE}


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 <= value < MOST else None
