"""What the load generator costs and how exactly it sends, beside plain Locust, in one run.

    python -m bench.generator            # about four minutes; needs nginx (apt-get install nginx-light)
    python -m bench.generator --quick    # one minute, fewer and shorter rounds

The target is nginx answering at once, on the last core; the contenders take turns on the first, round by round, so that a busy machine
hits them alike. CPU is the process's own between start and stop. Exit code 1 where a limit is missed:

- CPU a request as a ratio to bare FastHttpUser in the same round, the median of the rounds (LIMITS);
- how late requests arrive by the log of a server (bench/arrival_log.py): its P95 may be twice that of attempts.csv and HIDDEN_MS, since
  the server waits for its own turns too. Its clock has no second 0: the earliest arrival counts as on time.

Times from launch to first request and from the last answer to the end of the run are printed, without a limit.
"""

from __future__ import annotations

import argparse
import csv
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.attempt_rows import read

ROOT = Path(__file__).resolve().parent.parent
TEXT = "the boat left the harbour before the rain came"


class Size(NamedTuple):
    """A kind of request: seconds of 16 kHz audio in its clip, the clip's text, and the limit of its CPU as a ratio to FastHttpUser."""

    audio_s: float
    text: str
    limit: float


LIMITS = {
    "small (1.7 KB)": Size(0.04, "", 0.65),
    "small, words judged": Size(0.04, TEXT, 0.7),
    "upload (187 KB)": Size(5.95, "", 0.8),
}
HIDDEN_MS = 1.0
RATES = (50, 200, 500)
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


def locust(contender: str, host: str, clips: Path, runs: Path, *arguments: str) -> dict[str, float]:
    """One turn of one contender: what its own process counted."""
    command = [sys.executable, "-m", "locust", "-f", "bench/peers.py", "--headless", "--host", host, "--only-summary", *arguments]
    if contender == "coldburst":
        command += ["--runs", str(runs), "--clips", str(clips), "--target", "transcription", "--report", "no"]
    env = {**os.environ, "CONTENDER": contender, "BODY": str(clips / "clip.wav")}
    done = subprocess.run(["taskset", "-c", "0", *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')]
    if not lines:
        sys.exit(f"{contender} gave no figures:\n{done.stdout}\n{done.stderr}")
    found: dict[str, float] = json.loads(lines[0])
    return found


def turns(host: str, place: Path, name: str, rounds: int, seconds: int) -> Iterator[str]:
    """Prints the CPU of each contender; yields a sentence if the limit is missed."""
    size, plain = LIMITS[name], ["-u", "32", "-r", "100", "-t", f"{seconds}s"]
    contenders = {"FastHttpUser": plain, "coldburst": ["--schedule", f"level {seconds}s 32 at a time"], "HttpUser(files=)": plain}
    clips = clips_of(place, size)
    figures: dict[str, list[tuple[float, float]]] = {contender: [] for contender in contenders}
    for _ in range(rounds):
        for contender, arguments in contenders.items():
            got = locust(contender, host, clips, place / "runs", *arguments)
            figures[contender].append((got["cpu_s"] / got["requests"] * 1e6, got["requests"] / got["wall_s"]))
    print(f"\n{name}, 32 in flight, median of {rounds} rounds")
    print(f"{'':18}{'CPU µs a request':>18}{'× Fast':>10}{'requests/s':>13}")
    ratios = {}
    for contender, values in figures.items():
        ratios[contender] = statistics.median(own / fast for (own, _), (fast, _) in zip(values, figures["FastHttpUser"], strict=True))
        cpu, rate = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{contender:18}{cpu:18.0f}{ratios[contender]:10.2f}{rate:13.0f}", flush=True)
    if ratios["coldburst"] > size.limit:
        yield f"{name}: {ratios['coldburst']:.2f} times the CPU of FastHttpUser, more than {size.limit:g}"


def errors(place: Path, clips: Path, seconds: int) -> Iterator[str]:
    """Prints the schedule errors by attempts.csv and by the server's log; yields a sentence for each rate that hides some."""
    print("\nschedule error, ms: sent - scheduled by attempts.csv | arrived - scheduled by the server's log")
    print(f"{'rate':>8}{'n':>8}{'P50':>8}{'P95':>8}{'P99':>8}{'max':>8} |{'P50':>8}{'P95':>8}{'P99':>8}{'max':>8}{'CPU, cores':>12}")
    for rate in RATES:
        runs, log = place / f"at-{rate}", place / f"arrivals-{rate}.csv"
        runs.mkdir()
        command = ["taskset", "-c", last_core(), sys.executable, "-m", "bench.arrival_log", str(log)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            host = f"http://127.0.0.1:{int(server.stdout.readline())}"
            cpu = locust("coldburst", host, clips, runs, "--schedule", f"steady {seconds}s {rate}/s")["cpu_s"] / seconds
        rows = {row.seq: row for row in read(next(runs.iterdir()) / "attempts.csv")}
        with log.open(encoding="utf-8") as lines:
            arrived = {int(name.rsplit("-", 2)[1]): float(at_s) for name, at_s in csv.reader(lines)}
        if arrived.keys() != rows.keys() or len(rows) != rate * seconds:
            sys.exit(f"{rate}/s: {rate * seconds} requests planned, {len(rows)} recorded, {len(arrived)} arrived")
        own = sorted(1000 * ((row.sent_s or 0.0) - row.scheduled_s) for row in rows.values())
        late = sorted(1000 * (at_s - rows[seq].scheduled_s) for seq, at_s in arrived.items())
        by_server = [one - late[0] for one in late]
        shown = ["".join(f"{percentile(of, share):8.2f}" for share in (0.5, 0.95, 0.99, 1)) for of in (own, by_server)]
        print(f"{rate:6}/s{len(own):8}{shown[0]} |{shown[1]}{cpu:12.2f}", flush=True)
        if percentile(by_server, 0.95) > 2 * percentile(own, 0.95) + HIDDEN_MS:
            yield f"{rate}/s: by the server's log, P95 is more than twice that of attempts.csv and {HIDDEN_MS:g} ms"


def percentile(ordered: list[float], share: float) -> float:
    """Nearest rank."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def ends(host: str, place: Path, clips: Path, rounds: int) -> None:
    """From the launch to the first request, and from the last answer to the end of the run, medians."""
    first, last = [], []
    for turn in range(rounds):
        runs = place / f"turn-{turn}"
        runs.mkdir()
        launched = time.time()
        locust("coldburst", host, clips, runs, "--schedule", "burst 1")
        folder = next(runs.iterdir())
        about, (row,) = json.loads((folder / "run.json").read_text(encoding="utf-8")), read(folder / "attempts.csv")
        first.append(about["second_0"] + (row.sent_s or 0.0) - launched)
        last.append(about["elapsed_s"] - (row.done_s or 0.0))
    print(f"\nlaunch to first request {statistics.median(first):.2f} s; last answer to end of run {statistics.median(last):.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.generator", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round of 2 s instead of three of 5 s")
    rounds, seconds = (1, 2) if parser.parse_args().quick else (3, 5)
    if not shutil.which("nginx"):
        sys.exit("nginx is not installed: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "runs").mkdir()
        with nginx(place) as host:
            missed = [sentence for size in LIMITS for sentence in turns(host, place, size, rounds, seconds)]
            clips = clips_of(place, Size(0.05, "", 1.0))
            missed += errors(place, clips, 3 * seconds)
            ends(host, place, clips, rounds)
    for sentence in missed:
        print(sentence)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
