"""The HTTP client against the servers that people run: uvicorn, aiohttp, nginx and Node.js, each as a process."""

import subprocess
import sys

import gevent
import pytest

from coldburst.targets.http import Exchange, HttpClient, Timeouts
from tests.support.needs import need
from tests.support.scripted import closed_by
from tests.support.serving import reserved
from tests.support.transcribers import until

UVICORN = """
import socket, uvicorn

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(app, timeout_keep_alive=1, log_level="error", lifespan="off")).run([listener])
"""
AIOHTTP = """
import socket
from aiohttp import web

async def count(request):
    return web.Response(text=str(len(await request.read())))

app = web.Application(client_max_size=10**8)
app.router.add_route("*", "/{any:.*}", count)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(app, sock=listener, keepalive_timeout=1, print=None)
"""
NODE = """
const server = require("http").createServer((request, response) => {
  let length = 0;
  request.on("data", (data) => { length += data.length; });
  request.on("end", () => { response.end(String(length)); });
});
server.keepAliveTimeout = 1000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 10m; keepalive_timeout 1s;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 $content_length; }} }}
}}
"""
PROGRAMS = {"uvicorn": [sys.executable, "-c", UVICORN], "aiohttp": [sys.executable, "-c", AIOHTTP], "node": ["node", "-e", NODE]}
SIZES = (0, 1, 70_000, 3_000_000)

pytestmark = pytest.mark.slow


@pytest.fixture(params=["uvicorn", "aiohttp", "node", "nginx"])
def port(request, tmp_path):
    """The port of a running server, whose idle connections live for a second."""
    if request.param == "nginx":
        program = need("nginx")
        with reserved() as free:
            (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=free), encoding="utf-8")
            process = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf")], stderr=subprocess.DEVNULL)
        number = free
    else:
        if request.param == "node":
            need("node")
        process = subprocess.Popen(PROGRAMS[request.param], stdout=subprocess.PIPE, text=True)
        number = int(process.stdout.readline())
    yield number
    process.terminate()
    process.wait(timeout=60)
    if process.stdout:
        process.stdout.close()


def ask(client, method, size):
    exchange = Exchange()
    client.send(exchange, method, "/", b"x" * size)
    return exchange


def until_up(client):
    with gevent.Timeout(10):
        while ask(client, "GET", 0).fault == "connect":
            gevent.sleep(0.02)


def test_requests_of_each_size_over_one_connection_and_after_the_server_closed_it(port):
    client = HttpClient(f"http://127.0.0.1:{port}", Timeouts(5, 10, 10))
    until_up(client)
    for _ in range(2):
        before = client.opened
        got = [ask(client, "POST", size) for size in SIZES * 5]
        assert [(one.status, one.fault, int(one.body or b"0"), one.reconnects) for one in got] == [(200, "", size, 0) for size in SIZES * 5]
        assert client.opened - before <= 1
        until(lambda: closed_by(port), "the server's end of the connection")
    client.close()


def test_many_at_once(port):
    client = HttpClient(f"http://127.0.0.1:{port}", Timeouts(5, 10, 10))
    until_up(client)
    got = [gevent.spawn(ask, client, "POST", 1000) for _ in range(40)]
    assert [one.get(timeout=60).status for one in got] == [200] * 40
    client.close()
