"""Real transcription services behind a real nginx: so many as asked for, each seen in the answers, and none left afterwards."""

import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import gevent
import psutil
import pytest

from coldburst.control.choice import ControlError, DesiredState, wait_shown
from coldburst.control.replicas import ReplicaControl
from tests.support import preloaded
from tests.support.needs import needs
from tests.support.transcribers import ROOT, receive, send, silence, transcribe, until
from tests.support.transcribers import connect as connect_to

pytestmark = [pytest.mark.slow, needs("nginx")]
FIXED = "--engine fixed --service-time 0 --max-concurrent 1"
CLIP = silence(0.1)
OWNER = """
import sys, gevent
from coldburst.control.choice import *
from coldburst.targets.address import EndpointAddress
control = make("replicas", EndpointAddress("transcription", ""), "", {"replica_args": sys.argv[1]})
control.change(DesiredState(2))
seen = wait_shown(control, DesiredState(2), timeout_s=30, rest=lambda s: gevent.sleep(s) or True, say=lambda text: None)
print(control.url if seen.ready else seen.text, flush=True)
sys.stdin.read()
"""


def pause(seconds):
    gevent.sleep(seconds)
    return True


@pytest.fixture
def replicas_of():
    made = []

    def make(words=FIXED):
        made.append(ReplicaControl(words))
        return made[-1]

    yield make
    for control in made:
        control.close()
    assert not of_ours()


def of_ours():
    """Processes that this one has started, and theirs."""
    started = (process for process in psutil.Process().children(recursive=True) if process.pid not in preloaded.origins)
    return [process for process in started if process.status() != psutil.STATUS_ZOMBIE]


def process_of(worker):
    """The service that has this name in its answers."""
    (found,) = (process for process in of_ours() if process.cmdline()[-2:] == ["--worker-id", worker])
    return found


def ended(process):
    """Waits until a child of this process can be waited for: the first thread of a killed one is a zombie before the others end."""
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def set_to(control, **wanted):
    control.change(DesiredState(**wanted))
    seen = wait_shown(control, DesiredState(**wanted), timeout_s=30, rest=pause, say=print)
    assert seen.ready, seen
    return seen.workers


def who(control, number):
    """Which workers answered so many requests, one after the other."""
    answers = [transcribe(control.url, CLIP) for _ in range(number)]
    assert {answer.status for answer in answers} == {200}
    return Counter(answer.headers["x-worker-id"] for answer in answers)


def test_so_many_workers_answer_as_were_asked_for(replicas_of):
    control = replicas_of()
    assert set_to(control, workers=1) == 1
    assert who(control, 3) == {"w1": 3}
    assert set_to(control, workers=3) == 3
    assert who(control, 9) == {"w1": 3, "w2": 3, "w3": 3}
    assert set_to(control, workers=2) == 2
    assert who(control, 4) == {"w1": 2, "w2": 2}
    assert len(of_ours()) == 2 + 3  # two services; nginx, its worker, and the reaper


def test_a_request_goes_to_the_least_busy(replicas_of):
    control = replicas_of("--engine fixed --service-time 0.3 --max-concurrent 1")
    set_to(control, workers=2)
    connections = [connect_to(control.url) for _ in range(4)]
    for connection in connections:
        send(connection, CLIP)
    answers = [receive(connection) for connection in connections]
    assert Counter(answer.headers["x-worker-id"] for answer in answers) == {"w1": 2, "w2": 2}
    for connection in connections:
        connection.close()


def test_another_concurrency_takes_other_workers(replicas_of):
    control = replicas_of()
    set_to(control, workers=1, concurrency=1)
    set_to(control, workers=1, concurrency=3)
    set_to(control, workers=1, concurrency=3)
    assert who(control, 1) == {"w2": 1}
    assert "--max-concurrent 3" in " ".join(process_of("w2").cmdline())


def test_what_it_will_do_is_told(replicas_of):
    control = replicas_of()
    told = control.describe([DesiredState(1, 1, 1), DesiredState(3, 2, 2)])
    assert "Starts 1, 3 transcription workers (python -m coldburst.transcriber --engine fixed" in told
    assert "--max-concurrent 1, 2" in told
    assert "they have no scaler" in told
    assert "nothing to restore" in control.restore(control.settings())


def test_wrong_words_are_told_and_leave_nothing(replicas_of, capfd):
    with pytest.raises(ControlError, match=r"transcription worker w1 did not start .* correct --replica-args"):
        replicas_of("--engine moon").change(DesiredState(2))
    assert "invalid choice: 'moon'" in capfd.readouterr().err


def test_a_worker_that_ended_is_told_and_replaced(replicas_of):
    control = replicas_of()
    set_to(control, workers=2)
    dead = process_of("w1")
    dead.kill()
    ended(dead)
    with pytest.raises(ControlError, match="transcription worker w1 ended with code -9"):
        control.observe(DesiredState(2))
    set_to(control, workers=2)
    assert who(control, 4) == {"w2": 2, "w3": 2}


def test_nginx_that_ended_is_told(replicas_of):
    control = replicas_of()
    set_to(control, workers=1)
    (master,) = (process for process in psutil.Process().children() if process.name() == "nginx")
    master.kill()
    ended(master)
    with pytest.raises(ControlError, match="nginx has ended"):
        control.observe(DesiredState(1))


def test_without_nginx_the_next_step_is_told(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(ControlError, match="install nginx-light, or use --control hand"):
        ReplicaControl()


def test_nothing_outlives_an_owner_that_is_killed():
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, FIXED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        lines = []
        threading.Thread(target=lambda: lines.append(owner.stdout.readline()), daemon=True).start()
        until(lambda: lines, "the service's address")
        url = lines[0].strip()
        assert transcribe(url, CLIP).status == 200
        left = psutil.Process(owner.pid).children(recursive=True)
        folders = {Path(process.cwd()) for process in left if process.name() == "nginx"}
        assert len(left) == 2 + 3
        assert [folder.name.startswith("coldburst-nginx-") for folder in folders] == [True]
        owner.kill()
    assert psutil.wait_procs(left, timeout=60)[1] == []
    until(lambda: not any(folder.exists() for folder in folders), "an end of nginx's folder")
