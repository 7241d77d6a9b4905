"""The client's side of a queue endpoint: /v2/NAME/run and the other operations."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from coldburst.emulator.api.responses import HttpError, answer, content, rate_limit, require_settled, retry_after
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.serverless.errors import JobNotFoundError, RequestRefusedError
from coldburst.serverless.job import TERMINAL_STATES

STATUS_WAIT_S = (1.0, 90.0)
"""Bounds of ``wait`` of /status-sync, by the JavaScript and Go SDKs."""
PURGED = "completed"

Serve = Callable[[HostedEndpoint, web.BaseRequest, str], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its methods, its handler, whether its path ends in a job id, and whether load balancers have it."""

    methods: tuple[str, ...]
    serve: Serve
    of_job: bool = False
    of_balancer: bool = False


async def body_of(endpoint: HostedEndpoint, request: web.BaseRequest, most: float) -> bytes:
    """The request's body; HttpError above ``most`` bytes."""
    too_large = HttpError(endpoint.options.too_large_status, f"the body is larger than {most / 1e6:g} MB")
    if (request.content_length or 0) > most:
        raise too_large
    try:
        found = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    if len(found) > most:
        raise too_large
    return found


async def json_body(
    endpoint: HostedEndpoint, request: web.BaseRequest, most: float, what: str = "the request's body", *, strict: bool = True
) -> dict[str, Any]:
    """The JSON object in a client's request; HttpError 413 above ``most`` bytes, 415 for another content type, 400."""
    body = await body_of(endpoint, request, most)
    require_json(request)
    return content(body, what, strict=strict)


def require_json(request: web.BaseRequest) -> None:
    """HttpError 415 for a body of another content type than JSON; web forms cannot send JSON."""
    if request.body_exists and request.content_type != "application/json":
        raise HttpError(415, f"the body's type is {request.content_type[:60]}: send JSON with 'Content-Type: application/json'")


async def _run(endpoint: HostedEndpoint, request: web.BaseRequest, _: str) -> web.Response:
    require_settled(endpoint.changing_s)
    body = await json_body(endpoint, request, endpoint.platform.run_bytes)
    endpoint.check_webhook(body.get("webhook"))
    job = endpoint.core.submit(body, endpoint.now())
    endpoint.pump()
    return answer({"id": job.id, "status": "IN_QUEUE"})


async def _runsync(endpoint: HostedEndpoint, request: web.BaseRequest, _: str) -> web.Response:
    require_settled(endpoint.changing_s)
    platform = endpoint.platform
    wait_s = _wait_s(request, platform.sync_wait_s, (platform.sync_wait_min_s, platform.sync_wait_max_s))
    body = await json_body(endpoint, request, platform.sync_bytes)
    endpoint.check_webhook(body.get("webhook"))
    job = endpoint.core.submit(body, endpoint.now(), sync=True)
    endpoint.pump()
    edge_s = platform.edge_s or math.inf
    await endpoint.wait(job, min(wait_s, edge_s))
    if wait_s > edge_s and job.state not in TERMINAL_STATES:
        raise edge_timeout(edge_s)
    return answer(job.view())


def edge_timeout(edge_s: float) -> HttpError:
    """The edge's answer to a request without a first byte; its job goes on."""
    return HttpError(524, f"no answer within {edge_s:g} s")


def _wait_s(request: web.BaseRequest, default_s: float, bounds_s: tuple[float, float]) -> float:
    """``wait`` of the query, limited to its bounds; RunPod's behaviour outside of them is not known."""
    wait_s = _query_s(request, "wait")
    return default_s if wait_s is None else min(max(wait_s, bounds_s[0]), bounds_s[1])


def _query_s(request: web.BaseRequest, name: str) -> float | None:
    """A time from the query (milliseconds there); None where it is missing."""
    text = request.query.get(name) if request.query_string else None
    if text is None:
        return None
    try:
        time_s = float(text) / 1000
    except ValueError:
        time_s = math.nan
    if math.isnan(time_s):
        raise HttpError(400, f"{name}={text[:60]} is not a time: use milliseconds, as in {name}=90000")
    return time_s


async def _status(endpoint: HostedEndpoint, request: web.BaseRequest, job_id: str) -> web.Response:
    """The job; ``ttl`` shortens how long its result is kept."""
    life_s = _query_s(request, "ttl")
    job = endpoint.core.job(job_id, endpoint.now())
    if life_s is not None:
        endpoint.core.shorten(job_id, max(life_s, 0.0), endpoint.now())
        endpoint.pump()
    return answer(job.view())


async def _status_sync(endpoint: HostedEndpoint, request: web.BaseRequest, job_id: str) -> web.Response:
    wait_s = _wait_s(request, STATUS_WAIT_S[1], STATUS_WAIT_S)
    job = endpoint.core.job(job_id, endpoint.now())
    await endpoint.wait(job, wait_s)
    return answer(job.view())


async def _stream(endpoint: HostedEndpoint, request: web.BaseRequest, job_id: str) -> web.Response:
    chunks = endpoint.core.drain_stream(job_id, endpoint.now())
    return answer({"status": endpoint.core.job(job_id, endpoint.now()).state, "stream": [{"output": chunk} for chunk in chunks]})


async def _cancel(endpoint: HostedEndpoint, request: web.BaseRequest, job_id: str) -> web.Response:
    job = endpoint.core.cancel(job_id, endpoint.now())
    endpoint.pump()
    return answer({"id": job.id, "status": job.state})


async def _retry(endpoint: HostedEndpoint, request: web.BaseRequest, job_id: str) -> web.Response:
    job = endpoint.core.retry(job_id, endpoint.now())
    endpoint.pump()
    return answer({"id": job.id, "status": "IN_QUEUE"})


async def _purge(endpoint: HostedEndpoint, request: web.BaseRequest, _: str) -> web.Response:
    removed = endpoint.core.purge(endpoint.now())
    endpoint.pump()
    return answer({"removed": removed, "status": PURGED})


async def _health(endpoint: HostedEndpoint, request: web.BaseRequest, _: str) -> web.Response:
    return answer(endpoint.faults.health(endpoint.core.health(endpoint.now())))


async def _requests(endpoint: HostedEndpoint, request: web.BaseRequest, _: str) -> web.Response:
    """Jobs that have not ended; RunPod's format is not known."""
    return answer({"requests": [job.view() for job in endpoint.core.open_jobs()]})


OPERATIONS: dict[str, Operation] = {
    "run": Operation(("POST",), _run),
    "runsync": Operation(("POST",), _runsync),
    "status": Operation(("GET", "POST"), _status, of_job=True),
    "status-sync": Operation(("GET", "POST"), _status_sync, of_job=True),
    "stream": Operation(("GET", "POST"), _stream, of_job=True),
    "cancel": Operation(("POST",), _cancel, of_job=True),
    "retry": Operation(("POST",), _retry, of_job=True),
    "purge-queue": Operation(("POST",), _purge),
    "health": Operation(("GET",), _health, of_balancer=True),
    "requests": Operation(("GET",), _requests),
}


async def serve(endpoint: HostedEndpoint, request: web.BaseRequest, name: str, job_id: str) -> web.StreamResponse:
    """The answer to a client's request; HttpError."""
    operation = OPERATIONS[name]
    if request.method not in operation.methods:
        raise HttpError(
            405, f"{request.method} is not allowed for /{name}: use {operation.methods[0]}", {"Allow": ", ".join(operation.methods)}
        )
    if bool(job_id) != operation.of_job:
        raise HttpError(
            404, f"no such path: /{name} {'needs a job id, as in' if operation.of_job else 'stands alone, as in'} {_form(name)}"
        )
    if not (operation.of_balancer or endpoint.is_queue):
        raise HttpError(400, "not allowed for LB API")
    if name not in ("run", "runsync"):
        require_json(request)
    await endpoint.faults.check_request(request, name)
    if (again_s := endpoint.core.admit(name, endpoint.now())) is not None:
        raise too_many(endpoint, name, again_s)
    try:
        response = await operation.serve(endpoint, request, job_id)
    except JobNotFoundError as error:
        raise HttpError(404, str(error)) from None
    except RequestRefusedError as error:
        raise HttpError(error.status, str(error)) from None
    finally:
        endpoint.core.release(name)
    response.headers.update(quota_headers(endpoint, name))
    return response


def quota_headers(endpoint: HostedEndpoint, name: str) -> dict[str, str]:
    """The headers that tell the operation's rate limit; none as RunPod is documented."""
    quota = endpoint.core.quota(name, endpoint.now())
    return {} if quota is None else rate_limit("window", *quota)


def _form(name: str) -> str:
    return f"/v2/NAME/{name}/JOB" if OPERATIONS[name].of_job else f"/v2/NAME/{name}"


def too_many(endpoint: HostedEndpoint, name: str, again_s: float) -> HttpError:
    """The error for a request beyond the rate limit of an operation."""
    headers = (retry_after(again_s) if endpoint.platform.retry_after else {}) | quota_headers(endpoint, name)
    return HttpError(429, f"too many requests to /{name}: try again in {again_s:.1f} s", headers)
