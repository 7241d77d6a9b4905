"""Other clients that send the clip of bench/generator.py as fast as they can, 32 at a time: aiohttp, wrk and hey.

    python -m bench.other_clients URL CLIP SECONDS     # aiohttp alone, which prints how many requests it sent

They record nothing on disk: what they cost is what sending alone costs.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from coldburst.targets.clips import load_clips, multipart

ROOT = Path(__file__).resolve().parent.parent
ROUTE = "/v1/audio/transcriptions"
CONTENT_TYPE = "multipart/form-data; boundary=edge"
IN_FLIGHT = 32
FORM = {"model": "whisper-1", "response_format": "json", "language": "en"}
WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "{type}"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
"""

# CPU seconds of a request, from the host, the folder of the clip, and the seconds to send for.
Cost = Callable[[str, Path, int], float]


def installed() -> dict[str, Cost | None]:
    """The clients by name; None for one that is not installed."""
    costs: dict[str, Cost] = {"aiohttp": _aiohttp, "wrk": _wrk, "hey": _hey}
    return {name: cost if name == "aiohttp" or shutil.which(name) else None for name, cost in costs.items()}


def _aiohttp(host: str, clips: Path, seconds: int) -> float:
    return _cost([sys.executable, "-m", "bench.other_clients", host + ROUTE, str(clips / "clip.wav"), str(seconds)], r"^(\d+)$")


def _wrk(host: str, clips: Path, seconds: int) -> float:
    script = clips.parent / f"{clips.name}.lua"
    script.write_text(WRK.format(type=CONTENT_TYPE, body=_body(clips)), encoding="utf-8")
    return _cost(["wrk", "-t", "1", "-c", str(IN_FLIGHT), "-d", f"{seconds}s", "-s", str(script), host + ROUTE], r"(\d+) requests in")


def _hey(host: str, clips: Path, seconds: int) -> float:
    words = ["hey", "-z", f"{seconds}s", "-c", str(IN_FLIGHT), "-m", "POST", "-T", CONTENT_TYPE, "-D", str(_body(clips)), host + ROUTE]
    return _cost(words, r"\[200\]\s+(\d+) responses")


def _body(clips: Path) -> Path:
    path = clips.parent / f"{clips.name}.body"
    path.write_bytes(multipart(load_clips(clips / "clip.wav")[0], FORM, "edge"))
    return path


def _cost(words: list[str], requests: str) -> float:
    """CPU seconds of a request of a process on the first core, whose output has their number."""
    process = subprocess.Popen(["taskset", "-c", "0", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    found = re.search(requests, said, re.MULTILINE)
    if process.returncode or found is None:
        sys.exit(f"{words[0]} ended with {process.returncode}:\n{said}")
    return (usage.ru_utime + usage.ru_stime) / int(found[1])


async def _send(url: str, body: bytes, seconds: float) -> int:
    import aiohttp  # noqa: PLC0415 - the other clients need none of it

    sent, until_s = 0, time.monotonic() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal sent
        while time.monotonic() < until_s:
            async with session.post(url, data=body, headers={"Content-Type": CONTENT_TYPE}) as answer:
                await answer.read()
                answer.raise_for_status()
            sent += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session) for _ in range(IN_FLIGHT)))
    return sent


if __name__ == "__main__":
    address, clip, length = sys.argv[1:]
    print(asyncio.run(_send(address, multipart(load_clips(Path(clip))[0], FORM, "edge"), float(length))))
