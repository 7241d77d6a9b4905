"""The video service as a worker of RunPod: a handler with a concurrency_modifier, and a load balancer's worker with /ping."""

import json
import sys
import time
from collections import Counter

import gevent
import pytest

from coldburst.targets.cause import cause
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.load_balancer import LoadBalancerOptions, LoadBalancerTarget
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.queue import QueueOptions, QueueTarget
from tests.support.emulators import emulator

pytestmark = pytest.mark.slow
FIXED = "--engine fixed --tts 0.02 --video 0.1"
COMMAND = ("--worker", "command", "--workers-max", "1", "--start", "0", "--command")
BODY, LIMITS = Payload({"input": {"script": "one two three four five"}}, ()), Timeouts(10, 60, 60)


def command(module, words):
    return f"{sys.executable} -m coldburst.{module} {words}"


def sent(target):
    """The columns and the outcome of one request through a target of a load test."""
    exchange = Exchange()
    evidence = target.send(0, "run-0-1", exchange)
    target.close()
    return evidence.measured, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


def test_jobs_of_a_queue_run_at_a_time_as_many_as_there_are_workers():
    with emulator(*COMMAND, command("video.handler", f"{FIXED} --workers 2")) as running:
        jobs = [running.submit("demo", script=f"one two three {n}") for n in range(20)]
        outputs = [running.ended("demo", job)["output"] for job in jobs]
        assert {output["status"] for output in outputs} == {"done"}
        assert {output["worker_id"][-2:] for output in outputs} == {"-0", "-1"}
        assert all(output["video"] and output["queue_s"] < 30 for output in outputs)
        measured, outcome = sent(QueueTarget(f"{running.url}/v2/demo", BODY, QueueOptions(poll_s=0.05), LIMITS))
        assert (outcome, measured["audio_s"]) == ("ok", 2.0)
        assert measured["tts_s"] >= 0.02 and measured["video_s"] >= 0.1
        bad = running.ended("demo", running.submit("demo", script=""))
        assert (bad["status"], "script is missing or empty" in bad["error"]) == ("FAILED", True)


def test_twenty_at_once_without_locks_fail_for_causes_that_are_named():
    words = "--engine fixed --tts 0.1 --video 0.5 --model-load 4 --unsafe"
    with emulator(*COMMAND, command("video.handler", words), "--concurrency", "20", "--env", "CONCURRENCY=20") as running:
        jobs = [running.submit("demo", script=f"one two {n}") for n in range(20)]
        ended = [running.ended("demo", job) for job in jobs]
        errors = [job["error"] for job in ended if job["status"] == "FAILED"]
        causes = Counter(cause("failed", 1.0, 200, error) for error in errors)
        # Seven copies of the speech model fill the card, and the eighth job's ends the process: itself, and those seven.
        assert len(errors) >= 8
        assert causes.keys() == {"double_load", "out_of_memory"} and causes["out_of_memory"] >= 7, errors[:2]


def test_a_worker_of_a_load_balancer_is_pinged_and_serves():
    with emulator("--kind", "balancer", *COMMAND, command("video", f"{FIXED} --workers 2"), "--scaler-value", "20") as running:
        target = LoadBalancerTarget(
            f"{running.url}/lb/demo", Payload(BODY.tree["input"], ()), LoadBalancerOptions(path="/v1/videos?wait=true"), LIMITS
        )
        measured, outcome = sent(target)
        assert (outcome, measured["audio_s"]) == ("ok", 2.0)
        assert measured["tts_s"] >= 0.02 and measured["execution_s"] >= 0.12 and measured["worker_id"]
        begin_s = time.monotonic()
        at_once = [gevent.spawn(sent, target) for _ in range(20)]
        gevent.joinall(at_once, raise_error=True)
        assert {one.get()[1] for one in at_once} == {"ok"}
        waited = [one.get()[0]["queue_s"] for one in at_once]
        # Two at a time, so ten pairs of 0.12 s follow one another, and who comes later waits for at least one of them.
        assert time.monotonic() - begin_s >= 10 * 0.12
        assert max(waited) > 0.12
        created = running.ask("/lb/demo/v1/videos", {"script": "one"})
        assert (created.status, json.loads(created.body)["status"] in ("queued", "running")) == (202, True)
