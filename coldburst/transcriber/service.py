"""The transcription service on FastAPI and uvicorn: its routes, and its life from loading to the last answer.

Everything slow happens in a slot, so that /health always answers.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from coldburst.service.admission import Admission, NoRoomError
from coldburst.service.process import on_stop
from coldburst.service.server import Server
from coldburst.transcriber.access_log import ROUTE, AccessLogMiddleware, Receive, RequestTrace, Stall, TooLargeError
from coldburst.transcriber.answer_formats import EVENTS, FORMATS, STREAMABLE, events
from coldburst.transcriber.recognisers import RecognitionRequest, Transcript, UndecodableError
from coldburst.transcriber.settings import TranscriberOptions
from coldburst.transcriber.slots import DiedError, Slots

GRACE_S = 5.0  # for running requests when the service stops
RELOAD_PAUSE_S = 1.0


class TranscriptionService:
    """The service: its routes and the slots behind them.

    Args:
        token: required in requests; "" = none is.
        health_path: path that a RunPod load balancer checks; "" = none.
    """

    def __init__(self, options: TranscriberOptions, slots: Slots, token: str, health_path: str = "") -> None:
        self._options = options
        self._slots = slots
        self._token = token
        self._health_path = health_path
        self._admission = Admission(options.queue, options.fail_fast)
        self._reloading: set[asyncio.Task[None]] = set()
        self._started = datetime.now(UTC)

    def app(self) -> FastAPI:
        """The routes as an ASGI application."""
        app = FastAPI(title="coldburst transcriber", openapi_url=None)
        if self._health_path.startswith("/"):  # the first route of a path wins, so this one may be /health
            app.add_api_route(self._health_path, self.check, methods=["GET"], response_model=None)
        app.add_api_route("/health", self.health, methods=["GET"])
        app.add_api_route(ROUTE, self.transcribe, methods=["POST"], response_model=None)
        app.add_api_route("/v1/models", self.models, methods=["GET"])
        app.add_api_route("/v1/models/{name:path}", self.model, methods=["GET"])
        return app

    async def load(self) -> None:
        """Load every slot, then open; DiedError, RuntimeError where a slot cannot be loaded."""
        all_slots = range(self._options.max_concurrent)
        await asyncio.gather(*map(self._slots.load, all_slots))
        for slot in all_slots:
            self._admission.offer(slot)

    async def health(self) -> JSONResponse:
        """State of the service: 200 when a slot is loaded, else 503."""
        state = {
            "status": "healthy" if self._admission.open else "loading",
            "worker_id": self._options.worker_id,
            "model": self._options.model or self._options.engine,
            "device": "cpu",
            "timestamp": datetime.now(UTC).isoformat(),
            "started": self._started.isoformat(),
            "slots": self._options.max_concurrent,
            "busy": self._admission.busy,
            "waiting": self._admission.waiting,
        }
        return JSONResponse(state, 200 if self._admission.open else 503)

    async def check(self) -> Response:
        """The answer to a RunPod load balancer: 204 while loading, then 200. Source: RunPod's load balancing overview."""
        return await self.health() if self._admission.open else Response(status_code=204)

    async def transcribe(self, request: Request) -> Response:
        """The transcript of the clip in a multipart form, as it is asked for; access is checked before the body is read."""
        trace: RequestTrace = request.state.trace
        self._permit(request)
        try:
            recognition, wanted = await _read_form(request)
            transcript = await self._queue_and_recognise(recognition, trace, request.receive)
        except ClientDisconnect:
            trace.disconnected = True
            # The client does not read it.
            return Response()
        except TooLargeError:
            raise self._too_large() from None
        timing = f"queue;dur={_ms(trace.queue_s)}, exec;dur={_ms(trace.execution_s)}"
        return _response(transcript, wanted, {"Server-Timing": timing})

    async def models(self, request: Request) -> JSONResponse:
        """The one model, which answers under any name."""
        self._permit(request)
        return JSONResponse({"object": "list", "data": [self._model(self._options.model or self._options.engine)]})

    async def model(self, request: Request, name: str) -> JSONResponse:
        """A model by its name: any name is served."""
        self._permit(request)
        return JSONResponse(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": round(self._started.timestamp()), "owned_by": "coldburst"}

    def _permit(self, request: Request) -> None:
        shown = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._token and not hmac.compare_digest(shown.encode(), self._token.encode()):
            raise HTTPException(401, "Invalid or missing API token")
        if int(request.headers.get("content-length", "0")) > self._options.max_bytes:
            raise self._too_large()

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The request is larger than {self._options.max_megabytes} megabytes")

    async def _queue_and_recognise(self, recognition: RecognitionRequest, trace: RequestTrace, receive: Receive) -> Transcript:
        """The transcript, once a slot is free. A client that leaves gives up its place, but a running recognition goes on."""
        entered_s = time.monotonic()
        place = self._enter()
        disconnect: asyncio.Future[Any] = asyncio.create_task(_watch_for_disconnect(receive, trace))
        try:
            try:
                await asyncio.wait([place, disconnect], return_when=asyncio.FIRST_COMPLETED)
            finally:
                trace.queue_s = time.monotonic() - entered_s
            if trace.disconnected:
                raise ClientDisconnect
            trace.slot = place.result()
            return await self._recognise(recognition, trace, trace.slot)
        finally:
            disconnect.cancel()
            self._admission.leave(place)

    def _enter(self) -> asyncio.Future[int]:
        try:
            return self._admission.enter()
        except NoRoomError as error:
            raise HTTPException(503, str(error), {"Retry-After": str(self._options.retry_after)}) from None

    async def _recognise(self, recognition: RecognitionRequest, trace: RequestTrace, slot: int) -> Transcript:
        began_s = time.monotonic()
        try:
            transcript = await self._slots.recognise(slot, recognition)
        except UndecodableError as error:
            raise HTTPException(400, str(error)) from None
        except DiedError:
            self._replace(slot)
            raise HTTPException(500, "The recogniser ended unexpectedly. Please retry later.") from None
        except RuntimeError as error:
            raise HTTPException(500, f"The recogniser failed: {error}") from None
        finally:
            trace.execution_s = time.monotonic() - began_s
        trace.audio_s = transcript.duration_s
        return transcript

    def _replace(self, slot: int) -> None:
        self._admission.retire(slot)
        task = asyncio.create_task(self._reload(slot))
        self._reloading.add(task)
        task.add_done_callback(self._reloading.discard)

    async def _reload(self, slot: int) -> None:
        while True:
            try:
                await self._slots.load(slot)
            except (DiedError, RuntimeError) as error:
                print(f"slot {slot} could not be reloaded: {error}; trying again", file=sys.stderr)
                await asyncio.sleep(RELOAD_PAUSE_S)
            else:
                self._admission.offer(slot)
                return


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How a client wants its answer: one of FORMATS, and whether as a stream of events."""

    format: str
    stream: bool


async def _read_form(request: Request) -> tuple[RecognitionRequest, _Wanted]:
    async with request.form() as form:
        file, model = form.get("file"), form.get("model")
        content = await file.read() if isinstance(file, UploadFile) else b""
        missing = [name for name, given in (("file", content), ("model", model)) if not given]
        if missing:
            errors = [{"type": "missing", "loc": ("body", name), "msg": "Field required", "input": None} for name in missing]
            raise RequestValidationError(errors)
        hints = {name: value for name in ("language", "prompt", "task") if isinstance(value := form.get(name), str)}
        wanted = _Wanted(str(form.get("response_format") or "json"), str(form.get("stream")).lower() in ("true", "1"))
        if wanted.format not in FORMATS:
            raise HTTPException(400, f"response_format '{wanted.format[:40]}' is not one of {', '.join(FORMATS)}")
        if wanted.stream and wanted.format not in STREAMABLE:
            raise HTTPException(400, f"'{wanted.format}' cannot be streamed: use one of {', '.join(STREAMABLE)}, or leave out stream")
        return RecognitionRequest(content, **hints), wanted


async def _each(transcript: Transcript) -> AsyncIterator[str]:
    for event in events(transcript):
        yield event


def _response(transcript: Transcript, wanted: _Wanted, headers: dict[str, str]) -> Response:
    if wanted.stream:
        return StreamingResponse(_each(transcript), headers=headers, media_type=EVENTS)
    render, kind = FORMATS[wanted.format]
    content = render(transcript)
    return Response(content if isinstance(content, str) else json.dumps(content), headers=headers, media_type=kind)


async def _watch_for_disconnect(receive: Receive, trace: RequestTrace) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    trace.disconnected = True


def _ms(seconds: float | None) -> str:
    return f"{1000 * (seconds or 0.0):.3f}"


async def serve(options: TranscriberOptions, listening: socket.socket, slots: Slots, log: TextIO | None) -> int:
    """Serve requests on ``listening`` until stopped; the exit code: 0, or 1 when no slot could be loaded."""
    service = TranscriptionService(options, slots, os.environ.get("API_TOKEN", ""), os.environ.get("HEALTH_CHECK_PATH", ""))
    stall = Stall(time.monotonic(), options.stall_s, options.stall_every_s) if options.stall_s else None
    application = AccessLogMiddleware(service.app(), options.worker_id, options.max_bytes, stall, log)
    server = Server(application, grace_s=GRACE_S)
    on_stop(server.stop, until_stdin_closes=options.until_stdin_closes)
    loading = asyncio.create_task(_load(service, server))
    try:
        await server.serve(sockets=[listening])
        return 1 if loading.done() and not loading.result() else 0
    finally:
        loading.cancel()
        slots.stop()


async def _load(service: TranscriptionService, server: Server) -> bool:
    try:
        await service.load()
    except (DiedError, RuntimeError) as error:
        print(f"the service cannot start: {error}", file=sys.stderr)
        server.should_exit = True
        return False
    return True
