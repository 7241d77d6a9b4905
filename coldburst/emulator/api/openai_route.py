"""OpenAI's interface of a queue endpoint, /v2/NAME/openai/v1/…: each request is a job whose worker answers it.

The worker gets ``openai_route`` and ``openai_input`` as the job's input and yields the answer: texts of server-sent events where the
request asks for a stream, else one object. Source: runpod-workers/worker-vllm. Not documented, and assumed here: objects reach the client
with status 200 whatever they say (reported in issue 186 there), a job that fails before its first chunk is a 500, one that fails
later ends the stream early, and a job whose client disconnects goes on, as with /runsync.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from coldburst.emulator.api.queue import edge_timeout, json_body, quota_headers, too_many
from coldburst.emulator.api.responses import HttpError, answer, require_settled
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.serverless.errors import JobNotFoundError, RequestRefusedError
from coldburst.serverless.job import Job

OPERATION = "openai"
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


async def serve(endpoint: HostedEndpoint, request: web.BaseRequest, route: str) -> web.StreamResponse:
    """The worker's answer to a request for ``route``, as in /v1/chat/completions; HttpError."""
    if not endpoint.is_queue:
        raise HttpError(400, "not allowed for LB API")
    if request.method not in ("GET", "POST"):
        raise HttpError(405, f"{request.method} is not allowed for /openai: use POST", {"Allow": "GET, POST"})
    await endpoint.faults.check_request(request, OPERATION)
    require_settled(endpoint.changing_s)
    if (again_s := endpoint.core.admit(OPERATION, endpoint.now())) is not None:
        raise too_many(endpoint, OPERATION, again_s)
    try:
        return await _answer(endpoint, request, route)
    except JobNotFoundError as error:
        raise HttpError(404, str(error)) from None
    except RequestRefusedError as error:
        raise HttpError(error.status, str(error)) from None
    finally:
        endpoint.core.release(OPERATION)


async def _answer(endpoint: HostedEndpoint, request: web.BaseRequest, route: str) -> web.StreamResponse:
    body = await json_body(endpoint, request, endpoint.platform.sync_bytes) if request.method == "POST" else {}
    job = endpoint.core.submit({"input": {"openai_route": route, "openai_input": body}}, endpoint.now(), sync=True)
    endpoint.pump()
    edge_s, told = endpoint.platform.edge_s or None, quota_headers(endpoint, OPERATION)
    try:
        if body.get("stream") is True:
            return await _stream(endpoint.chunks(job, edge_s), request, job, told)
        async with asyncio.timeout(edge_s):
            response = await _whole_answer(endpoint.chunks(job), job)
    except TimeoutError:
        raise edge_timeout(endpoint.platform.edge_s) from None
    response.headers.update(told)
    return response


async def _whole_answer(yielded: AsyncIterator[Any], job: Job) -> web.StreamResponse:
    chunks = [chunk async for chunk in yielded]
    if job.state != "COMPLETED":
        raise _failure(job)
    return _whole(chunks or job.output)


async def _stream(chunks: AsyncIterator[Any], request: web.BaseRequest, job: Job, told: dict[str, str]) -> web.StreamResponse:
    response: web.StreamResponse | None = None
    async for chunk in chunks:
        if response is None:
            # An error: the object is the whole answer.
            if isinstance(chunk, dict) and "choices" not in chunk:
                return answer(chunk)
            response = web.StreamResponse(headers=EVENTS | told)
            await response.prepare(request)
        await response.write(_events(chunk))
    if response is None:
        if job.state != "COMPLETED":
            raise _failure(job)
        return _whole(job.output)
    await response.write_eof()
    return response


def _events(chunk: Any) -> bytes:
    """A chunk as events: texts as they are, each object of a list (a worker with RAW_OPENAI_OUTPUT=0) as one."""
    if isinstance(chunk, str):
        return chunk.encode(errors="surrogatepass")
    return "".join(f"data: {json.dumps(one)}\n\n" for one in (chunk if isinstance(chunk, list) else [chunk])).encode()


def _whole(output: Any) -> web.Response:
    """An answer in one piece: what a generator yielded last is the answer, and so is what any other handler returned."""
    content = output[-1] if isinstance(output, list) and output else output
    return web.Response(body=content.encode(errors="surrogatepass"), headers=EVENTS) if isinstance(content, str) else answer(content)


def _failure(job: Job) -> HttpError:
    return HttpError(500, job.error or f"the job is {job.state}")
