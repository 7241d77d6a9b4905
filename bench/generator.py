"""What the load generator costs and how exactly it sends, beside plain Locust and other clients, in one run.

    python -m bench.generator            # about eight minutes; needs nginx, wrk and hey (apt-get install nginx-light wrk hey)
    python -m bench.generator --quick    # two minutes, fewer and shorter rounds

The target is nginx answering at once, on the last core; the contenders take turns on the first, round by round, so that a busy machine
hits them alike. CPU is the process's own: of Locust's between start and stop, of the others' from start to end.

- CPU a request as a ratio to bare FastHttpUser in the same round (LIMITS);
- how late requests arrive by the log of a server (bench/arrival_log.py), whose clock has no second 0: the earliest arrival counts as
  on time. Its P95 is compared with that of attempts.csv, of which it may be twice and HIDDEN_MS, since the server waits for its own turns
  too;
- whether a run of VALID_RATE is valid: all requests answered, and P99 of the send delay in attempts.csv at most VALID_MS.

A limit on time is missed only where a bare process that sleeps is woken in time, by the median between the rounds (bench/wakes.py).
"""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import other_clients
from bench.rows import Row, main
from bench.wakes import judged, wakes_ms
from tests.support.attempt_rows import read

ROOT = Path(__file__).resolve().parent.parent
TEXT = "the boat left the harbour before the rain came"


class Size(NamedTuple):
    """A kind of request: seconds of 16 kHz audio in its clip, the clip's text, and the limit of its CPU as a ratio to FastHttpUser."""

    audio_s: float
    text: str
    limit: float


SMALL = "small (1.7 KB)"
LIMITS = {
    SMALL: Size(0.04, "", 0.55),
    "small, words judged": Size(0.04, TEXT, 0.7),
    "upload (187 KB)": Size(5.95, "", 0.8),
}
HIDDEN_MS = 1.0
# Requests per second, with the limits of P95 and P99 of the schedule error by the server's log, in ms.
RATES = {50: (0.7, 2.0), 200: (1.0, 3.0), 500: (1.0, 3.0), 1000: (1.0, 3.0)}
VALID_RATE, VALID_MS = 2000, 10.0
NGINX = """
daemon off; pid {place}/nginx.pid; error_log {place}/error.log; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {place}/body; keepalive_requests 100000000; client_max_body_size 10m;
  proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{{"text": "{text}"}}'; }} }}
}}
"""


def clip(place: Path, seconds: float) -> Path:
    """A WAV file of that length."""
    path = place / "clip.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(b"\1\2" * int(16000 * seconds))
    return path


def clips_of(place: Path, size: Size) -> Path:
    """A folder with one clip, and its text if it has one."""
    folder = place / f"clip-{size.audio_s}-{bool(size.text)}"
    folder.mkdir()
    name = clip(folder, size.audio_s).name
    if size.text:
        (folder / "transcripts.csv").write_text(f"file,text\n{name},{size.text}\n", encoding="utf-8")
    return folder


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def last_core() -> str:
    return str((os.cpu_count() or 1) - 1)


@contextmanager
def nginx(place: Path) -> Iterator[str]:
    """An nginx on the last core; its address."""
    if not shutil.which("nginx"):
        sys.exit("nginx is not installed: apt-get install nginx-light")
    port = free_port()
    conf = place / "nginx.conf"
    conf.write_text(NGINX.format(place=place, port=port, text=TEXT))
    process = subprocess.Popen(["taskset", "-c", last_core(), "nginx", "-c", str(conf), "-p", str(place)])
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None:
                    sys.exit("nginx did not start: see above")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def locust(contender: str, host: str, clips: Path, runs: Path, *arguments: str, requests: int = 0) -> dict[str, float]:
    """One turn of one contender: what its own process counted. ``requests``: plain Locust ends after so many."""
    command = [sys.executable, "-m", "locust", "-f", "bench/peers.py", "--headless", "--host", host, "--only-summary", *arguments]
    if contender == "coldburst":
        command += ["--runs", str(runs), "--clips", str(clips), "--target", "transcription", "--report", "no"]
    env = {**os.environ, "CONTENDER": contender, "BODY": str(clips / "clip.wav"), "REQUESTS": str(requests)}
    done = subprocess.run(["taskset", "-c", "0", *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')]
    if not lines:
        sys.exit(f"{contender} gave no figures:\n{done.stdout}\n{done.stderr}")
    found: dict[str, float] = json.loads(lines[0])
    if not found["requests"]:
        sys.exit(f"{contender} sent no request:\n{done.stdout}\n{done.stderr}")
    return found


def turns(host: str, place: Path, name: str, rounds: int, seconds: int, requests: int = 0) -> Iterator[Row]:
    """The CPU of each contender; ``requests``: of FastHttpUser and coldburst only, which both send so many."""
    size, plain = LIMITS[name], ["-u", "32", "-r", "100", "-t", f"{seconds}s"]
    contenders = {"FastHttpUser": plain, "coldburst": ["--schedule", f"level {requests or f'{seconds}s'} 32 at a time"]}
    if not requests:
        contenders["HttpUser(files=)"] = plain
    others = {} if size.text or requests else other_clients.installed()
    clips = clips_of(place, size)
    used: dict[str, list[float]] = {contender: [] for contender in (*contenders, *others)}
    for _ in range(rounds):
        for contender, arguments in contenders.items():
            got = locust(contender, host, clips, place / "runs", *arguments, requests=requests)
            used[contender].append(got["cpu_s"] / got["requests"])
        for contender, cost in others.items():
            used[contender].append(cost(host, clips, seconds) if cost else 0.0)
    fast = used.pop("FastHttpUser")
    yield Row(f"{name}: FastHttpUser, CPU a request", tuple(1e6 * one for one in fast), "µs")
    for contender, values in used.items():
        missing = "" if contender in contenders or others[contender] else f"{contender} is not installed"
        ratios = () if missing else tuple(own / other for own, other in zip(values, fast, strict=True))
        limit = size.limit if contender == "coldburst" else None
        yield Row(f"{name}: {contender}", ratios, "× FastHttpUser", limit, not_judged=missing)


class Sent(NamedTuple):
    """A run's send delays by attempts.csv and schedule errors by the server's log, in ms and ascending, and the share answered with ok."""

    own: list[float]
    by_server: list[float]
    ok: float


def sent(place: Path, clips: Path, rate: int, seconds: int) -> Sent:
    """A run of an open loop."""
    runs, log = Path(tempfile.mkdtemp(dir=place)), place / "arrivals.csv"
    command = ["taskset", "-c", last_core(), sys.executable, "-m", "bench.arrival_log", str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        host = f"http://127.0.0.1:{int(server.stdout.readline())}"
        locust("coldburst", host, clips, runs, "--schedule", f"steady {seconds}s {rate}/s")
    rows = {row.seq: row for row in read(next(runs.iterdir()) / "attempts.csv")}
    with log.open(encoding="utf-8") as lines:
        arrived = {int(name.rsplit("-", 2)[1]): float(at_s) for name, at_s in csv.reader(lines)}
    if arrived.keys() != rows.keys() or len(rows) != rate * seconds:
        sys.exit(f"{rate}/s: {rate * seconds} requests planned, {len(rows)} recorded, {len(arrived)} arrived")
    own = sorted(1000 * ((row.sent_s or 0.0) - row.scheduled_s) for row in rows.values())
    late = sorted(1000 * (at_s - rows[seq].scheduled_s) for seq, at_s in arrived.items())
    return Sent(own, [one - late[0] for one in late], sum(row.outcome == "ok" for row in rows.values()) / len(rows))


def schedule(place: Path, clips: Path, rounds: int, seconds: int) -> Iterator[Row]:
    """How exactly each of RATES is sent, and whether VALID_RATE is valid."""
    for rate in (*RATES, VALID_RATE):
        wakes, found = [wakes_ms()], []
        for _ in range(rounds):
            found.append(sent(place, clips, rate, seconds))
            wakes.append(wakes_ms())
        yield from (judged(row, wakes) for row in of_rate(rate, found))
    # On a busy machine too.
    yield Row(f"{VALID_RATE}/s: answered with ok", tuple(one.ok for one in found), "of the requests due", 1.0, at_least=True)


def of_rate(rate: int, found: list[Sent]) -> Iterator[Row]:
    """What depends on the time at that rate."""
    for share, limit in zip((0.95, 0.99), RATES.get(rate, (None, None)), strict=True):
        late = tuple(percentile(one.by_server, share) for one in found)
        yield Row(f"{rate}/s: schedule error by the server's log, P{100 * share:.0f}", late, "ms", limit)
    if rate == VALID_RATE:
        yield Row(f"{rate}/s: send delay, P99", tuple(percentile(one.own, 0.99) for one in found), "ms", VALID_MS)
    else:
        hidden = tuple(percentile(one.by_server, 0.95) / (2 * percentile(one.own, 0.95) + HIDDEN_MS) for one in found)
        yield Row(f"{rate}/s: P95 by the server's log", hidden, "of 2 × attempts.csv + 1 ms", 1.0)


def percentile(ordered: list[float], share: float) -> float:
    """Nearest rank."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def rows(quick: bool) -> Iterator[Row]:
    """CPU of each kind of request but the small one (bench/small_request.py), then schedule errors."""
    rounds, seconds = (2, 4) if quick else (5, 5)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "runs").mkdir()
        with nginx(place) as host:
            for size in [name for name in LIMITS if name != SMALL]:
                yield from turns(host, place, size, rounds, seconds)
            yield from schedule(place, clips_of(place, Size(0.05, "", 1.0)), 1 if quick else 3, 2 * seconds)


if __name__ == "__main__":
    sys.exit(main(rows, __doc__))
