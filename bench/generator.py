"""What the load generator costs and how exactly it sends, beside plain Locust, in one run.

    python -m bench.generator            # about four minutes; needs nginx (apt-get install nginx-light)

The target is nginx answering at once, on the last core; the contenders take turns on the first, round
by round, so that a busy machine hits them alike. CPU is the process's own between start and stop.
Prints ratios to bare FastHttpUser, and the schedule errors of this suite in milliseconds.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

from tests.support.attempt_rows import read

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
SECONDS = 5
SIZES = {"small (1.7 KB)": 0.04, "upload (187 KB)": 5.95}
"""Seconds of 16 kHz audio in the clip."""
NGINX = """
daemon off; pid {place}/nginx.pid; error_log {place}/error.log; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {place}/body; keepalive_requests 100000000; client_max_body_size 10m;
  proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{{"text": "ok"}}'; }} }}
}}
"""


def clip(place: Path, seconds: float) -> Path:
    path = place / f"{seconds}.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(b"\1\2" * int(16000 * seconds))
    return path


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start_nginx(place: Path, port: int) -> subprocess.Popen[bytes]:
    conf = place / "nginx.conf"
    conf.write_text(NGINX.format(place=place, port=port))
    process = subprocess.Popen(["taskset", "-c", str((os.cpu_count() or 1) - 1), "nginx", "-c", str(conf), "-p", str(place)])
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
            return process
        except ConnectionRefusedError:
            if process.poll() is not None:
                sys.exit("nginx did not start: see above")


def locust(contender: str, host: str, body: Path, runs: Path, *arguments: str) -> dict[str, float]:
    """One turn of one contender: what its own process counted."""
    command = [sys.executable, "-m", "locust", "-f", "bench/peers.py", "--headless", "--host", host, "--only-summary", *arguments]
    if contender == "coldburst":
        command += ["--runs", str(runs), "--clips", str(body)]
    env = {**os.environ, "CONTENDER": contender, "BODY": str(body)}
    done = subprocess.run(["taskset", "-c", "0", *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')]
    if not lines:
        sys.exit(f"{contender} gave no figures:\n{done.stdout}\n{done.stderr}")
    found: dict[str, float] = json.loads(lines[0])
    return found


def turns(host: str, place: Path, size: str, body: Path, contenders: dict[str, list[str]]) -> None:
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, arguments in contenders.items():
            got = locust(name, host, body, place / "runs", *arguments)
            figures[name].append((got["cpu_s"] / got["requests"] * 1e6, got["requests"] / got["wall_s"]))
    base = [statistics.median(values) for values in zip(*figures["FastHttpUser"], strict=True)]
    print(f"\n{size}, 32 in flight, median of {ROUNDS} rounds")
    print(f"{'':18}{'CPU µs a request':>18}{'× Fast':>10}{'requests/s':>13}{'× Fast':>10}")
    for name, values in figures.items():
        cpu, rate = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:18}{cpu:18.0f}{cpu / base[0]:10.2f}{rate:13.0f}{rate / base[1]:10.2f}")


def errors(host: str, place: Path, body: Path) -> None:
    print("\nschedule error of this suite (sent − scheduled), ms")
    print(f"{'rate':>8}{'n':>8}{'P50':>8}{'P95':>8}{'P99':>8}{'max':>8}{'CPU, cores':>12}")
    for rate in (10, 50, 200, 500):
        runs = place / f"at-{rate}"
        runs.mkdir()
        cpu = locust("coldburst", host, body, runs, "--schedule", f"steady 15s {rate}/s")["cpu_s"] / 15
        rows = [row for row in read(next(runs.iterdir()) / "attempts.csv") if row.sent_s is not None]
        late = sorted(1000 * ((row.sent_s or 0.0) - row.scheduled_s) for row in rows)
        shown = "".join(f"{late[math.ceil(share * len(late)) - 1]:8.2f}" for share in (0.5, 0.95, 0.99, 1))
        print(f"{rate:6}/s{len(late):8}{shown}{cpu:12.2f}")


def ends(host: str, place: Path, body: Path) -> None:
    """From the launch to the first request, and from the last answer to the end of the run, each the median of five."""
    first, last = [], []
    for turn in range(5):
        runs = place / f"turn-{turn}"
        runs.mkdir()
        launched = time.time()
        locust("coldburst", host, body, runs, "--schedule", "burst 1")
        folder = next(runs.iterdir())
        about, (row,) = json.loads((folder / "run.json").read_text(encoding="utf-8")), read(folder / "attempts.csv")
        first.append(about["second_0"] + (row.sent_s or 0.0) - launched)
        last.append(about["elapsed_s"] - (row.done_s or 0.0))
    print(f"\nlaunch to first request {statistics.median(first):.2f} s; last answer to end of run {statistics.median(last):.2f} s")


def main() -> None:
    if not shutil.which("nginx"):
        sys.exit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "runs").mkdir()
        port = free_port()
        host = f"http://127.0.0.1:{port}"
        nginx = start_nginx(place, port)
        try:
            plain = ["-u", "32", "-r", "100", "-t", f"{SECONDS}s"]
            ours = ["--schedule", f"level {SECONDS}s 32 at a time"]
            for size, seconds in SIZES.items():
                contenders = {"FastHttpUser": plain, "coldburst": ours, "HttpUser(files=)": plain}
                turns(host, place, size, clip(place, seconds), contenders)
            errors(host, place, clip(place, 0.04))
            ends(host, place, clip(place, 0.04))
        finally:
            nginx.terminate()
            nginx.wait()


if __name__ == "__main__":
    main()
