"""The load of bench/generator.py in plain Locust and in this suite, each class one contender.

Runs as a locustfile; CONTENDER chooses the class, BODY names the audio file; REQUESTS ends plain Locust after so many,
and leaves the first tenth out. At the end it prints one line of JSON: requests that ended, CPU seconds from start to stop, wall seconds
from start to the last answer.
"""

import json
import os
import resource
import time
from pathlib import Path

import gevent
from locust import FastHttpUser, HttpUser, constant, events, task

CONTENDER = os.environ["CONTENDER"]
CLIP = Path(os.environ["BODY"])
ROUTE = "/v1/audio/transcriptions"
REQUESTS = int(os.environ.get("REQUESTS", "0"))
_started: list[float] = []
_count = [0]
_last = [0.0]


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def ended(environment):
    return environment.coldburst.current.sent if CONTENDER == "coldburst" else _count[0]


@events.test_start.add_listener
def start(environment, **_):
    _started[:] = [cpu_s(), time.perf_counter(), 0]
    if REQUESTS:
        gevent.spawn(leave_out_start, environment)


def leave_out_start(environment):
    gevent.sleep(0.02)
    while (already := ended(environment)) < REQUESTS // 10:
        gevent.sleep(0.02)
    _started[:] = [cpu_s(), time.perf_counter(), already]


def count(exception, **_):
    _count[0] += exception is None
    _last[0] = time.perf_counter()


@events.test_stopping.add_listener
def stop(environment, **_):
    if _started:
        cpu, wall, already = _started
        last_s = time.perf_counter() if CONTENDER == "coldburst" else _last[0]
        print(json.dumps({"requests": ended(environment) - already, "cpu_s": cpu_s() - cpu, "wall_s": last_s - wall}), flush=True)
        _started.clear()


# A listener of each request would be a cost of this suite's, which has none.
if CONTENDER != "coldburst":
    events.request.add_listener(count)


@events.init.add_listener
def limit(environment, **_):
    def end_after(**_):
        if _count[0] == REQUESTS:
            gevent.spawn(environment.runner.quit)

    if REQUESTS and CONTENDER != "coldburst":
        events.request.add_listener(end_after)


if CONTENDER == "coldburst":
    from coldburst import ArrivalUser

    class Bench(ArrivalUser):
        """This suite, everything recorded."""

        schedule = "level 5s 32 at a time"
        max_in_flight = 1000


if CONTENDER == "FastHttpUser":
    from coldburst.targets.clips import load_clips, multipart

    class Bare(FastHttpUser):
        """FastHttpUser with the body built once, nothing recorded but Locust's own statistics."""

        wait_time = constant(0)
        body = multipart(load_clips(CLIP)[0], {"model": "whisper-1", "response_format": "json", "language": "en"}, "edge")

        @task
        def ask(self):
            self.client.post(ROUTE, data=self.body, headers={"Content-Type": "multipart/form-data; boundary=edge"})


if CONTENDER == "HttpUser(files=)":

    class Files(HttpUser):
        """HttpUser that builds the form for each request, as most locustfiles do."""

        wait_time = constant(0)
        data = CLIP.read_bytes()

        @task
        def ask(self):
            form = {"model": "whisper-1", "response_format": "json", "language": "en"}
            self.client.post(ROUTE, files={"file": (CLIP.name, self.data)}, data=form)
