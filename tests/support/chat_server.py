"""A stand-in for a service with OpenAI's completions: answers as the body's "model" says, and logs when it wrote each chunk.

    python -m tests.support.chat_server --log FILE

Model names: "stream:TOKENS:GAP_S", with ":cut=K" (the connection ends after K chunks), ":nodone" (no [DONE]), ":nousage",
":error=K" (an error instead of chunk K), ":split" (each chunk in two packets), ":comments" (keep-alives between chunks);
"whole", "empty", "soft" (an error inside a 200), "missing" (404), "busy" (503), "loud" (repeats the key).
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from tests.support.locusts import ROOT

USAGE = {"prompt_tokens": 11, "completion_tokens": 0, "total_tokens": 11}


def chunk(text, finish=None):
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}],
    }


def event(content):
    return f"data: {content if isinstance(content, str) else json.dumps(content)}\n\n".encode()


class ChatServer:
    def __init__(self, log):
        self._log = log

    async def completions(self, request):
        body = await request.json()
        kind, *more = str(body.get("model", "whole")).split(":")
        if kind == "stream" and body.get("stream"):
            return await self._stream(request, int(more[0]), float(more[1]), set(more[2:]), usage="stream_options" in body)
        message = {"role": "assistant", "content": "" if kind == "empty" else "A cold start."}
        whole = {"object": "chat.completion", "choices": [{"index": 0, "message": message}], "usage": USAGE | {"completion_tokens": 4}}
        answers = {
            "soft": (200, {"object": "error", "message": "CUDA out of memory"}),
            "missing": (404, {"error": {"message": "The model `missing` does not exist.", "code": "model_not_found"}}),
            "busy": (503, {"detail": "the queue is full"}),
            "loud": (500, {"error": {"message": f"no: {request.headers.get('Authorization', '')}"}}),
        }
        status, content = answers.get(kind, (200, whole))
        return web.json_response(content, status=status)

    async def _stream(self, request, tokens, gap_s, how, usage):
        options = dict(part.split("=") for part in how if "=" in part)
        cut, wrong = int(options.get("cut", -1)), int(options.get("error", -1))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Worker-Id": "w1"})
        await response.prepare(request)
        await response.write(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))
        written = []
        for number in range(tokens):
            await asyncio.sleep(gap_s)
            if number == cut:
                request.transport.abort()
                return response
            if number == wrong:
                await response.write(event({"error": {"message": "engine died", "code": 500}}))
                return response
            if "comments" in how:
                await response.write(b": keep-alive\n\n")
            data = event(chunk(f" {number}"))
            written.append(time.perf_counter())
            if "split" in how:
                await response.write(data[:25])
                await asyncio.sleep(0.002)
                written[-1] = time.perf_counter()
                await response.write(data[25:])
            else:
                await response.write(data)
        await response.write(event(chunk("", "stop")))
        if usage and "nousage" not in how:
            await response.write(event({"choices": [], "usage": USAGE | {"completion_tokens": tokens}}))
        if "nodone" not in how:
            await response.write(event("[DONE]"))
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"name": request.headers.get("X-Request-ID"), "written": written}) + "\n")
        return response


def application(log=None):
    app, server = web.Application(client_max_size=2**25), ChatServer(log)
    for route in ("/v1/chat/completions", "/v1/completions", "/openai/v1/chat/completions"):
        app.router.add_post(route, server.completions)
    return app


async def serve(log):
    runner = web.AppRunner(application(log))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


@contextmanager
def chat_server(log=None):
    """The server as a process; its URL."""
    command = [sys.executable, "-m", "tests.support.chat_server", *(("--log", str(log)) if log else ())]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def chunks_written(log):
    """By request name: when the server wrote each chunk with text, by ``time.perf_counter``."""
    return {row["name"]: row["written"] for row in map(json.loads, log.read_text(encoding="utf-8").splitlines())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path)
    asyncio.run(serve(parser.parse_args().log))
