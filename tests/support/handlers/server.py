"""A load balancer's worker of a user's own: an HTTP server at $PORT, with what the tests ask of it."""

import asyncio
import os

from aiohttp import WSMsgType, web

state = {"health": 204}


async def ping(request):
    return web.Response(status=state["health"])


async def echo(request):
    said = {"path": request.raw_path, "method": request.method, "body": (await request.read()).decode(), "headers": dict(request.headers)}
    return web.json_response(said | {"worker": os.environ["RUNPOD_POD_ID"]}, headers={"X-Mine": "yes", "Connection": "close"})


async def health(request):
    state["health"] = int(request.match_info["status"])
    return web.Response()


async def chunks(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(int(request.query.get("parts", "3"))):
        await response.write(b"x" * 1000)
    if "forever" in request.query:
        await asyncio.sleep(60)
    await response.write_eof()
    return response


async def crash(request):
    os._exit(3)


async def web_socket(request):
    socket = web.WebSocketResponse(protocols=["chat"])
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(f"you said {message.data}")
        else:
            await socket.send_bytes(message.data[::-1])
    return socket


async def initialize(app):
    asyncio.get_running_loop().call_later(0.2, state.update, {"health": 200})


app = web.Application()
app.on_startup.append(initialize)
app.router.add_get("/ping", ping)
app.router.add_get("/health/{status}", health)
app.router.add_get("/chunks", chunks)
app.router.add_get("/crash", crash)
app.router.add_get("/ws", web_socket)
app.router.add_route("*", "/{any:.*}", echo)
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
