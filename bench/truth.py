"""Whether what coldburst reports is true: services that know the truth (bench/truth_server.py), beside FastHttpUser, hey and wrk.

    python -m bench.truth            # two minutes; hey and wrk are left out if they are not installed
    python -m bench.truth --quick    # coldburst alone

Four scenes, each with a server of its own for each client, on the last core:

- a stall of 2 s: users arrive on schedule while nothing is answered, and wait. A client that sends its next request after the last answer
  leaves them out (coordinated omission). The truth is the arithmetic of the schedule and the stall;
- most answers take 0.2 s, 8 % of them 1 s: the truth is the server's own log;
- jobs of up to 5 s are in flight when the run stops: each that arrived must be in the result, and no answered one as a failure;
- 80 faults of eight kinds among 400 requests: each must be counted once, as what it was. By X-Request-ID for coldburst; for the others by
  the numbers of statuses, broken connections and time-outs that they print.

The percentiles are those that each client prints: coldburst's are from its report's metrics.json.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench import truth_server as server
from bench.generator import ROOT, Size, clips_of, last_core, percentile
from bench.other_clients import CONTENT_TYPE, FORM, ROUTE, WRK
from bench.rows import Row, main
from coldburst.record.attempt import Attempt
from coldburst.targets.clips import load_clips, multipart
from tests.support.attempt_rows import read

SHARES = (0.5, 0.95, 0.99)
OUTCOMES = {"reset": "unreachable", "closed": "unreachable", "500": "failed", "503": "busy", "429": "throttled", "cut": "unreachable",
            "hang": "abandoned", "slow headers": "abandoned", "ok": "ok"}  # fmt: skip
# What the others can tell apart, by what they print.
KINDS = {
    "500": re.compile(r"\b500\b"),
    "503": re.compile(r"\b503\b"),
    "429": re.compile(r"\b429\b"),
    "time-out": re.compile(r"timed? ?out|timeout|deadline exceeded", re.IGNORECASE),
    "broken": re.compile(r"reset|closed|broken|EOF|incomplete|aborted", re.IGNORECASE),
}
BROKEN, TIME_OUTS = ("reset", "closed", "cut"), ("hang", "slow headers")


class Setting(NamedTuple):
    """How a scene's requests are sent.

    Attributes:
        seconds, rate: the load.
        users: of a client with a closed loop, which shares the rate among them.
        longer: factor for such a client's time, until it has met all that the scene holds.
        stopped: the run is stopped with requests in flight.
        measure: what of coldburst's is compared; service times are those from sending on, as the others measure.
    """

    title: str
    seconds: int
    rate: int
    users: int
    longer: float = 1.0
    stopped: bool = False
    measure: str = "service_time_s"

    @property
    def closed(self) -> tuple[str, str, str]:
        """Users, requests a second of each, and seconds, of a client with a closed loop."""
        return str(self.users), f"{self.rate / self.users:g}", f"{self.seconds * self.longer:.0f}s"


SETTINGS = {
    "stall": Setting("a stall of 2 s", 12, 50, 10, measure="response_time_s"),
    "bimodal": Setting("0.2 s, and 8 % take 1 s", 10, 50, 25),
    "jobs": Setting("stopped with long jobs in flight", 6, 20, 20, stopped=True),
    "faults": Setting("80 faults", 8, 50, 25, longer=1.5),
}


@dataclass
class Told:
    """What a client reports.

    Attributes:
        times: percentiles in seconds, by share; those that it gives.
        ok: requests that it counts as good.
        faults: requests of each of KINDS, and "other".
        rows: coldburst's own, of the requests that it sent.
    """

    times: Mapping[float, float]
    ok: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    rows: list[Attempt] = field(default_factory=list)


@contextmanager
def serving(scene: str, log: Path) -> Iterator[str]:
    """A server on the last core; its address. ``log`` is there after it has ended."""
    command = ["taskset", "-c", last_core(), sys.executable, "-m", "bench.truth_server", scene, str(log)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


def run(*words: str, **env: str) -> str:
    """What a client prints, on the first core."""
    command = ["taskset", "-c", "0", *words]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


# --- the clients


def coldburst(host: str, setting: Setting, place: Path) -> Told:
    """The report's percentiles, and the rows."""
    runs = place / "runs"
    runs.mkdir()
    seconds = 10 * setting.seconds if setting.stopped else setting.seconds
    words = ["--host", host, "--target", "transcription", "--clips", str(place.parent / "clips"), "--runs", str(runs), "--figures", "no"]
    words += ["--schedule", f"steady {seconds}s {setting.rate}/s", "--deadline", str(_limit_s(setting)), "--max-wer", "off"]
    words += ["--run-time", f"{setting.seconds}s"] if setting.stopped else []
    said = run(sys.executable, "-m", "locust", "-f", "locustfiles/sustained.py", "--headless", *words, COLDBURST_NO_PREFLIGHT="yes")
    found = list(runs.glob("*/report/metrics.json"))
    if not found:
        sys.exit(f"coldburst made no report:\n{said}")
    sample = json.loads(found[0].read_text(encoding="utf-8"))[setting.measure]["ok"]
    rows = [row for row in read(found[0].parent.parent / "attempts.csv") if row.sent_s is not None]
    return Told({share: sample[f"p{100 * share:.0f}"] for share in SHARES}, sum(row.outcome == "ok" for row in rows), rows=rows)


def fast_http_user(host: str, setting: Setting, place: Path) -> Told:
    """Locust's own statistics."""
    users, rate, seconds = setting.closed
    words = ["--host", host, "-u", users, "-r", users, "-t", seconds, "--only-summary"]
    env = {"BODY": str(place.parent / "body"), "LIMIT_S": str(_limit_s(setting)), "RATE": rate}
    said = run(sys.executable, "-m", "locust", "-f", "bench/truth_peer.py", "--headless", *words, **env)
    lines = [line for line in said.splitlines() if line.startswith('{"times"')]
    if not lines:
        sys.exit(f"FastHttpUser gave no figures:\n{said}")
    found = json.loads(lines[0])
    return Told({float(share): value for share, value in found["times"].items()}, found["ok"], kinds(found["errors"]))


def hey(host: str, setting: Setting, place: Path) -> Told:
    """Its summary."""
    users, rate, seconds = setting.closed
    words = ["-z", seconds, "-c", users, "-q", rate, "-t", str(_limit_s(setting)), "-m", "POST"]
    said = run("hey", *words, "-T", CONTENT_TYPE, "-D", str(place.parent / "body"), host + ROUTE)
    times = {int(share) / 100: float(value) for share, value in re.findall(r"^\s+(\d+)% in ([\d.]+) secs", said, re.MULTILINE)}
    statuses = {status: int(number) for status, number in re.findall(r"\[(\d{3})\]\s+(\d+) responses", said)}
    errors = Counter[str]()
    for number, text in re.findall(r"^\s+\[(\d+)\]\s+(\S+ .*)$", said.partition("Error distribution")[2], re.MULTILINE):
        errors[text] += int(number)
    return Told(times, statuses.pop("200", 0), kinds({**statuses, **errors}))


def wrk(host: str, setting: Setting, place: Path) -> Told:
    """Its summary; it sends as fast as it is answered."""
    script = place / "post.lua"
    script.write_text(WRK.format(type=CONTENT_TYPE, body=place.parent / "body"), encoding="utf-8")
    users, _, seconds = setting.closed
    words = ["-t", "1", "-c", users, "-d", seconds, "--timeout", str(_limit_s(setting)), "--latency", "-s", str(script)]
    said = run("wrk", *words, host + ROUTE)
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
    found = re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)\s*$", said, re.MULTILINE)
    return Told({int(share) / 100: float(value) * units[unit] for share, value, unit in found})


def _limit_s(setting: Setting) -> int:
    """The deadline of a request; only faults pass it."""
    return server.DEADLINE_S if setting is SETTINGS["faults"] else 60


def kinds(errors: Mapping[str, int]) -> Counter[str]:
    """How many errors of each of KINDS a client's texts come to."""
    found = Counter[str]()
    for text, number in errors.items():
        found[next((kind for kind, words in KINDS.items() if words.search(text)), "other")] += number
    return found


PEERS: dict[str, Callable[[str, Setting, Path], Told]] = {"FastHttpUser": fast_http_user, "hey": hey, "wrk": wrk}
# wrk knows no rate and no stop, and counts faults without their kinds.
SAY = {"stall": ("FastHttpUser", "hey", "wrk"), "bimodal": ("FastHttpUser", "hey", "wrk"), "jobs": ("FastHttpUser", "hey"),
       "faults": ("FastHttpUser", "hey")}  # fmt: skip


# --- the comparison


def truth(scene: str, requests: list[server.Request]) -> list[float]:
    """Response times of a scene, ascending: of users who arrive on schedule, or of the requests that arrived."""
    if scene == "stall":
        setting = SETTINGS[scene]
        return sorted(server.waited_s(number / setting.rate) for number in range(setting.seconds * setting.rate))
    return sorted(request.took_s for request in requests)


def percentiles(scene: str, client: str, told: Told, requests: list[server.Request]) -> Iterator[Row]:
    """How far each percentile is off."""
    expected = truth(scene, requests)
    limits = LIMITS[scene] if client == "coldburst" else {}
    for share in SHARES if scene == "bimodal" else SHARES[1:]:
        name, unit = f"{SETTINGS[scene].title}: {client}, P{100 * share:.0f}", "% off the truth"
        if share in told.times:
            true_s = percentile(expected, share)
            yield Row(name, (100 * abs(told.times[share] / true_s - 1),), unit, limits.get(share))
        else:
            yield Row(name, (), unit, not_judged=f"{client} does not report it")


def sent(scene: str, client: str, told: Told, requests: list[server.Request]) -> Iterator[Row]:
    """How many of the planned requests arrived."""
    setting = SETTINGS[scene]
    planned = setting.seconds * setting.rate
    if client != "wrk":
        ours = client == "coldburst"
        yield Row(
            f"{setting.title}: {client} sent", (len(requests) / planned,), "of the requests due", 1.0 if ours else None, at_least=True
        )


def stopped(scene: str, client: str, told: Told, requests: list[server.Request]) -> Iterator[Row]:
    """How many jobs are not in the result, and how many answered ones are not ok there."""
    title, ours = SETTINGS[scene].title, client == "coldburst"
    answered = [request for request in requests if request.answered_s is not None]
    limit = 0.0 if ours else None
    if ours:
        kept, good = Counter(map(_seq_of, requests)), {row.seq for row in told.rows if row.outcome == "ok"}
        lost = sum((kept - Counter(row.seq for row in told.rows)).values())
        unlike = sum(_seq_of(request) not in good for request in answered)
    else:
        lost, unlike = len(requests) - told.ok - told.faults.total(), len(answered) - told.ok
    yield Row(f"{title}: {client} lost", (100 * lost / len(requests),), "% of the jobs that arrived", limit)
    yield Row(f"{title}: {client}, answered and not counted ok", (max(unlike, 0),), "jobs", limit)


def faults(scene: str, client: str, told: Told, requests: list[server.Request]) -> Iterator[Row]:
    """How many faults are counted once, as what they were, and how many of the others as good."""
    met = Counter(request.met for request in requests)
    good = met.pop("ok")
    ours = client == "coldburst"
    if ours:
        arrived, counted = Counter(map(_seq_of, requests)), Counter(row.seq for row in told.rows)
        outcome = {row.seq: row.outcome for row in told.rows}
        once = [one for one in requests if arrived[seq := _seq_of(one)] == counted[seq] == 1 and outcome[seq] == OUTCOMES[one.met]]
        right = sum(one.met != "ok" for one in once)
        ok = len(once) - right
    else:
        true = {**met, "broken": sum(met[kind] for kind in BROKEN), "time-out": sum(met[kind] for kind in TIME_OUTS)}
        right, ok = sum(min(told.faults[kind], true[kind]) for kind in KINDS), told.ok
    title, number = SETTINGS[scene].title, met.total()
    yield Row(
        f"{title}: {client}, counted once as what they were", (right,), f"of {number}", float(number) if ours else None, at_least=True
    )
    yield Row(f"{title}: {client}, counted ok", (ok / good,), "of those that were", 1.0 if ours else None, at_least=True)


def _seq_of(request: server.Request) -> int:
    """The number of coldburst's request, by its id: run, number, try."""
    return int(request.name.rsplit("-", 2)[1])


COMPARED = {"stall": (percentiles, sent), "bimodal": (percentiles,), "jobs": (stopped, percentiles), "faults": (faults,)}
# Per cent that a percentile of coldburst's may be off; of a median of 0.2 s, 1 % is 2 ms.
LIMITS: dict[str, dict[float, float]] = {
    "stall": {0.95: 2.0, 0.99: 2.0},
    "bimodal": {0.5: 1.0, 0.95: 0.5, 0.99: 0.5},
    "jobs": {0.95: 0.5, 0.99: 0.5},
}


def play(scene: str, client: str, ask: Callable[[str, Setting, Path], Told], place: Path) -> list[Row]:
    """A scene with one client: its rows."""
    own = place / f"{scene}-{client}"
    own.mkdir()
    with serving(scene, own / "log.json") as host:
        told = ask(host, SETTINGS[scene], own)
    requests = server.read(own / "log.json")
    return [row for compare in COMPARED[scene] for row in compare(scene, client, told, requests)]


def rows(quick: bool) -> Iterator[Row]:
    """Each scene with coldburst, then with the others at once, each on a server of its own."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(len(PEERS)) as pool:
        place = Path(name)
        clips_of(place, Size(0.04, "", 1.0)).rename(place / "clips")
        (place / "body").write_bytes(multipart(load_clips(place / "clips" / "clip.wav")[0], FORM, "edge"))
        for scene, clients in SAY.items():
            yield from play(scene, "coldburst", coldburst, place)
            there = [client for client in clients if client == "FastHttpUser" or shutil.which(client)] if not quick else []
            for found in pool.map(lambda client, scene=scene: play(scene, client, PEERS[client], place), there):
                yield from found


if __name__ == "__main__":
    sys.exit(main(rows, __doc__))
