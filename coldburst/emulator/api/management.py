"""REST v2 as far as it concerns endpoints that exist: their settings and their workers.

Source of the shapes: the specification of REST v2 in RunPod's documentation, api-reference-v2/openapi.json.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from coldburst.emulator.api.queue import body_of
from coldburst.emulator.api.responses import PROBLEM, RefusedError, answer, content, refusal
from coldburst.emulator.command_line import MOST_CONCURRENCY, MOST_WORKERS
from coldburst.emulator.hosted_endpoint import HostedEndpoint, WallClock
from coldburst.emulator.options import WorkerSpec
from coldburst.serverless.errors import PolicyError, short_repr

WINDOW_S = 60.0
BODY_BYTES = 1e6
MOST = 10**12
"""Of any number in a change: what lies beyond is a mistake, and no float holds it."""
STATUSES = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")
FLASHBOOT = {"OFF": False, "FLASHBOOT": True, "PRIORITY_FLASHBOOT": True}
NOT_HERE = ("image", "args", "disk", "ports", "registry", "gpu", "cpu", "dataCenterIds", "networkVolumes", "templateId", "name")
"""Fields that REST v2 can change and this emulator has not."""
URLS = {"run": "run", "runSync": "runsync", "health": "health", "purgeQueue": "purge-queue"} | {
    name: f"{path}/$JOB_ID" for name, path in (("status", "status"), ("stream", "stream"), ("cancel", "cancel"), ("retry", "retry"))
}


_ENVIRONMENT = re.compile(r"[\0\ud800-\udfff]")
"""What no variable of a process can hold."""


class Management:
    """The routes below /v2/serverless.

    Args:
        hosted: the endpoints, by name.
        base: the emulator's URL.
        per_minute: requests in a minute, 429 above.
    """

    def __init__(self, hosted: Mapping[str, HostedEndpoint], clock: WallClock, base: str, per_minute: int) -> None:
        self._hosted, self._clock, self._base, self._per_minute = hosted, clock, base, per_minute
        self._window = (0, 0)

    async def serve(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        """The answer to a request; ``rest`` are the parts of its path after /v2/serverless."""
        number = int(self._clock.now() // WINDOW_S)
        used = 1 + (self._window[1] if self._window[0] == number else 0)
        self._window = (number, used)
        over_s = round((number + 1) * WINDOW_S - self._clock.now(), 3)
        try:
            if used > self._per_minute:
                raise RefusedError(429, "rate limit exceeded for the minute window", {"Retry-After": str(max(1, math.ceil(over_s)))})
            response = await self._answer(request, rest)
        except RefusedError as error:
            response = refusal(error, PROBLEM)
        response.headers["RateLimit"] = f'"minute";r={max(0, self._per_minute - used)};t={max(1, math.ceil(over_s))}'
        response.headers["RateLimit-Policy"] = f'"minute";q={self._per_minute};w={WINDOW_S:.0f}'
        return response

    async def _answer(self, request: web.BaseRequest, rest: list[str]) -> web.Response:
        if not rest:
            _insist(request, "GET")
            return answer({"endpoints": [self._view(hosted) for hosted in self._hosted.values()]})
        hosted = self._hosted.get(rest[0])
        if hosted is None or rest[1:] not in ([], ["workers"]):
            raise RefusedError(404, "resource not found")
        if rest[1:]:
            _insist(request, "GET")
            return answer(self._workers(hosted))
        _insist(request, "GET", "PATCH")
        if request.method == "PATCH":
            self._patch(hosted, content(await body_of(hosted, request, BODY_BYTES)))
        return answer(self._view(hosted))

    def _view(self, hosted: HostedEndpoint) -> dict[str, Any]:
        policy = hosted.endpoint.policy
        api = f"{self._base}/v2/{hosted.name}"
        workers: dict[str, Any] = {"min": policy.workers_min, "max": policy.workers_max}
        if policy.idles:
            workers["idleTimeout"] = round(policy.idle_timeout_s)
        unit = "queueDelay" if policy.scaler == "QUEUE_DELAY" else "requestCount"
        return {
            "id": hosted.name,
            "name": hosted.name,
            "type": policy.kind,
            "requestUrls": {name: f"{api}/{path}" for name, path in URLS.items()}
            if hosted.is_queue
            else _balancer_urls(self._base, hosted),
            "workers": workers,
            "scaling": {"type": policy.scaler, unit: policy.scaler_value if unit == "queueDelay" else round(policy.scaler_value)},
            "dataCenterIds": [],
            "networkVolumes": [],
            "timeout": round(policy.execution_timeout_s * 1000),
            "flashboot": "FLASHBOOT" if policy.flashboot else "OFF",
            "env": dict(hosted.crew.work.env),
            "createdAt": self._time(0.0),
        }

    def _workers(self, hosted: HostedEndpoint) -> dict[str, Any]:
        """The records; /health is another view, and the two disagree on the platform too."""
        found = hosted.endpoint.workers(hosted.now())
        count = Counter(worker["status"] for worker in found)
        return {
            "workers": [self._worker(hosted, worker) for worker in found],
            "summary": {status.lower(): count[status] for status in STATUSES} | {"total": len(found)},
            "endpointVersion": hosted.version,
        }

    def _worker(self, hosted: HostedEndpoint, worker: Mapping[str, Any]) -> dict[str, Any]:
        started_s, version = worker["startedAt_s"], hosted.versions.get(worker["id"], hosted.version)
        return {
            "id": worker["id"],
            "status": worker["status"],
            "isStale": version != hosted.version,
            "version": version,
            "gpuCount": worker["gpuCount"],
            "image": None,
            "uptimeSeconds": None if started_s is None else int(worker["uptime_s"]),
            "gpuTypeId": worker["gpuTypeId"],
            "dataCenterId": None,
            "startedAt": None if started_s is None else self._time(started_s),
        }

    def _time(self, at_s: float) -> str:
        return datetime.fromtimestamp(self._clock.zero_s + at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _patch(self, hosted: HostedEndpoint, body: Mapping[str, Any]) -> None:
        """Changes only what was sent: settings at once, the environment by a rolling release.

        Raises:
            RefusedError: 422, a field that there is not, or a value that does not fit.
        """
        settings: dict[str, Any] = {}
        env = _environment(hosted, body["env"]) if "env" in body else None
        for name, value in body.items():
            if name == "env":
                continue
            if name in NOT_HERE:
                raise RefusedError(422, f"'{name}' cannot be changed here: the emulator changes {', '.join(_FIELDS)}, env")
            if name not in _FIELDS:
                raise RefusedError(422, f"unknown field {short_repr(name)}: there are {', '.join(_FIELDS)}, env")
            settings |= _FIELDS[name](value)
        policy = hosted.endpoint.policy
        try:
            changed = policy.changed(**settings)
        except PolicyError as error:
            raise RefusedError(422, str(error)) from None
        if "idle_timeout_s" in settings and not changed.idles:
            raise RefusedError(422, "idleTimeout does not apply to queue-based endpoints that scale on requestCount")
        if settings:
            hosted.change(**settings)
        if env is not None:
            hosted.release(env)


def _insist(request: web.BaseRequest, *methods: str) -> None:
    if request.method not in methods:
        raise RefusedError(405, "The requested method is not allowed for this path.", {"Allow": ", ".join(methods)})


def _balancer_urls(base: str, hosted: HostedEndpoint) -> dict[str, str]:
    return {"base": f"{base}/lb/{hosted.name}", "health": f"{base}/lb/{hosted.name}{hosted.hosting.work.health_path}"}


def _environment(hosted: HostedEndpoint, value: Any) -> WorkerSpec:
    """The workers with another environment; CONCURRENCY in it is how many jobs a worker of this project runs at a time."""
    if not isinstance(value, dict) or not all(map(_variable, value.items())):
        raise RefusedError(
            422,
            f"env is {short_repr(value)}: send an object of texts (names without '=', nothing with a NUL), as in {{'CONCURRENCY': '4'}}",
        )
    concurrency = value.get("CONCURRENCY", str(hosted.crew.work.concurrency))
    if not (concurrency.isascii() and concurrency.isdigit() and len(concurrency) < 10) or not 1 <= int(concurrency) <= MOST_CONCURRENCY:
        raise RefusedError(422, f"CONCURRENCY {short_repr(concurrency)} is no whole number from 1 to {MOST_CONCURRENCY}")
    return replace(hosted.crew.work, concurrency=int(concurrency), env=value)


def _variable(pair: tuple[str, Any]) -> bool:
    """Whether a process can have it in its environment."""
    name, text = pair
    return bool(name) and "=" not in name and isinstance(text, str) and _ENVIRONMENT.search(name + text) is None


def _of_workers(value: Any) -> dict[str, Any]:
    return _read(
        "workers",
        value,
        {
            "min": ("workers_min", _whole(MOST_WORKERS)),
            "max": ("workers_max", _whole(MOST_WORKERS)),
            "idleTimeout": ("idle_timeout_s", _number),
        },
    )


def _of_scaling(value: Any) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    unit = {"QUEUE_DELAY": "queueDelay", "REQUEST_COUNT": "requestCount"}.get(str(kind))
    if unit is None or unit not in value:
        example = "{'type': 'QUEUE_DELAY', 'queueDelay': 4} or {'type': 'REQUEST_COUNT', 'requestCount': 4}"
        raise RefusedError(422, f"scaling {short_repr(value)} does not fit: write {example}")
    return _read("scaling", value, {"type": ("scaler", str), unit: ("scaler_value", _number)})


def _read(field: str, value: Any, known: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedError(422, f"{field} is {short_repr(value)}: send an object with {', '.join(known)}")
    unknown = [name for name in value if name not in known]
    if unknown:
        raise RefusedError(422, f"unknown field {short_repr(f'{field}.{unknown[0]}')}: there are {', '.join(known)}")
    return {known[name][0]: known[name][1](said) for name, said in value.items()}


def _whole(most: int) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
            return value
        raise RefusedError(422, f"{short_repr(value)} is no whole number from 0 to {most}")

    return whole


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST:
        return float(value)
    raise RefusedError(422, f"{short_repr(value)} is no number up to {MOST}")


def _flashboot(value: Any) -> dict[str, Any]:
    if not isinstance(value, str) or value not in FLASHBOOT:
        raise RefusedError(422, f"flashboot {short_repr(value)} is unknown: it is one of {', '.join(FLASHBOOT)}")
    return {"flashboot": FLASHBOOT[value]}


_FIELDS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "workers": _of_workers,
    "scaling": _of_scaling,
    "timeout": lambda value: {"execution_timeout_s": _whole(MOST)(value) / 1000},
    "flashboot": _flashboot,
}
