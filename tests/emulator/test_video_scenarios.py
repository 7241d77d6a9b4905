"""The video service through RunPod: priorities, the limit on waiting, kill -9, in the handler of a queue and behind a balancer."""

import base64
import threading
from pathlib import Path

import psutil
import pytest

from coldburst.targets.cause import cause
from coldburst.targets.http import Exchange
from coldburst.targets.load_balancer import LoadBalancerOptions, LoadBalancerTarget
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.queue import QueueOptions, QueueTarget
from coldburst.video.workers.process import PART
from tests.emulator.test_video_workers import COMMAND, LIMITS, command
from tests.support.emulators import emulator
from tests.support.transcribers import until

pytestmark = pytest.mark.slow
WORDS = "--engine fixed --tts 0 --video 0.5 --workers 1"


class Queue:
    """A RunPod queue whose one worker takes up to twenty jobs, of which one at a time runs."""

    def __init__(self, running):
        self._running = running

    @staticmethod
    def start(words=""):
        return emulator(*COMMAND, command("video.handler", f"{WORDS} {words}"), "--env", "CONCURRENCY=20")

    def create(self, **fields):
        return self._running.submit("demo", **fields)

    def running(self, job):
        return self._running.job("demo", job)["status"] == "IN_PROGRESS"

    def end(self, job):
        return self._running.ended("demo", job)["output"]

    def video(self, job):
        return base64.b64decode(self.end(job)["video"])

    def target(self, fields):
        return QueueTarget(f"{self._running.url}/v2/demo", Payload({"input": fields}, ()), QueueOptions(poll_s=0.05), LIMITS)


class Balancer:
    """A RunPod load balancer with one worker, the service itself."""

    def __init__(self, running):
        self._running = running

    @staticmethod
    def start(words=""):
        return emulator("--kind", "balancer", *COMMAND, command("video", f"{WORDS} {words}"), "--scaler-value", "20")

    def create(self, **fields):
        return self._running.ask("/lb/demo/v1/videos", fields).json()["id"]

    def _job(self, job):
        return self._running.ask(f"/lb/demo/v1/videos/{job}").json()

    def running(self, job):
        return self._job(job)["status"] == "running"

    def end(self, job):
        return until(lambda: (found := self._job(job))["status"] not in ("queued", "running") and found, "end of the job")

    def video(self, job):
        return self._running.ask(f"/lb/demo{self.end(job)['video']}").body

    def target(self, fields):
        options = LoadBalancerOptions(path="/v1/videos?wait=true")
        return LoadBalancerTarget(f"{self._running.url}/lb/demo", Payload(fields, ()), options, LIMITS)


def maker(running):
    """The process that makes a video at the moment, and the file it writes; None if there is none."""
    for process in psutil.Process(running.process.pid).children(recursive=True):
        try:
            found = [Path(file.path) for file in process.open_files() if file.path.endswith(PART)]
        except psutil.NoSuchProcess:
            continue
        if found:
            return process, found[0]
    return None


def sent(target):
    """The columns, outcome and cause of one request through a target of a load test."""
    exchange = Exchange()
    evidence = target.send(0, "run-0-1", exchange)
    target.close()
    outcome = decide(fault=exchange.fault, status=exchange.status, says=evidence.says)
    return evidence.measured, outcome, cause(outcome, 1.0, exchange.status, evidence.measured.get("error", ""), (), evidence.cause)


@pytest.fixture(scope="module", params=[Queue, Balancer])
def served(request):
    """A running emulator, and the service in it."""
    with request.param.start() as running:
        yield running, request.param(running)


def test_priorities_overtake_those_who_wait_and_a_job_whose_wait_ends_is_never_run(served):
    running, service = served
    first = service.create(script="first")
    process, _ = until(lambda: maker(running), "a video that is being made")
    # While it stands still nobody else can begin.
    process.suspend()
    waiting = {priority: service.create(script="one", priority=priority) for priority in (-5, 0, 9)}
    measured, outcome, why = sent(service.target({"script": "late", "max_wait_s": 1}))
    assert (outcome, why) == ("queue_timeout", "no_capacity")
    assert "queue timeout: no worker was free within 1 s" in measured["error"] and "video_s" not in measured
    assert service.running(first)
    process.resume()
    ended = {priority: service.end(job) for priority, job in waiting.items()}
    assert {job["status"] for job in (service.end(first), *ended.values())} == {"done"}
    # Who came last was first.
    assert ended[9]["queue_s"] < ended[0]["queue_s"] < ended[-5]["queue_s"]
    # The one that ran kept its worker until it was done.
    assert service.end(first)["runs"] == 1 and service.end(first)["queue_s"] < ended[9]["queue_s"]


def killed_in_the_middle(running, service):
    """What the client of a video sees whose worker process is killed, and the file that it wrote aside."""
    parts = []

    def kill():
        process, part = until(lambda: maker(running), "a video that is being made")
        assert not whole(part).exists()
        process.kill()
        parts.append(part)

    killing = threading.Thread(target=kill)
    killing.start()
    seen = sent(service.target({"script": "one"}))
    killing.join()
    return *seen, parts[0]


def whole(part):
    return part.with_name(part.name.removesuffix(PART))


def assert_all_is_well(service, folder):
    """The worker's place is back, and nothing of the killed process is left: each video is whole."""
    following = service.create(script="two")
    assert service.end(following)["runs"] == 1
    assert service.video(following).count(b"coldburst") == 2
    left = list(folder.iterdir())
    assert {path.suffix for path in left} == {".mp4"}
    assert len({path.stat().st_size for path in left}) == 1


def test_a_worker_killed_in_the_middle_of_a_video_fails_its_job(served):
    running, service = served
    measured, outcome, why, part = killed_in_the_middle(running, service)
    assert (outcome, why) == ("failed", "worker_lost"), measured
    assert not whole(part).exists()
    assert_all_is_well(service, part.parent)


def test_with_rerun_the_job_of_a_killed_worker_is_run_again():
    with Queue.start("--rerun") as running:
        service = Queue(running)
        measured, outcome, _, part = killed_in_the_middle(running, service)
        assert outcome == "ok" and measured["video_s"] >= 0.5
        assert whole(part).exists()
        assert_all_is_well(service, part.parent)
