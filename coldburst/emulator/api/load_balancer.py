"""The load balancer: forwards any request to one of the endpoint's workers, by RunPod's host names or below /lb/NAME."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import aiohttp
from aiohttp import WSMsgType, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from coldburst.emulator.api.queue import body_of
from coldburst.emulator.api.responses import JSON, HttpError, answer, refusal
from coldburst.emulator.held_requests import HeldRequest
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.workers.process_backend import ProcessBackend
from coldburst.serverless.actions import Forward, GiveUp

WORKER = "X-Runpod-Worker-Id"
"""In a request: affinity to a worker. In an answer: its worker."""
HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"} | {
    "host",
    "content-length",
    WORKER.lower(),
}
"""Headers of one connection (RFC 9110, 7.6.1), and those that are set here."""
WEB_SOCKET_PREFIX = "sec-websocket-"
STARTED = "coldburst.started"


async def serve(endpoint: HostedEndpoint, request: web.BaseRequest, path: str) -> web.StreamResponse:
    """The worker's answer to a request, or the balancer's error; ``path`` includes the query."""
    await endpoint.faults.check_request(request, "lb")
    body = await body_of(endpoint, request, endpoint.platform.lb_bytes)
    if (header := _non_utf8_header(request.headers)) is not None:
        raise HttpError(400, f"the header '{header}' is not UTF-8 and cannot be forwarded")
    held = endpoint.arrive(request.headers.get(WORKER, ""), request.headers.get("X-Request-ID", "")[:200])
    status: int | None = None
    reason = "the client disconnected"
    try:
        response = await _answer(endpoint, held, request, path, body)
        status, reason = response.status, "answered"
        return response
    except HttpError as error:
        status, reason = error.status, error.body["detail"]
        return _error(request, held, error)
    finally:
        if isinstance(request.get(STARTED), web.WebSocketResponse):  # it ends when the client disconnects, which is not a failure
            status, reason = 101, "answered"
        endpoint.leave(held, status, reason)


def _error(request: web.BaseRequest, held: HeldRequest, error: HttpError) -> web.StreamResponse:
    started: web.StreamResponse | None = request.get(STARTED)
    if started is not None:  # too late for a status: cut the connection
        if request.transport is not None:
            request.transport.abort()
        return started
    response = refusal(error)
    if held.decision.done() and isinstance(forward := held.decision.result(), Forward):
        response.headers[WORKER] = forward.worker_id
    return response


async def _answer(endpoint: HostedEndpoint, held: HeldRequest, request: web.BaseRequest, path: str, body: bytes) -> web.StreamResponse:
    decision = await held.decision
    if isinstance(decision, GiveUp):
        _give_up(decision)
    forwarding: asyncio.Future[web.StreamResponse] = asyncio.create_task(_forward(endpoint, held, decision.worker_id, request, path, body))
    forwarding.add_done_callback(lambda task: task.cancelled() or task.exception())
    ends: set[asyncio.Future[Any]] = {forwarding, held.cut}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not forwarding.done():
            forwarding.cancel()
    if forwarding.done():
        return forwarding.result()
    why = held.cut.result()
    if isinstance(why, GiveUp):
        _give_up(why)
    raise HttpError(524, f"the worker did not answer within {endpoint.platform.processing_s:g} s")


def _give_up(decision: GiveUp) -> NoReturn:
    """Raise the error for a request without a worker; "error" and "detail" as in RunPod's guides to load balancing."""
    raise HttpError(decision.status, decision.reason, error="no workers available" if decision.status == 400 else decision.reason)


async def _forward(
    endpoint: HostedEndpoint, held: HeldRequest, worker_id: str, request: web.BaseRequest, path: str, body: bytes
) -> web.StreamResponse:
    backend = endpoint.backend
    if not isinstance(backend, ProcessBackend):
        output = await held.output
        return answer(output, 500 if "error" in output else 200, {**JSON, WORKER: worker_id})
    try:
        url = backend.addresses[worker_id] + path
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await _forward_web_socket(backend.session, url, worker_id, request)
        return await _forward_http(backend.session, url, worker_id, request, body, endpoint.platform.lb_bytes)
    except (aiohttp.ClientError, KeyError):
        raise HttpError(502, "the worker is unreachable or closed the connection") from None


async def _forward_http(
    session: aiohttp.ClientSession, url: str, worker_id: str, request: web.BaseRequest, body: bytes, most: float
) -> web.StreamResponse:
    async with session.request(
        request.method, URL(url, encoded=True), headers=_headers(request.headers), data=body or None, allow_redirects=False
    ) as answered:
        if (answered.content_length or 0) > most:
            raise HttpError(502, f"the worker's answer is larger than {most / 1e6:g} MB")
        if (header := _non_utf8_header(answered.headers)) is not None:
            raise HttpError(502, f"the header '{header}' of the worker's answer is not UTF-8 and cannot be forwarded")
        reason = answered.reason if answered.reason and answered.reason.isascii() else None
        response = web.StreamResponse(status=answered.status, reason=reason, headers=_headers(answered.headers))
        response.headers[WORKER] = worker_id
        if answered.content_length is not None:
            response.content_length = answered.content_length
        await response.prepare(request)
        request[STARTED] = response
        passed = 0
        async for chunk in answered.content.iter_any():
            passed += len(chunk)
            if passed > most:
                raise HttpError(502, f"the worker's answer is larger than {most / 1e6:g} MB")
            await response.write(chunk)
    await response.write_eof()
    return response


async def _forward_web_socket(session: aiohttp.ClientSession, url: str, worker_id: str, request: web.BaseRequest) -> web.StreamResponse:
    protocols = [name.strip() for name in request.headers.get("sec-websocket-protocol", "").split(",") if name.strip()]
    async with session.ws_connect(URL(url, encoded=True), headers=_headers(request.headers), protocols=protocols, max_msg_size=0) as worker:
        client = web.WebSocketResponse(protocols=[worker.protocol] if worker.protocol else [], max_msg_size=0)
        client.headers[WORKER] = worker_id
        await client.prepare(request)
        request[STARTED] = client
        directions = {asyncio.create_task(_copy(client, worker)), asyncio.create_task(_copy(worker, client))}
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
        await client.close(code=worker.close_code or aiohttp.WSCloseCode.OK)
    return client


async def _copy(
    source: web.WebSocketResponse | aiohttp.ClientWebSocketResponse, sink: web.WebSocketResponse | aiohttp.ClientWebSocketResponse
) -> None:
    """Copy messages until either side closes."""
    async for message in source:
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)


def _non_utf8_header(headers: CIMultiDictProxy[str]) -> str | None:
    """The first header whose value is not UTF-8 (read as lone surrogates)."""
    return next((name for name, value in headers.items() if any("\ud800" <= letter <= "\udfff" for letter in value)), None)


def _headers(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in HOP_BY_HOP and not name.lower().startswith(WEB_SOCKET_PREFIX)
    )
