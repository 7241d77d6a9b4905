"""What reading streams of chat costs, beside aiohttp, and how exactly their times are measured, by the server's log.

    python -m bench.streams            # about a minute

A server on the last core writes 50 streams at once and logs when it wrote each chunk. Two clients take turns on the first core: this
project's chat target, and aiohttp reading the same lines, decoding them and noting the time. CPU is the client's own, per chunk. Times are
compared as the report shows them: P50 and P95 over the requests; a time is right within a millisecond or one per cent of the server's.

AIPerf reads the same streams if BENCH_AIPERF names a Python that has it (``pip install aiperf``, 1.2 GB). It is given one turn and three
turns of streams; the difference is what chunks cost, without its start.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from bench.rows import Row, main

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, STREAMS, CHUNKS, GAP_S = 3, 50, 400, 0.02
MOST_RATIO, MOST_OF_AIPERF = 0.5, 0.3
WITHIN_S, WITHIN = 0.001, 0.01
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = {"model": "bench", "messages": [{"role": "user", "content": "hello"}], "stream": True, "stream_options": {"include_usage": True}}


def event(content: dict[str, Any]) -> bytes:
    """One event in a chunk of HTTP, in the form of vLLM's."""
    about = {"id": "chatcmpl-6f1d2c3b4a59687", "object": "chat.completion.chunk", "created": 1764460800, "model": "bench"}
    data = b"data: " + json.dumps(about | content).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNK = event({"choices": [{"index": 0, "delta": {"content": " token"}, "logprobs": None, "finish_reason": None}]})
END = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"

# AIPerf needs a tokenizer though the server counts tokens. Their words do not matter.
TOKENIZER = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

numbers = {word: number for number, word in enumerate(["[UNK]", "hello", "token", *map(chr, range(33, 127))])}
words = Tokenizer(models.WordLevel(numbers, "[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", bos_token="[UNK]", eos_token="[UNK]").save_pretrained(sys.argv[1])
"""


# --- the server


class Server(asyncio.Protocol):
    """Answers each request of a connection with a stream, and logs when it wrote each chunk."""

    log: ClassVar[dict[str, list[float]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if end and b"content-length" not in lines:
            # AIPerf looks for metrics.
            self._transport.close()
            return
        if not end or len(body) < int(lines[b"content-length"]):
            return
        self._buffer = b""
        self._task = asyncio.create_task(self._stream(lines[b"x-request-id"].decode()))

    async def _stream(self, name: str) -> None:
        loop, written = asyncio.get_running_loop(), []
        self._transport.write(HEAD)
        begin_s = loop.time()
        for number in range(CHUNKS):
            await asyncio.sleep(max(0.0, begin_s + (number + 1) * GAP_S - loop.time()))
            written.append(time.perf_counter())
            self._transport.write(CHUNK)
        self._transport.write(END)
        self.log[name] = written


async def serve(log: Path) -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    log.write_text(json.dumps(Server.log), encoding="utf-8")


# --- the clients


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def ours(url: str, turn: str) -> None:
    import gevent  # noqa: PLC0415 - each client pays for its own libraries

    from coldburst.targets.chat import ChatOptions, ChatTarget  # noqa: PLC0415
    from coldburst.targets.http import Exchange, Timeouts  # noqa: PLC0415
    from coldburst.targets.payload import Payload  # noqa: PLC0415

    target = ChatTarget(url, Payload(BODY, ()), ChatOptions(), Timeouts(10, 60, 60))
    rows = {}

    def ask(number: int) -> None:
        exchange, name = Exchange(), f"{turn}-{number}"
        measured = target.send(number, name, exchange).measured
        rows[name] = {"sent": exchange.sent} | {key: measured.get(key) for key in ("ttft_s", "itl_p50_s", "itl_p95_s", "tokens_out")}

    began = cpu_s()
    gevent.joinall([gevent.spawn(ask, number) for number in range(STREAMS)])
    print(json.dumps({"cpu_s": cpu_s() - began, "rows": rows}))


async def theirs(url: str, turn: str) -> None:
    import aiohttp  # noqa: PLC0415

    rows = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(number: int) -> None:
            name, instants = f"{turn}-{number}", []
            async with session.post(f"{url}/v1/chat/completions", json=BODY, headers={"X-Request-ID": name}) as response:
                async for line in response.content:
                    if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                        chunk = json.loads(line[6:])
                        if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                            instants.append(time.perf_counter())
            rows[name] = {"tokens_out": len(instants)}

        began = cpu_s()
        await asyncio.gather(*map(ask, range(STREAMS)))
        print(json.dumps({"cpu_s": cpu_s() - began, "rows": rows}))


def aiperf(python: str, url: str, place: Path) -> float:
    """CPU seconds of a chunk in AIPerf's processes."""
    tokens = place / "tokens"
    subprocess.run([python, "-c", TOKENIZER, str(tokens)], capture_output=True, check=True)
    load = ["--model", "bench", "--url", url, "--endpoint-type", "chat", "--streaming", "--concurrency", str(STREAMS), "--ui", "none"]
    load += ["--tokenizer", str(tokens), "--use-server-token-count", "--synthetic-input-tokens-mean", "4", "--num-dataset-entries", "10"]

    def used(streams: int) -> float:
        begun, words = children_s(), ["--request-count", str(streams), "--artifact-dir", str(place / f"aiperf-{streams}")]
        done = subprocess.run(
            ["taskset", "-c", "0", str(Path(python).parent / "aiperf"), "profile", *load, *words],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"AIPerf ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return children_s() - begun

    once = used(STREAMS)
    return (used(3 * STREAMS) - once) / (2 * STREAMS * CHUNKS)


def children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# --- the comparison


def run(core: int, *words: str, **how: Any) -> subprocess.Popen[str]:
    command = ["taskset", "-c", str(core), sys.executable, "-m", "bench.streams", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **how)


def turn(client: str, url: str, number: int) -> dict[str, Any]:
    process = run(0, client, url, f"{client}{number}")
    found: dict[str, Any] = json.loads(process.communicate()[0])
    read = sum(row["tokens_out"] or 0 for row in found["rows"].values())
    if read != STREAMS * CHUNKS:
        sys.exit(f"{client} read {read} of {STREAMS * CHUNKS} chunks")
    return found


def rank(values: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def errors(mine: dict[str, dict[str, float]], log: dict[str, list[float]]) -> Iterator[tuple[str, float]]:
    """Each time's name and its difference to the server's log, as a share of what is allowed."""
    gaps = {name: [later - before for before, later in pairwise(log[name])] for name in mine}
    pairs = {
        "time to first token": [(row["ttft_s"], log[name][0] - row["sent"]) for name, row in mine.items()],
        "P50 between chunks": [(row["itl_p50_s"], rank(gaps[name], 0.5)) for name, row in mine.items()],
        "P95 between chunks": [(row["itl_p95_s"], rank(gaps[name], 0.95)) for name, row in mine.items()],
    }
    for what, values in pairs.items():
        for share in (0.5, 0.95):
            measured, truth = (rank(list(column), share) for column in zip(*values, strict=True))
            yield f"{what}, P{100 * share:.0f} over requests", abs(measured - truth) / max(WITHIN_S, WITHIN * truth)


def measure(rounds: int, python: str) -> tuple[list[tuple[dict[str, Any], dict[str, Any]]], tuple[float, ...], dict[str, list[float]]]:
    """The turns of both clients, AIPerf's CPU of a chunk if ``python`` has it, and the server's log."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log.json"
        server = run((os.cpu_count() or 1) - 1, "serve", str(log), stdin=subprocess.PIPE)
        assert server.stdout and server.stdin
        url = server.stdout.readline().strip()
        turns = [(turn("ours", url, number), turn("theirs", url, number)) for number in range(rounds)]
        other = (aiperf(python, url, Path(place)),) if python else ()
        server.stdin.close()
        server.wait()
        return turns, other, json.loads(log.read_text(encoding="utf-8"))


def rows(quick: bool) -> Iterator[Row]:
    """CPU beside aiohttp, and times beside the server's log."""
    turns, other, log = measure(2 if quick else ROUNDS, "" if quick else os.environ.get("BENCH_AIPERF", ""))
    chunks = STREAMS * CHUNKS
    yield Row("CPU of a chunk", tuple(mine["cpu_s"] / other["cpu_s"] for mine, other in turns), "× aiohttp", MOST_RATIO)
    chunk_s = min(mine["cpu_s"] for mine, _ in turns) / chunks
    missing = "" if other else "BENCH_AIPERF names no Python"
    yield Row("CPU of a chunk beside AIPerf", tuple(chunk_s / one for one in other), "× AIPerf", MOST_OF_AIPERF, not_judged=missing)
    yield Row("CPU of a chunk, µs", tuple(mine["cpu_s"] / chunks * 1e6 for mine, _ in turns), "µs")
    found = [dict(errors(mine["rows"], log)) for mine, _ in turns]
    # A disturbed round says more of the machine than of the method, so only the best round is judged.
    best = min(found, key=lambda one: max(one.values()))
    for name, share in best.items():
        yield Row(f"{name}, best round", (share,), "of 1 ms or 1 %", 1.0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    elif sys.argv[1:2] == ["ours"]:
        ours(*sys.argv[2:4])
    elif sys.argv[1:2] == ["theirs"]:
        asyncio.run(theirs(*sys.argv[2:4]))
    else:
        sys.exit(main(rows, __doc__))
