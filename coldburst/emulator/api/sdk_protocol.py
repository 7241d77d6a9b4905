"""The routes that the runpod SDK in a worker calls, such as job-take and job-done, as SDK 1.12.0 uses them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from coldburst.emulator.api.queue import body_of
from coldburst.emulator.api.responses import HttpError, answer, content
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.workers.long_polls import LongPolls
from coldburst.emulator.workers.processes import report
from coldburst.serverless.errors import JobNotFoundError
from coldburst.serverless.job import Job

MAX_JOBS = 1000

Serve = Callable[[HostedEndpoint, LongPolls, web.BaseRequest, str, str], Awaitable[web.StreamResponse]]


async def _take(endpoint: HostedEndpoint, polls: LongPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    return await _give(polls, request, worker_id, await polls.take(worker_id, 1), single=True)


async def _take_batch(endpoint: HostedEndpoint, polls: LongPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    text = request.query.get("batch_size", "1")
    if not text.isdigit() or not 1 <= int(text) <= MAX_JOBS:
        raise HttpError(400, f"batch_size={text} is not a number of jobs: use 1 to {MAX_JOBS}")
    return await _give(polls, request, worker_id, await polls.take(worker_id, int(text)), single=False)


async def _give(polls: LongPolls, request: web.BaseRequest, worker_id: str, jobs: tuple[Job, ...], *, single: bool) -> web.StreamResponse:
    """Deliver jobs; they return to the queue if the connection breaks first."""
    if not jobs:
        return web.Response(status=204)
    payloads = [job.payload() for job in jobs]
    response = answer(payloads[0] if single else payloads)
    try:
        await response.prepare(request)
        await response.write_eof()
    except (ConnectionError, asyncio.CancelledError):
        polls.give_back(worker_id, jobs)
        raise
    return response


async def _stop(endpoint: HostedEndpoint, polls: LongPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    found = await polls.stops(worker_id)
    return answer({"jobsToStop": found}) if found else web.Response(status=204)


async def _done(endpoint: HostedEndpoint, polls: LongPolls, request: web.BaseRequest, worker_id: str, job_id: str) -> web.StreamResponse:
    """A result: JSON, whatever its content type.

    One that is too large or not JSON (NaN, Infinity) gets a 400 and a line in the log, and its job ends without output.
    """
    refused: HttpError | None = None
    try:
        body = content(await body_of(endpoint, request, _max_bytes(endpoint, job_id)), "the result")
    except HttpError as error:
        refused, body = error, {}
    if body.get("status") != "IN_PROGRESS":
        await asyncio.sleep(endpoint.report_s())
    known = endpoint.core.done(worker_id, job_id, body, endpoint.now())
    endpoint.pump()
    if refused:
        report(f"worker {worker_id}: its result of job {job_id} got a 400, and the job has no output: {refused}")
        raise HttpError(400, str(refused))
    return answer({"ok": known})


def _max_bytes(endpoint: HostedEndpoint, job_id: str) -> float:
    try:
        sync = endpoint.core.job(job_id, endpoint.now()).sync
    except JobNotFoundError:
        sync = False
    return endpoint.platform.sync_bytes if sync else endpoint.platform.run_bytes


async def _stream(endpoint: HostedEndpoint, polls: LongPolls, request: web.BaseRequest, worker_id: str, job_id: str) -> web.StreamResponse:
    body = content(await body_of(endpoint, request, _max_bytes(endpoint, job_id)), "the chunk")
    endpoint.core.stream(worker_id, job_id, body.get("output"), endpoint.now())
    endpoint.pump()
    return answer({"ok": True})


async def _ping(endpoint: HostedEndpoint, polls: LongPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    query: Mapping[str, str] = request.query
    if query.get("status") == "unhealthy":
        endpoint.core.unhealthy(worker_id, endpoint.now(), f"{query.get('check', 'a check')}: {query.get('reason', 'failed')}")
    else:
        endpoint.core.ping(worker_id, filter(None, query.get("job_id", "").split(",")), endpoint.now())
    endpoint.pump()
    return answer({"ok": True})


OPERATIONS: dict[str, tuple[str, bool, Serve]] = {
    "job-take": ("GET", False, _take),
    "job-take-batch": ("GET", False, _take_batch),
    "job-stop": ("GET", False, _stop),
    "job-done": ("POST", True, _done),
    "job-stream": ("POST", True, _stream),
    "ping": ("GET", False, _ping),
}
"""By name: the verb, whether the path ends in a job's id, and what serves it."""


async def serve(
    endpoint: HostedEndpoint, polls: LongPolls, request: web.BaseRequest, name: str, worker_id: str, job_id: str
) -> web.StreamResponse:
    """The answer to a worker's request; HttpError."""
    method, of_job, operation = OPERATIONS[name]
    if request.method != method:
        raise HttpError(405, f"{request.method} is not allowed for /{name}: use {method}", {"Allow": method})
    if not worker_id or bool(job_id) != of_job:
        raise HttpError(404, f"no such path: /{name} is followed by a worker's id{' and a job id' if of_job else ''}")
    return await operation(endpoint, polls, request, worker_id, job_id)
