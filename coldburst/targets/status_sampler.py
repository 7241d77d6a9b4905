"""Polls an endpoint's status during a run: /health and the list of its workers.

The two views disagree by design: /health is the scheduler's gauge, the list shows records. Both are kept unchanged. A poll is never
recorded as a request of the run.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gevent

from coldburst.keys import RUNPOD_KEY
from coldburst.lines import one_line
from coldburst.redact import redact
from coldburst.targets import answer
from coldburst.targets.address import EndpointAddress
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.platform_facts import PlatformFacts
from coldburst.targets.worker_spans import SERVING, WorkerSpans

logger = logging.getLogger("coldburst")
# RunPod's REST v2 allows 60 requests a minute and 3,000 an hour: one in 2 s leaves half or more to others.
LIST_EVERY_S = 2.0
LIMITS = Timeouts(5.0, 5.0, 5.0)
JOBS = {"in_queue": "inQueue", "in_progress": "inProgress", "completed": "completed", "failed": "failed", "retried": "retried"}
WORKERS = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
RESOURCES = ("cpu", "rss_bytes", "gpu_memory_bytes", "gpu_utilisation")
# A larger count is not believed.
MOST = 1e15
BEFORE = "from the worker list: ready before the run, at least since this time"
SINCE = "from the worker list: start to the answer that showed it"
# Samples that are kept while a run goes on.
KEPT = 3000
Row = Mapping[str, Any]


class EndpointSamples:
    """The last samples of an endpoint's status (rows of endpoint.csv), oldest first.

    Attributes:
        refused: why /health is not polled any more; "" while it is.
        spans: the lives of the workers' containers, from the worker list.
    """

    def __init__(self) -> None:
        self.refused = ""
        self.spans = WorkerSpans()
        self._samples: deque[Row] = deque(maxlen=KEPT)

    def add(self, sample: Row) -> None:
        """Adds the newest sample."""
        self._samples.append(sample)

    @property
    def latest(self) -> Row | None:
        """The last answer of /health; None before the first."""
        return next((sample for sample in reversed(self._samples) if sample["view"] == "health" and not sample["error"]), None)

    def between(self, from_s: float, to_s: float) -> list[Row]:
        """The samples of that time, and the last one of /health before it."""
        found: list[Row] = []
        for sample in reversed(self._samples):
            if sample["at_s"] <= to_s:
                found.append(sample)
            if sample["at_s"] < from_s and sample["view"] == "health":
                break
        return found[::-1]


class StatusSampler:
    """Polls an endpoint's status until ``stop``.

    Args:
        address: what to poll; nothing is polled without a queue API.
        key: API key, or "".
        every_s: seconds between two polls of /health; 0 = no polls.
        samples: each answer is added to it.
        now: the run's clock, in seconds from second 0.
        row: called with each row of endpoint.csv.
        ready: called with the arguments of the hook ``worker_ready``.
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
        headers = {"User-Agent": "coldburst", "Accept": "application/json"} | answer.credentials(key)
        self._greenlets: list[gevent.Greenlet] = []
        self._facts, self._spans = PlatformFacts(), samples.spans
        self._list: tuple[HttpClient, str] | None = None
        if every_s > 0 and address.api:
            self._greenlets.append(gevent.spawn(self._repeat, every_s, HttpClient(address.api, LIMITS, headers), "/health", self._health))
        if every_s > 0 and address.management:
            self._list = (HttpClient(address.management, LIMITS, headers), address.endpoint_id)
            self._greenlets.append(gevent.spawn(self._list_workers, max(every_s, LIST_EVERY_S), *self._list))

    def stop(self) -> None:
        """Stops polling, after a last look at settings and workers if they were seen before."""
        gevent.killall(self._greenlets)
        if self._list and self._serving is not None:
            client, endpoint_id = self._list
            self._facts.read_settings(client, endpoint_id)
            self._ask(client, f"/serverless/{endpoint_id}/workers", self._workers)
            self._facts.read_bill(client, endpoint_id)
            client.close()

    def platform(self) -> dict[str, Any] | None:
        """The entry ``platform`` of run.json: settings, release, live price, workers and bill; None without an answer of REST v2."""
        spans = self._spans.rows()
        if not self._facts.settings and not spans:
            return None
        kinds = Counter((span["gpu"], span["gpus"]) for span in spans)
        price = self._facts.price(*kinds.most_common(1)[0][0]) if kinds else None
        bill = self._facts.bill and self._facts.bill.plain()
        return {"settings": self._facts.settings, "release": self._facts.release or None, "price": price, "workers": spans, "bill": bill}

    def _list_workers(self, every_s: float, client: HttpClient, endpoint_id: str) -> None:
        self._facts.read(client, endpoint_id)
        self._repeat(every_s, client, f"/serverless/{endpoint_id}/workers", self._workers)

    def _repeat(self, every_s: float, client: HttpClient, path: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        try:
            while self._ask(client, path, read):
                gevent.sleep(every_s)
        finally:
            client.close()

    def _ask(self, client: HttpClient, path: str, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> bool:
        """Polls once and records the answer; whether to poll again."""
        exchange, at_s = Exchange(), self._now()
        client.send(exchange, "GET", path)
        view = "health" if path == "/health" else "workers"
        try:
            content = read(answer.parse_json(exchange.body)) if exchange.status == 200 else {"error": self._reason(exchange)}
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            content = {"error": one_line(redact(f"unexpected answer ({type(error).__name__}: {error}): {answer.excerpt(exchange)}"))}
        sample = {"at_s": at_s, "view": view, "error": "", **content}
        self._samples.add(sample)
        self._row(sample)
        if exchange.status in (401, 403, 404):
            logger.warning("Could not read the endpoint's status (%s): %s; it is not polled again", view, sample["error"])
            if view == "health":
                self._samples.refused = str(sample["error"])
            return False
        return True

    def _reason(self, exchange: Exchange) -> str:
        if exchange.fault:
            return one_line(exchange.error)
        evidence = answer.refusal(exchange, answer.parse_json(exchange.body), {}, answer.Sender("queue", self._key, RUNPOD_KEY))
        return one_line(str(evidence.measured["error"]))

    def _health(self, content: Mapping[str, Any]) -> dict[str, Any]:
        jobs, workers = content["jobs"], content["workers"]
        counts = {name: _count(jobs.get(key)) for name, key in JOBS.items()}
        resources = content.get("resources")
        measured = {name: _amount(resources.get(name)) for name in RESOURCES} if isinstance(resources, dict) else {}
        return counts | {name: _count(workers.get(name)) for name in WORKERS} | measured

    def _workers(self, content: Mapping[str, Any]) -> dict[str, Any]:
        workers = content["workers"]
        self._spans.see(workers, self._now())
        for about in self._newly_ready(workers):
            self._ready(about)
        summary = content.get("summary") or {}
        return {name: _count(summary.get(name)) for name in WORKERS if name in summary}

    def _newly_ready(self, workers: list[Mapping[str, Any]]) -> Iterator[Row]:
        """Workers that serve now and did not at the poll before; those of the first answer were ready before second 0."""
        before, now_s = self._serving, self._now()
        # As text: NaN differs from itself, and would be a new start at each poll.
        # A worker that FlashBoot keeps has no container, and null there.
        workers = [worker for worker in workers if worker["status"] in SERVING and worker.get("startedAt", "") is not None]
        self._serving = {redact(str(worker["id"])): str(worker.get("startedAt")) for worker in workers}
        for worker in workers:
            name, up_s = redact(str(worker["id"])), worker.get("uptimeSeconds")
            seconds = float(up_s) if isinstance(up_s, int | float) and 0 <= up_s < MOST else None
            if before is None:
                yield {"worker_id": name, "at_s": min(now_s - (seconds or 0.0), -0.001), "seconds": None, "detail": BEFORE}
            elif before.get(name, self) != self._serving[name]:
                yield {"worker_id": name, "at_s": now_s, "seconds": seconds, "detail": SINCE}


def _amount(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST else None


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and 0 <= value < MOST else None
