"""The transcription service on FastAPI and uvicorn: its two routes, and its life from loading to the last answer.

Everything that takes long happens in a slot, so that /health answers at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from coldburst.transcriber.admission import Admission, NoRoomError
from coldburst.transcriber.recognisers import RecognitionRequest, Segment, Transcript, UndecodableError
from coldburst.transcriber.request_trace import ROUTE, AccessLogMiddleware, Receive, RequestTrace, Stall, TooLargeError
from coldburst.transcriber.slots import DiedError, Slots

if TYPE_CHECKING:
    from coldburst.transcriber.server import TranscriberOptions

GRACE_S = 5.0  # for requests that are running when the service is told to stop
KEEP_ALIVE_S = 75.0  # longer than clients keep idle connections, so that they close them and no request meets a closing one
RELOAD_PAUSE_S = 1.0


class TranscriptionService:
    """The routes and the slots behind them.

    Args:
        options: of the command line.
        slots: what recognises; ``load`` puts them in service.
        token: that requests must show; "" lets everyone in.
        checked: path that a RunPod load balancer asks, with answers by its contract; "" = it has none.
    """

    def __init__(self, options: TranscriberOptions, slots: Slots, token: str, checked: str = "") -> None:
        self._options = options
        self._slots = slots
        self._token = token
        self._checked = checked
        self._admission = Admission(options.queue, options.fail_fast)
        self._reloading: set[asyncio.Task[None]] = set()
        self._started = datetime.now(UTC)

    def app(self) -> FastAPI:
        """The routes as an ASGI application."""
        app = FastAPI(title="coldburst transcriber", openapi_url=None)
        if self._checked.startswith("/"):  # the first of one path counts, so that it may be /health
            app.add_api_route(self._checked, self.check, methods=["GET"], response_model=None)
        app.add_api_route("/health", self.health, methods=["GET"])
        app.add_api_route(ROUTE, self.transcribe, methods=["POST"], response_model=None)
        return app

    async def load(self) -> None:
        """Load every slot, then open.

        Raises:
            DiedError, RuntimeError: a slot cannot be loaded.
        """
        everyone = range(self._options.max_concurrent)
        await asyncio.gather(*map(self._slots.load, everyone))
        for slot in everyone:
            self._admission.offer(slot)

    async def health(self) -> JSONResponse:
        """State of the service: 200 when at least one slot is loaded, 503 before."""
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
        """What a RunPod load balancer is told: 204 while it loads, then 200. Source: RunPod's load balancing overview."""
        return await self.health() if self._admission.open else Response(status_code=204)

    async def transcribe(self, request: Request) -> Response:
        """Text of the clip in a multipart form; who is let in is decided before the body is read."""
        visit: RequestTrace = request.state.visit
        self._permit(request)
        try:
            order = await _order(request)
            heard = await self._in_turn(order, visit, request.receive)
        except ClientDisconnect:
            visit.left = True
            return Response()  # to nobody
        except TooLargeError:
            raise self._too_large() from None
        timing = f"queue;dur={_ms(visit.queue_s)}, exec;dur={_ms(visit.execution_s)}"
        return JSONResponse(body(heard), headers={"Server-Timing": timing})

    def _permit(self, request: Request) -> None:
        shown = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._token and not hmac.compare_digest(shown.encode(), self._token.encode()):
            raise HTTPException(401, "Invalid or missing API token")
        if int(request.headers.get("content-length", "0")) > self._options.max_bytes:
            raise self._too_large()

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The request is larger than {self._options.max_megabytes} megabytes")

    async def _in_turn(self, order: RecognitionRequest, visit: RequestTrace, receive: Receive) -> Transcript:
        """What is heard once a slot is free. A client that leaves gives its place back; what runs already runs to its end."""
        entered_s = time.monotonic()
        place = self._enter()
        leaving: asyncio.Future[Any] = asyncio.create_task(_leaving(receive, visit))
        try:
            try:
                await asyncio.wait([place, leaving], return_when=asyncio.FIRST_COMPLETED)
            finally:
                visit.queue_s = time.monotonic() - entered_s
            if visit.left:
                raise ClientDisconnect
            visit.slot = place.result()
            return await self._hear(order, visit, visit.slot)
        finally:
            leaving.cancel()
            self._admission.leave(place)

    def _enter(self) -> asyncio.Future[int]:
        try:
            return self._admission.enter()
        except NoRoomError as error:
            raise HTTPException(503, str(error), {"Retry-After": str(self._options.retry_after)}) from None

    async def _hear(self, order: RecognitionRequest, visit: RequestTrace, slot: int) -> Transcript:
        began_s = time.monotonic()
        try:
            heard = await self._slots.recognise(slot, order)
        except UndecodableError as error:
            raise HTTPException(400, str(error)) from None
        except DiedError:
            self._replace(slot)
            raise HTTPException(500, "The recogniser ended unexpectedly. Please retry later.") from None
        except RuntimeError as error:
            raise HTTPException(500, f"The recogniser failed: {error}") from None
        finally:
            visit.execution_s = time.monotonic() - began_s
        visit.audio_s = heard.duration_s
        return heard

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
                print(f"slot {slot} does not come back: {error}; trying again", file=sys.stderr)
                await asyncio.sleep(RELOAD_PAUSE_S)
            else:
                self._admission.offer(slot)
                return


def body(heard: Transcript) -> dict[str, Any]:
    """The answer's JSON, as OpenAI's verbose_json; ``duration`` is the real length of the clip in seconds, silence included."""
    return {
        "text": heard.text,
        "language": heard.language,
        "duration": heard.duration_s,
        "segments": [_segment(number, segment) for number, segment in enumerate(heard.segments)],
    }


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": 0.0,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
        "audio_start": segment.start,
        "audio_end": segment.end,
    }


async def _order(request: Request) -> RecognitionRequest:
    async with request.form() as form:
        file, model = form.get("file"), form.get("model")
        content = await file.read() if isinstance(file, UploadFile) else b""
        missing = [name for name, given in (("file", content), ("model", model)) if not given]
        if missing:
            errors = [{"type": "missing", "loc": ("body", name), "msg": "Field required", "input": None} for name in missing]
            raise RequestValidationError(errors)
        wishes = {name: value for name in ("language", "prompt", "task") if isinstance(value := form.get(name), str)}
        return RecognitionRequest(content, **wishes)


async def _leaving(receive: Receive, visit: RequestTrace) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    visit.left = True


def _ms(seconds: float | None) -> str:
    return f"{1000 * (seconds or 0.0):.3f}"


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to its caller: its own way ends the process by the signal instead of with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(options: TranscriberOptions, listening: socket.socket, slots: Slots, log: TextIO | None) -> int:
    """Answer requests on ``listening`` until told to stop; the exit code: 0, or 1 when no slot could be loaded."""
    service = TranscriptionService(options, slots, os.environ.get("API_TOKEN", ""), os.environ.get("HEALTH_CHECK_PATH", ""))
    stall = Stall(time.monotonic(), options.stall_s, options.stall_every_s) if options.stall_s else None
    frame = AccessLogMiddleware(service.app(), options.worker_id, options.max_bytes, stall, log)
    config = uvicorn.Config(
        frame,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=round(KEEP_ALIVE_S),
        timeout_graceful_shutdown=round(GRACE_S),
    )
    server = _Server(config)
    _on_end(server, options.until_stdin_closes)
    loading = asyncio.create_task(_load(service, server))
    try:
        await server.serve(sockets=[listening])
        return 1 if loading.done() and not loading.result() else 0
    finally:
        loading.cancel()
        slots.stop()


async def _load(service: TranscriptionService, server: uvicorn.Server) -> bool:
    try:
        await service.load()
    except (DiedError, RuntimeError) as error:
        print(f"the service cannot start: {error}", file=sys.stderr)
        server.should_exit = True
        return False
    return True


def _on_end(server: uvicorn.Server, until_stdin_closes: bool) -> None:
    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if until_stdin_closes:
        threading.Thread(target=_await_stdin, args=(loop, stop), daemon=True).start()


def _await_stdin(loop: asyncio.AbstractEventLoop, stop: Any) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 65536):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended by itself
        loop.call_soon_threadsafe(stop)
