"""The load balancer: any request to one of the endpoint's workers, by RunPod's host names or below /lb/NAME."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import aiohttp
from aiohttp import WSMsgType, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from coldburst.emulator.api.queue import body_of
from coldburst.emulator.api.responses import JSON, RefusedError, answer, refusal
from coldburst.emulator.hosted_endpoint import HeldRequest, HostedEndpoint
from coldburst.emulator.workers.process_backend import ProcessBackend
from coldburst.serverless.actions import Forward, GiveUp

WORKER = "X-Runpod-Worker-Id"
"""In a request: affinity to a worker. In an answer: the worker that gave it."""
OWN = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"} | {
    "host",
    "content-length",
    WORKER.lower(),
}
"""Headers of one connection (RFC 9110, 7.6.1), and those that are written anew."""
OF_WEB_SOCKET = "sec-websocket-"
STARTED = "coldburst.started"


async def serve(hosted: HostedEndpoint, request: web.BaseRequest, path: str) -> web.StreamResponse:
    """The worker's answer to a request, or the balancer's own error.

    Args:
        path: with the query, as the worker is to see it.
    """
    hosted.meet_faults(request, "lb")
    body = await body_of(hosted, request, hosted.platform.lb_bytes)
    if (odd := _unsayable(request.headers)) is not None:
        raise RefusedError(400, f"the header '{odd}' is no UTF-8, and cannot be passed on")
    visit = hosted.arrive(request.headers.get(WORKER, ""), request.headers.get("X-Request-ID", "")[:200])
    status: int | None = None
    reason = "the client went away"
    try:
        response = await _answer(hosted, visit, request, path, body)
        status, reason = response.status, "answered"
        return response
    except RefusedError as error:
        status, reason = error.status, error.body["detail"]
        return _error(request, visit, error)
    finally:
        if isinstance(request.get(STARTED), web.WebSocketResponse):  # its client has gone when it ends, which is no failure
            status, reason = 101, "answered"
        hosted.leave(visit, status, reason)


def _error(request: web.BaseRequest, visit: HeldRequest, error: RefusedError) -> web.StreamResponse:
    started: web.StreamResponse | None = request.get(STARTED)
    if started is not None:  # too late for a status: the connection is cut
        if request.transport is not None:
            request.transport.abort()
        return started
    response = refusal(error)
    if visit.decided.done() and isinstance(forward := visit.decided.result(), Forward):
        response.headers[WORKER] = forward.worker_id
    return response


async def _answer(hosted: HostedEndpoint, visit: HeldRequest, request: web.BaseRequest, path: str, body: bytes) -> web.StreamResponse:
    decided = await visit.decided
    if isinstance(decided, GiveUp):
        _give_up(decided)
    passing: asyncio.Future[web.StreamResponse] = asyncio.create_task(_pass(hosted, visit, decided.worker_id, request, path, body))
    passing.add_done_callback(lambda task: task.cancelled() or task.exception())
    ends: set[asyncio.Future[Any]] = {passing, visit.cut}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not passing.done():
            passing.cancel()
    if passing.done():
        return passing.result()
    why = visit.cut.result()
    if isinstance(why, GiveUp):
        _give_up(why)
    raise RefusedError(524, f"the worker did not answer within {hosted.platform.processing_s:g} s")


def _give_up(decided: GiveUp) -> NoReturn:
    """No worker: the body's "error" as in RunPod's guides to load balancing, its "detail" as in their reasons."""
    raise RefusedError(decided.status, decided.reason, error="no workers available" if decided.status == 400 else decided.reason)


async def _pass(
    hosted: HostedEndpoint, visit: HeldRequest, worker_id: str, request: web.BaseRequest, path: str, body: bytes
) -> web.StreamResponse:
    crew = hosted.crew
    if not isinstance(crew, ProcessBackend):
        output = await visit.answered
        return answer(output, 500 if "error" in output else 200, {**JSON, WORKER: worker_id})
    try:
        url = crew.addresses[worker_id] + path
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await _pass_web_socket(crew.session, url, worker_id, request)
        return await _pass_http(crew.session, url, worker_id, request, body, hosted.platform.lb_bytes)
    except (aiohttp.ClientError, KeyError):
        raise RefusedError(502, "the worker cannot be reached, or broke off") from None


async def _pass_http(
    session: aiohttp.ClientSession, url: str, worker_id: str, request: web.BaseRequest, body: bytes, most: float
) -> web.StreamResponse:
    async with session.request(
        request.method, URL(url, encoded=True), headers=_headers(request.headers), data=body or None, allow_redirects=False
    ) as said:
        if (said.content_length or 0) > most:
            raise RefusedError(502, f"the worker's answer is larger than {most / 1e6:g} MB")
        if (odd := _unsayable(said.headers)) is not None:
            raise RefusedError(502, f"the header '{odd}' of the worker's answer is no UTF-8, and cannot be passed on")
        reason = said.reason if said.reason and said.reason.isascii() else None
        response = web.StreamResponse(status=said.status, reason=reason, headers=_headers(said.headers))
        response.headers[WORKER] = worker_id
        if said.content_length is not None:
            response.content_length = said.content_length
        await response.prepare(request)
        request[STARTED] = response
        passed = 0
        async for chunk in said.content.iter_any():
            passed += len(chunk)
            if passed > most:
                raise RefusedError(502, f"the worker's answer is larger than {most / 1e6:g} MB")
            await response.write(chunk)
    await response.write_eof()
    return response


async def _pass_web_socket(session: aiohttp.ClientSession, url: str, worker_id: str, request: web.BaseRequest) -> web.StreamResponse:
    asked = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
    async with session.ws_connect(URL(url, encoded=True), headers=_headers(request.headers), protocols=asked, max_msg_size=0) as worker:
        client = web.WebSocketResponse(protocols=[worker.protocol] if worker.protocol else [], max_msg_size=0)
        client.headers[WORKER] = worker_id
        await client.prepare(request)
        request[STARTED] = client
        ways = {asyncio.create_task(_copy(client, worker)), asyncio.create_task(_copy(worker, client))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        await client.close(code=worker.close_code or aiohttp.WSCloseCode.OK)
    return client


async def _copy(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse, sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse
) -> None:
    """Messages from ``source`` to ``sink`` until either closes."""
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)


def _unsayable(headers: CIMultiDictProxy[str]) -> str | None:
    """The first header whose value's bytes are no UTF-8; they were read as lone surrogates."""
    return next((name for name, value in headers.items() if any("\ud800" <= letter <= "\udfff" for letter in value)), None)


def _headers(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Those that pass through; several of one name stay several."""
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in OWN and not name.lower().startswith(OF_WEB_SOCKET)
    )
