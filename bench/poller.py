"""A generator process of bench/emulator.py: holds N jobs in flight at a queue endpoint, and prints what that costs.

    python -m bench.poller http://127.0.0.1:8090/v2/demo 5000

Prints one line of JSON: jobs in flight at the end, KiB of memory for each (growth of RSS), polls in 10 s (most in any
stretch, mean), polls that were not answered 200, and cores that it used while it polled.
"""

# ruff: noqa: E402 - patched before anything else is imported, as Locust does

from gevent import monkey

monkey.patch_all()

import bisect
import json
import resource
import sys
import time
from pathlib import Path

import gevent

from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.payload import Payload
from coldburst.targets.queue import QueueTarget
from coldburst.targets.queue_options import QueueOptions

PER_S = 500
"""Submissions."""
WATCHED_S, WINDOW_S = 20.0, 10.0


def rss_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() // 1024


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Counted(HttpClient):
    """Keeps when each poll was sent, and how many were not answered 200."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.polls: list[float] = []
        self.refused = 0

    def send(self, exchange, method, *arguments, **more):
        super().send(exchange, method, *arguments, **more)
        if method == "GET":
            self.polls.append(exchange.sent)
            self.refused += exchange.status != 200


def follow(host: str, number: int) -> dict[str, float]:
    limits = Timeouts(10, 30, 3600)
    jobs = QueueTarget(host, Payload({"prompt": "hello", "n": "{{seq}}"}, ()), QueueOptions(), limits)
    jobs.client = client = Counted(host, limits, {"User-Agent": "coldburst", "Accept": "application/json"})
    exchanges = [Exchange() for _ in range(number)]
    asking = [gevent.spawn(jobs.send, 0, "warm-up", Exchange())]
    gevent.sleep(1)
    before = rss_kib()
    for seq, exchange in enumerate(exchanges):
        asking.append(gevent.spawn(jobs.send, seq, f"bench-{seq}", exchange))
        if seq % (PER_S // 20) == 0:
            gevent.sleep(1 / 20)
    while not all("job_id" in exchange.known or exchange.done for exchange in exchanges):
        gevent.sleep(0.1)
    since, cpu = time.perf_counter(), cpu_s()
    gevent.sleep(WATCHED_S)
    cores = (cpu_s() - cpu) / (time.perf_counter() - since)
    sent = sorted(client.polls)
    most = max(bisect.bisect_left(sent, at + WINDOW_S) - place for place, at in enumerate(sent))
    watched = sum(since <= at < since + WATCHED_S for at in sent)
    return {
        "in_flight": sum("job_id" in exchange.known for exchange in exchanges) - sum(one.ready() for one in asking),
        "kib_a_job": (rss_kib() - before) / number,
        "most": most,
        "mean": watched * WINDOW_S / WATCHED_S,
        "refused": client.refused,
        "cpu_cores": cores,
    }


if __name__ == "__main__":
    print(json.dumps(follow(sys.argv[1], int(sys.argv[2]))), flush=True)
