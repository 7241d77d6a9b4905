"""The target that keeps its own count: what it wrote down is what reached it, whatever became of it."""

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tests.support import counting
from tests.support.locusts import ROOT
from tests.support.machines import machines
from tests.support.transcribers import DEADLINE_S, ROUTE, until

pytestmark = pytest.mark.slow


@contextmanager
def target(folder, at=None, service_time=0.0):
    """The counting service, on a machine or here; its host and port, and its log."""
    start, host = (at.popen, at.address) if at else (subprocess.Popen, "127.0.0.1")
    log = folder / "count.jsonl"
    command = [
        sys.executable,
        "-m",
        "tests.support.counting",
        "--host",
        host,
        "--service-time",
        str(service_time),
        "--worker-id",
        "w1",
        "--log",
        str(log),
    ]
    with start(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().rpartition("/")[2].strip(), log
        finally:
            process.kill()


def post(address, request_id, body=b"clip"):
    asking = http.client.HTTPConnection(address, timeout=DEADLINE_S)
    asking.request("POST", ROUTE, body, {"X-Request-ID": request_id})
    return asking


def test_the_target_counts_by_request_and_by_machine(tmp_path):
    begun = time.time()
    with machines("g1", "g2", "target") as (g1, g2, at), target(tmp_path, at, 0.05) as (_process, address, log):
        for machine in (g1, g2, g2):
            with machine.inside():
                asking = post(address, f"r-{machine.name}", os.urandom(100_000))
            answer = asking.getresponse()
            assert (answer.status, answer.headers["X-Worker-Id"], json.loads(answer.read())) == (200, "w1", {"text": ""})
            asking.close()
        until(lambda: all(row.answered for row in counting.read(log)), "three notes of answers")
        rows = counting.read(log)
    assert [(row.request_id, row.peer) for row in rows] == [("r-g1", g1.address), ("r-g2", g2.address), ("r-g2", g2.address)]
    for row in rows:
        assert begun <= row.received <= row.answered <= time.time()
        assert row.answered - row.received >= 0.05


def test_a_killed_target_has_counted_what_it_received(tmp_path):
    with target(tmp_path, service_time=600) as (process, address, log):
        asking = [post(address, f"r{number}") for number in range(20)]
        until(lambda: len(counting.read(log)) == 20, "20 requests")
        process.kill()
        process.wait()
        for each in asking:
            with pytest.raises(ConnectionError):
                each.getresponse()
            each.close()
    assert {row.request_id for row in counting.read(log)} == {f"r{number}" for number in range(20)}
    assert {row.answered for row in counting.read(log)} == {None}


def test_a_request_whose_sender_has_left_counts_as_received_and_not_as_answered(tmp_path):
    with target(tmp_path, service_time=0.2) as (_process, address, log):
        left = post(address, "left")
        until(lambda: len(counting.read(log)) == 1, "a request")
        left.close()
        stayed = post(address, "stayed")  # its answer comes after the other's time
        assert stayed.getresponse().read()
        stayed.close()
        until(lambda: counting.read(log)[1].answered, "a note of the answer")
    assert [(row.request_id, row.answered is None) for row in counting.read(log)] == [("left", True), ("stayed", False)]
