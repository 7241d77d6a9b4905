"""The last log lines of an endpoint worker, read once for each cause of a failure: RunPod's error often hides what the log says.

RunPod's REST v2 streams a worker's log as server-sent events, the last lines first, and then what comes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import gevent

from coldburst.lines import one_line
from coldburst.redact import MARK, redact
from coldburst.targets import answer
from coldburst.targets.address import EndpointAddress
from coldburst.targets.event_stream import EventStream
from coldburst.targets.http import Exchange, HttpClient, Timeouts

logger = logging.getLogger("coldburst")
# Causes for which a worker's log may hold the reason.
EXPLAINED = (
    "crash_loop",
    "double_load",
    "own_deadline",
    "out_of_memory",
    "race",
    "service_error",
    "slow_start",
    "unknown",
    "worker_lost",
)
# Where no worker had the request, these are looked at first.
SUSPECTS = ("UNHEALTHY", "INITIALIZING", "RUNNING", "IDLE")
MOST_WORKERS = 3
# Lines asked for, and lines kept: the last ones of the container, or of the host if the container wrote none.
TAIL, KEPT = 50, 5
# The stream does not end while the worker runs.
LIMITS = Timeouts(5.0, 5.0, 3.0)
END_S = 10.0
# A log may hold secrets that this program does not know: tokens of common forms, and values named as secrets.
_TOKEN = re.compile(r"\b(?:sk|hf|rpa|ghp|gho|glpat|xox[abp]|AKIA)[-_]?[A-Za-z0-9][A-Za-z0-9_-]{7,}")
_NAMED = re.compile(
    r"((?:authorization|bearer|password|passwd|secret|token|api[-_ ]?key)\b[\"']?\s*[:= ]\s*[\"']?(?:bearer )?)(?!\[key\])[^\s\"',;]{6,}",
    re.IGNORECASE,
)


class WorkerLogs:
    """Reads logs in greenlets of its own, until ``stop``.

    Args:
        address: nothing is read without REST v2.
        tell: called with the arguments of the hook ``worker_log``, for each line.
    """

    def __init__(self, address: EndpointAddress | None, key: str, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._asked: set[str] = set()
        self._greenlets: list[gevent.Greenlet] = []
        self._tell = tell
        self._client: HttpClient | None = None
        if address is not None and address.management and address.endpoint_id:
            headers = {"User-Agent": "coldburst", "Accept": "application/json, text/event-stream"} | answer.credentials(key)
            self._client = HttpClient(address.management, LIMITS, headers)
            self._path = f"/serverless/{address.endpoint_id}/workers"

    def explain(self, cause: str, worker_id: str) -> None:
        """Read the log of ``worker_id``, or of suspects if it is "", unless that was done for this cause."""
        if self._client is None or cause not in EXPLAINED or cause in self._asked:
            return
        self._asked.add(cause)
        self._greenlets.append(gevent.spawn(self._read, self._client, cause, worker_id))

    def stop(self) -> None:
        """Waits for logs that are being read."""
        gevent.joinall(self._greenlets, timeout=END_S)
        gevent.killall(self._greenlets)
        if self._client:
            self._client.close()

    def _read(self, client: HttpClient, cause: str, worker_id: str) -> None:
        for worker in [worker_id] if worker_id else _suspects(self._list(client)):
            if lines := _last(self._lines(client, worker)):
                words = cause.replace("_", " ")
                logger.warning("Last log lines of endpoint worker %s (%s):\n%s", worker, words, "\n".join(f"  {line}" for line in lines))
                for line in lines:
                    self._tell({"worker_id": worker, "cause": cause, "detail": line})
                return

    def _list(self, client: HttpClient) -> Any:
        exchange = Exchange()
        client.send(exchange, "GET", self._path)
        return answer.parse_json(exchange.body) if exchange.status == 200 else None

    def _lines(self, client: HttpClient, worker_id: str) -> list[tuple[str, str]]:
        """Source and text of each line that came in time."""
        stream, exchange, found = EventStream(), Exchange(), list[bytes]()

        def read(piece: bytes, _: float) -> None:
            found.extend(stream.feed(piece))

        client.send(exchange, "GET", f"{self._path}/{quote(worker_id, safe='')}/logs?tail={TAIL}", on_body=read)
        return [*_parsed(found)]


def _parsed(events: list[bytes]) -> Iterator[tuple[str, str]]:
    for data in events:
        try:
            entry = json.loads(data)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("line"), str) and entry["line"].strip():
            yield str(entry.get("source")), one_line(_without_secrets(_message(entry["line"])))


def _message(line: str) -> str:
    """The message of a line that RunPod's SDK writes as JSON; of an error the last lines of its traceback. Other lines as they are."""
    message = _field(line, "message")
    traceback = _field(message or "", "error_traceback")
    return " · ".join(part.strip() for part in traceback.strip().splitlines()[-3:]) if traceback else message or line


def _field(text: str, name: str) -> str | None:
    """A text in a JSON object; None if there is none."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, str) else None


def _without_secrets(line: str) -> str:
    return _NAMED.sub(rf"\g<1>{MARK}", _TOKEN.sub(MARK, redact(line)))


def _last(lines: list[tuple[str, str]]) -> list[str]:
    """The last lines, each once."""
    own = [line for source, line in lines if source == "container"]
    return [*dict.fromkeys(reversed(own or [line for _, line in lines]))][:KEPT][::-1]


def _suspects(content: Any) -> list[str]:
    """Workers of the list whose state explains most."""
    workers = content.get("workers") if isinstance(content, dict) else None
    known = [worker for worker in workers if isinstance(worker, dict)] if isinstance(workers, list) else []
    ranked = sorted((SUSPECTS.index(w["status"]), str(w.get("id") or "")) for w in known if w.get("status") in SUSPECTS)
    return [redact(name) for _, name in ranked if name][:MOST_WORKERS]
