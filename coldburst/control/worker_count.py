"""Counts the workers behind a proxy, from ids in the answers of /health, when the control cannot tell their number.

An id is the header ``X-Worker-ID`` (nginx: ``add_header X-Worker-ID $upstream_addr always;``), or ``worker_id`` in the JSON body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.transcription_answer import worker_of

PATH = "/health"
LIMITS = Timeouts(2.0, 2.0, 2.0)
# Of three workers chosen at random, 32 answers miss one in 1 of 100,000 counts; a balancer that takes turns needs three.
EACH, FIRST = 10, 2
# Ten a second is a limit that proxies have.
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class WorkerCount:
    """Distinct ids in ``answers`` answers of /health."""

    ids: frozenset[str]
    answers: int

    @property
    def text(self) -> str:
        """One sentence for the log."""
        if not self.answers:
            return f"the workers cannot be counted: {PATH} does not answer"
        if not self.ids:
            return f"the workers cannot be counted: {PATH} names none in {self.answers} answers"
        workers, answers = ("s" if number != 1 else "" for number in (len(self.ids), self.answers))
        return f"{len(self.ids)} worker{workers} seen in {self.answers} answer{answers} of {PATH}"


def count_workers(url: str, wanted: int, rest: Callable[[float], bool]) -> WorkerCount:
    """Asks /health of the service at ``url`` over new connections, until ``wanted`` ids and no more are seen, or often enough.

    ``rest`` pauses for a number of seconds; False ends the count. The first FIRST answers without an id end it too.
    """
    origin, ids, answers = _origin(url), set[str](), 0
    for asked in range(EACH * wanted + FIRST):
        client, exchange = HttpClient(origin, LIMITS), Exchange()
        client.send(exchange, "GET", PATH)
        client.close()
        if exchange.status == 200:
            answers += 1
            ids |= {worker} if (worker := worker_id(exchange.headers, exchange.body)) else set()
        if (asked + 1 >= FIRST and not ids) or (asked + 1 >= 3 * wanted and len(ids) >= wanted) or not rest(PAUSE_S):
            break
    return WorkerCount(frozenset(ids), answers)


def worker_id(headers: Mapping[str, str], body: bytes) -> str:
    """The worker that answered, or ""."""
    if worker := worker_of(headers):
        return worker
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    named = found.get("worker_id") if isinstance(found, dict) else None
    return str(named) if isinstance(named, str | int) else ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
