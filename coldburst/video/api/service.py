"""The video service over HTTP: its routes on FastAPI, and its life from loading to the last answer."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect

from coldburst.installation import missing
from coldburst.service.admission import NoRoomError
from coldburst.service.process import on_stop
from coldburst.service.server import Server
from coldburst.video import job as states
from coldburst.video.api.status import ServiceStatus
from coldburst.video.generator import VideoGenerator
from coldburst.video.job import ID, MOST_PORTRAIT_BYTES, BadRequestError, VideoJob, VideoRequest, read_request
from coldburst.video.settings import ServiceOptions
from coldburst.video.workers.pool import JobError, WorkerLostError

ROUTE = "/v1/videos"
GRACE_S = 5.0
# A portrait in Base64 takes a third more; the rest is for the script and the other fields.
MOST_BYTES = MOST_PORTRAIT_BYTES * 4 // 3 + (128 << 10)
STATUS = {states.DONE: 200, states.FAILED: 500, states.EXPIRED: 503, states.CANCELLED: 500}


class VideoService:
    """The routes around a generator.

    Args:
        token: required in requests; "" = none is.
        health_path: path that a RunPod load balancer checks; "" = none.
    """

    def __init__(self, options: ServiceOptions, generator: VideoGenerator, token: str, health_path: str = "") -> None:
        self._options, self._generator, self._token, self._health_path = options, generator, token, health_path
        self._status = ServiceStatus(generator)

    def app(self) -> FastAPI:
        """The routes as an ASGI application."""
        app = FastAPI(title="coldburst video", openapi_url=None)
        if self._health_path.startswith("/"):  # the first route of a path wins, so this one may be /health
            app.add_api_route(self._health_path, self.check, methods=["GET"], response_model=None)
        routes: tuple[tuple[str, str, Callable[..., Any]], ...] = (
            ("GET", "/health", self.health),
            ("GET", "/metrics", self.metrics),
            ("POST", ROUTE, self.create),
            ("GET", f"{ROUTE}/{{job_id}}", self.show),
            ("GET", f"{ROUTE}/{{job_id}}/video", self.video),
            ("POST", f"{ROUTE}/{{job_id}}/cancel", self.cancel),
        )
        for method, path, endpoint in routes:
            app.add_api_route(path, endpoint, methods=[method], response_model=None)
        return app

    async def health(self) -> JSONResponse:
        """State of the service: 200 when the models are loaded, else 503."""
        return JSONResponse(self._status.health(), 200 if self._status.ready else 503)

    async def check(self) -> Response:
        """The answer to a RunPod load balancer: 204 while loading, then 200."""
        return await self.health() if self._status.ready else Response(status_code=204)

    async def metrics(self) -> Response:
        """State and resources for Prometheus."""
        return Response(self._status.metrics(), media_type=CONTENT_TYPE_LATEST)

    async def create(self, request: Request) -> Response:
        """A new job: 202 with its id, or with ``wait`` its end."""
        self._permit(request)
        try:
            content = await _json_body(request)
            asked = read_request(content)
            await _check_portrait(asked)
            job = self._generator.submit(asked)
        except ClientDisconnect:
            # The client does not read it.
            return Response()
        except BadRequestError as error:
            raise HTTPException(422, str(error)) from None
        except NoRoomError as error:
            raise HTTPException(503, str(error), {"Retry-After": str(self._options.retry_after)}) from None
        if content.get("wait") is True or request.query_params.get("wait") == "true":
            return await self._end_of(job, request)
        return JSONResponse(job.view(), 202, {"Location": f"{ROUTE}/{job.id}"})

    async def show(self, job_id: str, request: Request) -> Response:
        """The job as it is."""
        return JSONResponse(self._job(job_id, request).view())

    async def video(self, job_id: str, request: Request) -> Response:
        """The video of a job that is done; 409 for others."""
        job = self._job(job_id, request)
        if job.state != states.DONE or job.file is None:
            raise HTTPException(409, f"the job is {job.state} and has no video")
        kind = "application/octet-stream" if self._generator.options.engine == "fixed" else "video/mp4"
        return FileResponse(job.file, media_type=kind)

    async def cancel(self, job_id: str, request: Request) -> Response:
        """Cancel a job and return it when its worker is free; one that has ended stays as it is."""
        job = self._job(job_id, request)
        self._generator.cancel(job)
        return JSONResponse((await self._generator.result(job)).view())

    async def _end_of(self, job: VideoJob, request: Request) -> Response:
        """The job when it has ended. A client that leaves gives it up."""
        ended = asyncio.ensure_future(self._generator.result(job))
        gone = asyncio.ensure_future(_disconnect(request))
        try:
            await asyncio.wait([ended, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not ended.done():
                ended.cancel()
                self._generator.cancel(job)
        return self._answer(job)

    def _answer(self, job: VideoJob) -> Response:
        headers = {"Server-Timing": _server_timing(job)} | ({"X-Worker-Id": job.worker} if job.worker else {})
        if job.state == states.EXPIRED:
            headers["Retry-After"] = str(self._options.retry_after)
        return JSONResponse(job.view(), STATUS.get(job.state, 500), headers)

    def _job(self, job_id: str, request: Request) -> VideoJob:
        self._permit(request)
        job = self._generator.find(job_id) if ID.fullmatch(job_id) else None
        if job is None:
            raise HTTPException(404, "There is no job of that id, or its result is no longer kept")
        return job

    def _permit(self, request: Request) -> None:
        shown = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._token and not hmac.compare_digest(shown.encode(), self._token.encode()):
            raise HTTPException(401, "Invalid or missing API token")


async def _json_body(request: Request) -> Any:
    """The decoded body, read up to MOST_BYTES; BadRequestError."""
    too_large = HTTPException(413, f"The request is larger than {MOST_BYTES / 1e6:.1f} MB")
    if int(request.headers.get("content-length", "0")) > MOST_BYTES:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise too_large
    try:
        return json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise BadRequestError('the body is not JSON: send an object, as in {"script": "Hello"}') from None


async def _check_portrait(asked: VideoRequest) -> None:
    """BadRequestError for a portrait that is not a usable picture."""
    if not asked.portrait:
        return
    if sentence := missing("video"):
        raise BadRequestError(sentence)
    from coldburst.video.workers.picture import PictureError, check_picture  # noqa: PLC0415 - Pillow is part of an extra

    try:
        await asyncio.to_thread(check_picture, asked.portrait)
    except PictureError as error:
        raise BadRequestError(str(error)) from None


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _server_timing(job: VideoJob) -> str:
    """W3C Server Timing, in milliseconds."""
    times = {"queue": job.queue_s, "exec": job.execution_s, "tts": job.tts_s, "video": job.video_s}
    return ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in times.items() if seconds is not None)


async def serve(options: ServiceOptions, listening: socket.socket) -> int:
    """Serve requests on ``listening`` until stopped; the exit code: 0, or 1 when the models could not be loaded."""
    with contextlib.ExitStack() as stack:
        folder = options.out or stack.enter_context(tempfile.TemporaryDirectory(prefix="coldburst-video-", ignore_cleanup_errors=True))
        generator = VideoGenerator(options.generator, Path(folder))
        service = VideoService(options, generator, os.environ.get("API_TOKEN", ""), os.environ.get("HEALTH_CHECK_PATH", ""))
        server = Server(service.app(), grace_s=GRACE_S)
        on_stop(server.stop, until_stdin_closes=options.until_stdin_closes)
        async with generator:
            loading = asyncio.ensure_future(_loaded(generator, server))
            await server.serve(sockets=[listening])
            return 1 if loading.done() and not loading.result() else 0


async def _loaded(generator: VideoGenerator, server: Server) -> bool:
    """Whether the models could be loaded; if not, the service ends."""
    try:
        await generator.wait_loaded()
    except (JobError, WorkerLostError) as error:
        print(f"the service cannot start: {error}", file=sys.stderr)
        server.stop()
        return False
    return True
