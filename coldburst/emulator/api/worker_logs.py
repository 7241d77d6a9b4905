"""REST v2's stream of a worker's log, as server-sent events."""

from __future__ import annotations

import json

from aiohttp import web

from coldburst.emulator.api.responses import HttpError
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.workers.worker_log import MOST_LINES
from coldburst.serverless.errors import short_repr

SOURCES = ("container", "system")
# RunPod's default.
TAIL = 100


async def serve(endpoint: HostedEndpoint, request: web.BaseRequest, worker_id: str) -> web.StreamResponse:
    """The last lines, then new ones until the worker ends. HttpError 404 for a worker that is not listed, 422 for a bad parameter.

    The emulator has no system log, and begins at ``tail``: ``since`` and Last-Event-ID are ignored.
    """
    source, tail = request.query.get("source", "container"), request.query.get("tail", str(TAIL))
    if source not in SOURCES:
        raise HttpError(422, f"source {short_repr(source)} is unknown: use {' or '.join(SOURCES)}")
    if not (tail.isascii() and tail.isdigit() and int(tail) <= MOST_LINES):
        raise HttpError(422, f"tail {short_repr(tail)} is not a whole number from 0 to {MOST_LINES}")
    if all(worker["id"] != worker_id for worker in endpoint.core.workers(endpoint.now())):
        raise HttpError(404, "resource not found")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    log = endpoint.backend.log(worker_id)
    if log is not None and source == "container":
        async for line in log.follow(int(tail)):
            data = json.dumps({"source": source, "line": line.text, "ts": line.ts})
            await response.write(f"id: {line.ts}\ndata: {data}\n\n".encode())
    await response.write_eof()
    return response
