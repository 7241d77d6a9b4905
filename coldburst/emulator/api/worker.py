"""The worker's side of a queue endpoint: job-take, job-done and their neighbours, as the runpod SDK 1.12.0 asks them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from coldburst.emulator.api.queue import body_of
from coldburst.emulator.api.responses import RefusedError, answer, content
from coldburst.emulator.api.worker_polls import WorkerPolls
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.serverless.errors import JobNotFoundError
from coldburst.serverless.job import Job

MOST_JOBS = 1000

Serve = Callable[[HostedEndpoint, WorkerPolls, web.BaseRequest, str, str], Awaitable[web.StreamResponse]]


async def _take(hosted: HostedEndpoint, lines: WorkerPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    return await _give(lines, request, worker_id, await lines.take(worker_id, 1), single=True)


async def _take_batch(hosted: HostedEndpoint, lines: WorkerPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    text = request.query.get("batch_size", "1")
    if not text.isdigit() or not 1 <= int(text) <= MOST_JOBS:
        raise RefusedError(400, f"batch_size={text} is no number of jobs: ask for 1 to {MOST_JOBS}")
    return await _give(lines, request, worker_id, await lines.take(worker_id, int(text)), single=False)


async def _give(lines: WorkerPolls, request: web.BaseRequest, worker_id: str, jobs: tuple[Job, ...], *, single: bool) -> web.StreamResponse:
    """Hands jobs over. They return to the queue where the connection breaks before they are on their way."""
    if not jobs:
        return web.Response(status=204)
    payloads = [job.payload() for job in jobs]
    response = answer(payloads[0] if single else payloads)
    try:
        await response.prepare(request)
        await response.write_eof()
    except (ConnectionError, asyncio.CancelledError):
        lines.give_back(worker_id, jobs)
        raise
    return response


async def _stop(hosted: HostedEndpoint, lines: WorkerPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    found = await lines.stops(worker_id)
    return answer({"jobsToStop": found}) if found else web.Response(status=204)


async def _done(hosted: HostedEndpoint, lines: WorkerPolls, request: web.BaseRequest, worker_id: str, job_id: str) -> web.StreamResponse:
    """A result: JSON, whatever its content type says. One that is too large or no JSON gets a 400, and its job ends without output."""
    refused: RefusedError | None = None
    try:
        body = content(await body_of(hosted, request, _most_bytes(hosted, job_id)), "the result")
    except RefusedError as error:
        refused, body = error, {}
    known = hosted.endpoint.done(worker_id, job_id, body, hosted.now())
    hosted.pump()
    if refused:
        raise RefusedError(400, str(refused))
    return answer({"ok": known})


def _most_bytes(hosted: HostedEndpoint, job_id: str) -> float:
    try:
        sync = hosted.endpoint.job(job_id, hosted.now()).sync
    except JobNotFoundError:
        sync = False
    return hosted.platform.sync_bytes if sync else hosted.platform.run_bytes


async def _stream(hosted: HostedEndpoint, lines: WorkerPolls, request: web.BaseRequest, worker_id: str, job_id: str) -> web.StreamResponse:
    body = content(await body_of(hosted, request, _most_bytes(hosted, job_id)), "the chunk")
    hosted.endpoint.stream(worker_id, job_id, body.get("output"), hosted.now())
    return answer({"ok": True})


async def _ping(hosted: HostedEndpoint, lines: WorkerPolls, request: web.BaseRequest, worker_id: str, _: str) -> web.StreamResponse:
    query: Mapping[str, str] = request.query
    if query.get("status") == "unhealthy":
        hosted.endpoint.unhealthy(worker_id, hosted.now(), f"{query.get('check', 'a check')}: {query.get('reason', 'failed')}")
    else:
        hosted.endpoint.ping(worker_id, filter(None, query.get("job_id", "").split(",")), hosted.now())
    hosted.pump()
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
    hosted: HostedEndpoint, lines: WorkerPolls, request: web.BaseRequest, name: str, worker_id: str, job_id: str
) -> web.StreamResponse:
    """The answer to one request of a worker's.

    Raises:
        RefusedError: with the status and the sentence of the error.
    """
    method, of_job, operation = OPERATIONS[name]
    if request.method != method:
        raise RefusedError(405, f"{request.method} is not for /{name}: use {method}", {"Allow": method})
    if not worker_id or bool(job_id) != of_job:
        raise RefusedError(404, f"no such path: /{name} is followed by a worker's id{' and a job id' if of_job else ''}")
    return await operation(hosted, lines, request, worker_id, job_id)
