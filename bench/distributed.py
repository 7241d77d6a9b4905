"""What a distributed run costs its master, and what a second generator brings, in one run.

    python -m bench.distributed          # about two minutes; needs nginx (apt-get install nginx-light)

The master is a real one; its rows come from a stand-in for a generator, which ships 10,000 rows a second in
batches as a generator does. Prints the master's share of a core (its own CPU time ÷ wall time), what it is
beside a master whose generator ships nothing, and how its memory grows. Then one and two real generators
load nginx as fast as they can, in turns, and the ratio of their throughputs is printed; nginx has its
part of the same two cores.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.generator import clip, free_port, start_nginx
from rig.attempt import Attempt, cells, line, read

ROOT = Path(__file__).resolve().parent.parent
PER_S = 10_000
SECONDS = 20
ROUNDS = 3
BEAT_S = 0.5


def rows(number: int, first: int) -> list[str]:
    """Lines of attempts.csv as a generator writes them."""
    return [
        line(cells(Attempt(seq, 1, "steady", seq / PER_S, "ok", sent_s=seq / PER_S, done_s=seq / PER_S + 0.1, status=200, worker_id="w1")))
        for seq in range(first, first + number)
    ]


def stand_in(port: int, per_s: int) -> None:
    """Plays a generator until the master ends: answers the plan, ships rows; a process of its own."""
    from locust.rpc import Message, zmqrpc  # noqa: PLC0415 - only this process speaks Locust's protocol

    from rig.batches import Outbox  # noqa: PLC0415
    from rig.generator import BEAT, PLAN, ROWS  # noqa: PLC0415

    client = zmqrpc.Client("127.0.0.1", port, "stand-in")
    client.send(Message("client_ready", "2.47.0", "stand-in"))
    lines = rows(int(per_s * BEAT_S), 0)
    outbox, run, next_s = Outbox(), "", time.monotonic()
    state = {"refused": "", "why": "", "leaves": False, "ended": -1, "dispatched": 0, "sent": 0, "lateness_s": 0.0, "in_flight": 0}
    while True:
        while client.socket.poll(max(int((next_s - time.monotonic()) * 1000), 0)):
            message = client.recv()
            if message.type == PLAN:
                run = message.data["run"]
            elif message.type == BEAT and run:
                outbox.acknowledged(message.data["ack"])
            elif message.type == "quit":
                return
        next_s += BEAT_S
        if run:
            for one in lines:
                outbox.add("attempts", one, {"requests": {"ok": 1}, "attempts": {"ok": 1}})
        for batch in outbox.due():
            client.send(Message(ROWS, {"run": run, **batch.plain()}, "stand-in"))
        client.send(Message("heartbeat", {"state": "running", "current_cpu_usage": 0, "current_memory_usage": 0}, "stand-in"))
        word = {"asked_s": time.perf_counter(), "said_s": None, "machine": "bench", "run": run, "held": 0, "closed": False}
        client.send(Message(BEAT, {**state, **word, "last": outbox.last}, "stand-in"))


@contextmanager
def master(place: Path, host: str, schedule: str, generators: int, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A headless master for so many generators."""
    sound = clip(place, 0.04)
    words = [
        "--headless",
        "--master",
        "--master-bind-host",
        "127.0.0.1",
        "--master-bind-port",
        str(port),
        "--expect-workers",
        str(generators),
    ]
    load = ["--host", host, "--schedule", schedule, "--clips", str(sound), "--max-wer", "off", "--runs", str(place)]
    command = [sys.executable, "-m", "locust", "-f", "locustfiles/sustained.py", *words, *load]
    with (place / "master.log").open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def cost(per_s: int) -> tuple[float, float]:
    """A master that gets so many rows a second: its share of a core, and MB that it grew by after the first seconds."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with master(Path(folder), "http://127.0.0.1:9", f"steady {SECONDS + 30}s 0.1/s", 1, port) as process:
            player = subprocess.Popen([sys.executable, "-m", "bench.distributed", "--stand-in", str(port), str(per_s)], cwd=ROOT)
            try:
                time.sleep(10)
                seen = psutil.Process(process.pid)
                began, cpu, rss = time.monotonic(), sum(seen.cpu_times()[:2]), seen.memory_info().rss
                time.sleep(SECONDS)
                share = (sum(seen.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
                return share, (seen.memory_info().rss - rss) / 1e6
            finally:
                player.kill()
                player.wait()


def throughput(generators: int) -> float:
    """Requests a second that so many generators get out of nginx."""
    with tempfile.TemporaryDirectory() as folder:
        place, port, web = Path(folder), free_port(), free_port()
        nginx = start_nginx(place, web)
        join = [sys.executable, "-m", "locust", "-f", "locustfiles/sustained.py", "--worker", "--master-host", "127.0.0.1"]
        try:
            with master(place, f"http://127.0.0.1:{web}", f"full 8s {16 * generators} at a time", generators, port) as process:
                crew = [subprocess.Popen([*join, "--master-port", str(port), "--runs", folder], cwd=ROOT) for _ in range(generators)]
                process.wait(90)
                for one in crew:
                    one.wait(20)
            (table,) = (path for path in place.glob("*/attempts.csv") if not path.parent.name.rpartition(".")[2].startswith("g"))
            done = [row.done_s for row in read(table)[0] if row.outcome == "ok" and row.done_s is not None]
            return len(done) / (max(done) - min(done))
        finally:
            nginx.terminate()
            nginx.wait()


def main() -> None:
    """Runs all, in turns, and prints the figures."""
    if sys.argv[1:2] == ["--stand-in"]:
        stand_in(int(sys.argv[2]), int(sys.argv[3]))
        return
    idle, full = (cost(per_s) for per_s in (0, PER_S))
    print(f"master at {PER_S:,} rows/s: {full[0]:.1%} of a core ({idle[0]:.1%} at none), memory {full[1]:+.1f} MB in {SECONDS} s")
    pairs = [(throughput(1), throughput(2)) for _ in range(ROUNDS)]
    ratio = statistics.median(two / one for one, two in pairs)
    print(f"two generators ÷ one: {ratio:.2f} (median of {ROUNDS}; {', '.join(f'{one:,.0f} and {two:,.0f}/s' for one, two in pairs)})")


if __name__ == "__main__":
    main()
