"""Logs of the emulator's workers: what REST v2 streams, and what a run quotes of them."""

import asyncio
import json
import os
import shlex
import sys
import urllib.request

import pytest

from coldburst.emulator.workers.worker_log import LogPipe, WorkerLog
from tests.support.emulators import emulator
from tests.support.locusts import REPORTED, locust

CRASHING = f"{sys.executable} -c " + shlex.quote("import sys; print('cannot load /models/big.bin'); sys.exit('no room on the card')")


def test_a_log_gives_its_tail_and_then_what_comes():
    async def followed():
        log = WorkerLog()
        for k in range(4):
            log.add(f"line {k}")
        found = []

        async def read():
            async for line in log.follow(2):
                found.append(line.text)

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        log.add("new")
        await asyncio.sleep(0)
        log.end()
        await reader
        return found

    assert asyncio.run(followed()) == ["line 2", "line 3", "new"]


def test_a_pipe_cuts_bytes_into_lines_and_copies_them():
    async def piped():
        log = WorkerLog()
        read, write = os.pipe()
        pipe = LogPipe(log, write)
        for piece in (b"one\ntw", b"o\r\n\xff\n", b"x" * 20_000, b"\nlast"):
            os.write(pipe.entry, piece)
            await asyncio.sleep(0)
        pipe.started()
        pipe.close()
        copied = os.read(read, 1 << 16)
        os.close(read)
        os.close(write)
        return [line.text for line in log.lines], copied

    lines, copied = asyncio.run(piped())
    assert lines[:3] == ["one", "two", "\ufffd"]
    assert (sum(map(len, lines[3:-1])), lines[-1]) == (20_000, "last")
    assert len(copied) == 20_000 + 16


@pytest.mark.slow
def test_a_crash_loop_is_quoted_from_the_log_of_a_worker_that_failed():
    """Every worker ends before it is ready; the jobs wait until the deadline."""
    words = ("--worker", "command", "--command", CRASHING, "--start", "0", "--workers-max", "1", "--platform", "unhealthy_retry_s=0.2")
    with emulator(*words) as platform:
        with locust("--host", f"{platform.url}/v2/demo", "--schedule", "burst 2", "--deadline", "8", "--sample", "0.5", **REPORTED) as run:
            run.wait(120)
            report = (run.folder / "report" / "report.md").read_text()
            causes = {row["cause"] for row in run.table("events.csv") if row["kind"] == "abandoned"}
            output = run.output
            lines = [row["detail"] for row in run.table("events.csv") if row["kind"] == "worker_log"]
        assert causes == {"crash_loop"}
        # The two channels are two pipes.
        assert {*lines} == {"cannot load /models/big.bin", "no room on the card", "ended with exit code 1"}
        assert "no room on the card" in report
        assert "no room on the card" in output
        (worker, *_) = json.loads(urllib.request.urlopen(f"{platform.url}/v2/serverless/demo/workers").read())["workers"]
        with urllib.request.urlopen(f"{platform.url}/v2/serverless/demo/workers/{worker['id']}/logs?tail=1") as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            entry = json.loads(stream.read().split(b"data: ")[1])
        assert (entry["source"], entry["line"]) == ("container", "ended with exit code 1")
