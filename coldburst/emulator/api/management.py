"""REST v2: settings and workers of existing endpoints.

Source of the formats: the specification of REST v2 in RunPod's documentation, api-reference-v2/openapi.json.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from coldburst.emulator.api import billing, releases, worker_logs
from coldburst.emulator.api.queue import json_body
from coldburst.emulator.api.responses import PROBLEM, HttpError, answer, rate_limit, refusal, require_settled, retry_after
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.settings.arguments import MAX_CONCURRENCY, MAX_WORKERS
from coldburst.emulator.settings.endpoint_specs import WorkerSpec
from coldburst.emulator.truth_log import WallClock
from coldburst.record import prices
from coldburst.serverless.errors import PolicyError, short_repr

WINDOW_S = 60.0
BODY_BYTES = 1e6
MAX_NUMBER = 10**12
"""Limit of any number in a change: anything beyond is a mistake."""
IMAGES = "coldburst-emulator"
"""Of workers that have no container image."""
STATUSES = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")
FLASHBOOT = {"OFF": False, "FLASHBOOT": True, "PRIORITY_FLASHBOOT": True}
UNSUPPORTED = ("image", "args", "disk", "ports", "registry", "gpu", "cpu", "dataCenterIds", "networkVolumes", "templateId", "name")
"""Fields of REST v2 that this emulator cannot change."""
URLS = {"run": "run", "runSync": "runsync", "health": "health", "purgeQueue": "purge-queue"} | {
    name: f"{path}/$JOB_ID" for name, path in (("status", "status"), ("stream", "stream"), ("cancel", "cancel"), ("retry", "retry"))
}


_NOT_IN_ENVIRONMENT = re.compile(r"[\0\ud800-\udfff]")
"""Characters that no environment variable can contain."""


class Management:
    """The routes of REST v2; ``base``: the emulator's URL."""

    def __init__(self, endpoints: Mapping[str, HostedEndpoint], clock: WallClock, base: str, per_minute: int) -> None:
        self._endpoints, self._clock, self._base, self._per_minute = endpoints, clock, base, per_minute
        self._window = (0, 0)

    async def serve(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        """The answer to a request; ``rest``: the parts of its path after /v2."""
        number = int(self._clock.now() // WINDOW_S)
        used = 1 + (self._window[1] if self._window[0] == number else 0)
        self._window = (number, used)
        over_s = round((number + 1) * WINDOW_S - self._clock.now(), 3)
        try:
            if used > self._per_minute:
                raise HttpError(429, "rate limit exceeded for the minute window", retry_after(over_s))
            response = await self._answer(request, rest)
        except HttpError as error:
            response = refusal(error, PROBLEM)
        if response.prepared:
            return response
        response.headers.update(rate_limit("minute", self._per_minute, max(0, self._per_minute - used), WINDOW_S, over_s))
        return response

    async def _answer(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if rest == ["catalog", "gpus"]:
            _require_method(request, "GET")
            return answer({"gpus": self._gpus()})
        if rest == ["billing", "serverless"]:
            _require_method(request, "GET")
            return answer(billing.records(self._endpoints, self._clock.zero_s, request.query))
        return await self._serverless(request, rest[1:])

    async def _serverless(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        """The routes below /v2/serverless."""
        if not rest:
            _require_method(request, "GET")
            return answer({"endpoints": [self._view(endpoint) for endpoint in self._endpoints.values()]})
        endpoint = self._endpoints.get(rest[0])
        if endpoint is not None and len(rest) == 4 and (rest[1], rest[3]) == ("workers", "logs"):
            _require_method(request, "GET")
            return await worker_logs.serve(endpoint, request, rest[2])
        if endpoint is None or rest[1:] not in ([], ["workers"], ["releases"]):
            raise HttpError(404, "resource not found")
        require_settled(endpoint.changing_s)
        if rest[1:]:
            _require_method(request, "GET")
            return answer(self._workers(endpoint) if rest[1] == "workers" else releases.releases(endpoint, self._time))
        _require_method(request, "GET", "PATCH")
        if request.method == "PATCH":
            self._patch(endpoint, await json_body(endpoint, request, BODY_BYTES, strict=False))
        return answer(self._view(endpoint))

    def _view(self, endpoint: HostedEndpoint) -> dict[str, Any]:
        policy = endpoint.core.policy
        api = f"{self._base}/v2/{endpoint.name}"
        workers: dict[str, Any] = {"min": policy.workers_min, "max": policy.workers_max}
        if policy.idles:
            workers["idleTimeout"] = round(policy.idle_timeout_s)
        unit = "queueDelay" if policy.scaler == "QUEUE_DELAY" else "requestCount"
        return {
            "id": endpoint.name,
            "name": endpoint.name,
            "type": policy.kind,
            "requestUrls": {name: f"{api}/{path}" for name, path in URLS.items()}
            if endpoint.is_queue
            else _balancer_urls(self._base, endpoint),
            "workers": workers,
            "scaling": {"type": policy.scaler, unit: policy.scaler_value if unit == "queueDelay" else round(policy.scaler_value)},
            "dataCenterIds": [],
            "networkVolumes": [],
            "image": f"{IMAGES}/{endpoint.spec.workers.kind}",
            "timeout": round(policy.execution_timeout_s * 1000),
            "flashboot": "FLASHBOOT" if policy.flashboot else "OFF",
            "env": dict(endpoint.backend.spec.env),
            "createdAt": self._time(0.0),
        }

    def _gpus(self) -> list[dict[str, Any]]:
        """GPUs with a published price, and those of the endpoints at the emulator's --price."""
        found = {gpu: card.price.usd_per_s for card in prices.TABLE if card.price for gpu in card.ids}
        found |= {endpoint.core.policy.gpu: endpoint.core.price_per_s for endpoint in self._endpoints.values() if endpoint.core.price_per_s}
        return [{"id": gpu, "name": gpu, "price": {"serverless": usd_per_s * prices.HOUR_S}} for gpu, usd_per_s in found.items()]

    def _workers(self, endpoint: HostedEndpoint) -> dict[str, Any]:
        """The worker records, which on the platform too disagree with /health."""
        found = endpoint.core.workers(endpoint.now())
        count = Counter(worker["status"] for worker in found)
        return {
            "workers": [self._worker(endpoint, worker) for worker in found],
            "summary": {status.lower(): count[status] for status in STATUSES} | {"total": len(found)},
            "endpointVersion": endpoint.version,
        }

    def _worker(self, endpoint: HostedEndpoint, worker: Mapping[str, Any]) -> dict[str, Any]:
        started_s, version = worker["startedAt_s"], endpoint.worker_versions.get(worker["id"], endpoint.version)
        return {
            "id": worker["id"],
            "status": worker["status"],
            "isStale": version != endpoint.version,
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

    def _patch(self, endpoint: HostedEndpoint, body: Mapping[str, Any]) -> None:
        """Change the settings that were sent: the policy at once, the environment by a rolling release. HttpError 422."""
        settings: dict[str, Any] = {}
        env = _environment(endpoint, body["env"]) if "env" in body else None
        for name, value in body.items():
            if name == "env":
                continue
            if name in UNSUPPORTED:
                raise HttpError(422, f"'{name}' cannot be changed in the emulator: use {', '.join(_FIELDS)} or env")
            if name not in _FIELDS:
                raise HttpError(422, f"unknown field {short_repr(name)}: use {', '.join(_FIELDS)} or env")
            settings |= _FIELDS[name](value)
        policy = endpoint.core.policy
        try:
            changed = policy.changed(**settings)
        except PolicyError as error:
            raise HttpError(422, str(error)) from None
        if "idle_timeout_s" in settings and not changed.idles:
            raise HttpError(422, "idleTimeout does not apply to queue-based endpoints that scale on requestCount")
        if settings:
            endpoint.change(**settings)
        if env is not None:
            endpoint.roll_out(env)


def _require_method(request: web.BaseRequest, *methods: str) -> None:
    if request.method not in methods:
        raise HttpError(405, "The requested method is not allowed for this path.", {"Allow": ", ".join(methods)})


def _balancer_urls(base: str, endpoint: HostedEndpoint) -> dict[str, str]:
    return {"base": f"{base}/lb/{endpoint.name}", "health": f"{base}/lb/{endpoint.name}{endpoint.spec.workers.health_path}"}


def _environment(endpoint: HostedEndpoint, value: Any) -> WorkerSpec:
    """The workers with another environment; its CONCURRENCY is the number of jobs that a worker of this project runs at a time."""
    if not isinstance(value, dict) or not all(isinstance(text, str) and not _NOT_IN_ENVIRONMENT.search(text) for text in value.values()):
        raise HttpError(422, f"env is {short_repr(value)}: send an object of strings without NUL, as in {{'CONCURRENCY': '4'}}")
    declared = {"CONCURRENCY", *endpoint.spec.workers.env_names}
    if unknown := sorted(value.keys() - declared):
        names = ", ".join(sorted(declared))
        raise HttpError(422, f"env sets {short_repr(unknown[0])}, which the endpoint does not declare ({names}): start it with --env NAME")
    concurrency = value.get("CONCURRENCY", str(endpoint.backend.spec.concurrency))
    if not (concurrency.isascii() and concurrency.isdigit() and len(concurrency) < 10) or not 1 <= int(concurrency) <= MAX_CONCURRENCY:
        raise HttpError(422, f"CONCURRENCY {short_repr(concurrency)} is not a whole number from 1 to {MAX_CONCURRENCY}")
    return replace(endpoint.backend.spec, concurrency=int(concurrency), env=value)


def _of_workers(value: Any) -> dict[str, Any]:
    known = {"min": ("workers_min", _whole(MAX_WORKERS)), "max": ("workers_max", _whole(MAX_WORKERS))}
    return _read("workers", value, {**known, "idleTimeout": ("idle_timeout_s", _number)})


def _of_scaling(value: Any) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    unit = {"QUEUE_DELAY": "queueDelay", "REQUEST_COUNT": "requestCount"}.get(str(kind))
    if unit is None or unit not in value:
        example = "{'type': 'QUEUE_DELAY', 'queueDelay': 4} or {'type': 'REQUEST_COUNT', 'requestCount': 4}"
        raise HttpError(422, f"scaling {short_repr(value)} is invalid: use {example}")
    return _read("scaling", value, {"type": ("scaler", str), unit: ("scaler_value", _number)})


def _read(field: str, value: Any, known: Mapping[str, tuple[str, Callable[[Any], Any]]]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise HttpError(422, f"{field} is {short_repr(value)}: send an object with {', '.join(known)}")
    unknown = [name for name in value if name not in known]
    if unknown:
        raise HttpError(422, f"unknown field {short_repr(f'{field}.{unknown[0]}')}: use one of {', '.join(known)}")
    return {known[name][0]: known[name][1](entry) for name, entry in value.items()}


def _whole(most: int) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
            return value
        raise HttpError(422, f"{short_repr(value)} is not a whole number from 0 to {most}")

    return whole


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
        return float(value)
    raise HttpError(422, f"{short_repr(value)} is not a number up to {MAX_NUMBER}")


def _flashboot(value: Any) -> dict[str, Any]:
    if not isinstance(value, str) or value not in FLASHBOOT:
        raise HttpError(422, f"flashboot {short_repr(value)} is unknown: use one of {', '.join(FLASHBOOT)}")
    return {"flashboot": FLASHBOOT[value]}


_FIELDS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "workers": _of_workers,
    "scaling": _of_scaling,
    "timeout": lambda value: {"execution_timeout_s": _whole(MAX_NUMBER)(value) / 1000},
    "flashboot": _flashboot,
}
