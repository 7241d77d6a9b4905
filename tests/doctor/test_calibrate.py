"""coldburst plan calibrate: what it refuses before a request, then calibrations of the emulator and of a service, and plans from them.

Times of whole calibrations are compared with bounds that a slow machine cannot break: nothing takes less than it is told to.
"""

import json
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from coldburst.doctor import calibrate
from coldburst.keys import RUNPOD_KEY
from coldburst.planner.calibration import calibration
from coldburst.planner.command import main as plan
from coldburst.record.exit_codes import INVALID, MISSED
from coldburst.targets.survey import Survey
from tests.doctor.test_doctor import SETTINGS, api, reply
from tests.support.emulators import emulator
from tests.support.locusts import ROOT
from tests.support.transcribers import transcriber

BODY = ("--input", '{"input": {"seq": "{{seq}}"}}')
MODELLED = ("--worker", "modelled", "--start", "0.3", "--load", "0.3", "--idle-timeout", "60", "--workers-max", "1")


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(RUNPOD_KEY, raising=False)


def said(capsys, *words):
    code = calibrate.main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def test_before_anything_is_sent_it_says_what_it_would_cost(capsys, tmp_path):
    with api() as server:
        code, out, _ = said(capsys, f"{server.url}/v2/demo", "--price", "4090", "--runs", str(tmp_path))
    assert code == 2
    assert "Sends     15 requests: 1 to an endpoint without workers, 6 one after the other, 8 with 4 at a time" in out
    assert " USD (likely " in out and "at 3 USD/h a worker (0 to 3 workers; requests of 1 to 30 s and starts of 10 to 120 s: assumed" in out
    assert "Nothing was sent, as it costs money: add --yes" in out
    assert not any(b"/run" in request for request in server.requests) and not list(tmp_path.iterdir())


REFUSED = {
    "no key": ({"health": reply(401)}, "no key was sent: set RUNPOD_API_KEY"),
    "no settings": ({"demo": reply(403)}, "the endpoint's settings could not be read (403"),
    "no workers": ({"demo": SETTINGS | {"workers": {"min": 0, "max": 0, "idleTimeout": 5}}}, "a maximum of 0 workers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_calibrated_is_one_sentence(name, capsys, tmp_path):
    answers, sentence = REFUSED[name]
    with api(**answers) as server:
        code, out, err = said(capsys, f"{server.url}/v2/demo", "--yes", "--runs", str(tmp_path))
    assert (code, out) == (2, "")
    assert sentence in err and err.count("\n") == 1 and "--no-preflight" not in err


def test_an_endpoint_that_is_down_is_one_sentence(capsys, tmp_path):
    with socket.socket() as bound:  # bound, not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        code, _, err = said(capsys, f"http://127.0.0.1:{bound.getsockname()[1]}/v2/demo", "--yes", "--runs", str(tmp_path))
    assert code == 2
    assert "could not connect" in err and err.count("\n") == 1


def test_the_planner_alone_says_where_it_is(capsys):
    assert plan(["calibrate", "http://127.0.0.1:9/v2/demo"]) == 2
    assert "use coldburst plan calibrate" in capsys.readouterr().err


def test_the_workers_that_are_up_are_those_with_a_container(monkeypatch, tmp_path, capsys):
    """The first look shows one, the second none: the wait ends."""
    monkeypatch.setattr(calibrate, "LOOK_S", 0.0)
    with api() as server:
        of = calibrate.diagnose({"host": f"{server.url}/v2/demo"}, str(tmp_path))
    looks = [Survey()]
    monkeypatch.setattr(calibrate, "survey", lambda *_: looks.pop())
    calibrate.await_no_worker(of, calibration(of.found.settings))
    assert not looks and "Waiting until the worker that is up has stopped" in capsys.readouterr().out


def coldburst(*words):
    command = [sys.executable, "-m", "coldburst", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_a_queue_is_calibrated_and_then_predicted(tmp_path):
    """Four jobs at a time on a worker: the run has a cold start, and jobs alone and together; it is a run like any other."""
    file = tmp_path / "answer.json"
    with emulator(*MODELLED, "--service-curve", "1:0.4,4:0.8", "--concurrency", "4", "--price", "0.0003") as platform:
        words = (f"{platform.url}/v2/demo", *BODY, "--price", "4090", "--runs", str(tmp_path), "--json", str(file), "--yes")
        done = coldburst("plan", "calibrate", *words)
        bill = platform.inside("demo")["bill"]
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text(encoding="utf-8"))
    folder = Path(found["run"])
    assert folder.parent == tmp_path and folder.name.endswith("-calibrate")
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["ledger"]["counts"] == {"ok": 15}
    # How the times are split is tested in virtual time: here the machine's pace is in them.
    assert min(found["service_s"]) > 0 and found["start_s"] and min(found["start_s"]) >= 0.5
    assert found["at_a_time"] >= 1 and found["workers"] == 1
    # The bill went on for the time between the run's end and the look at it; the idle time-out is counted ahead.
    assert 0 < found["cost"]["worker_s"] <= bill["billed_s"] + 60 + 3
    assert found["cost"]["usd"] == pytest.approx(found["cost"]["worker_s"] * 0.0003, rel=0.01)
    assert found["estimate"]["low"]["usd"] < found["estimate"]["high"]["usd"]
    assert found["unseen"] and all(f"  - {one}" in done.stdout for one in found["unseen"])
    assert "Calibrated by 15 answers" in done.stdout and "verdict: " in done.stdout
    next_one = coldburst(*shlex.split(found["next"].partition(" coldburst ")[2]), "--seeds", "2")
    assert next_one.returncode == 0, next_one.stderr
    assert "of 30 requests ok" in next_one.stdout


@pytest.mark.slow
def test_a_balancer_and_a_service_are_calibrated(tmp_path):
    with emulator(*MODELLED, "--kind", "balancer", "--scaler-value", "1", "--service-time", "0.3") as platform:
        words = ("--path", "/generate", *BODY, "--runs", str(tmp_path))
        done = coldburst("plan", "calibrate", f"{platform.url}/lb/demo", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Sends     10 requests: 1 to an endpoint without workers, 9 one after the other" in done.stdout
    assert "Calibrated by 10 answers" in done.stdout and "start of a worker                not seen" not in done.stdout
    with transcriber("--engine", "fixed", "--service-time", "0.2") as service:
        done = coldburst("plan", "calibrate", service.url, "--runs", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "starts of workers: this service shows none" in done.stdout and "spent" not in done.stdout
    command = done.stdout.rpartition("Next: ")[2]
    assert "--workers-min 1 --workers-max 1" in command


@pytest.mark.slow
def test_an_endpoint_that_answers_nothing_is_not_calibrated_and_a_limit_is_kept(tmp_path):
    """Each job needs more memory than the card has: it fails at once."""
    with emulator(*MODELLED, "--job-gb", "2", "--card-gb", "1") as platform:
        done = coldburst("plan", "calibrate", f"{platform.url}/v2/demo", *BODY, "--at-a-time", "1", "--runs", str(tmp_path))
    assert done.returncode == INVALID, done.stdout + done.stderr
    assert "No answer was ok (10 attempts sent)" in done.stdout
    assert "Not calibrated: " in done.stdout and "known of 0 answers, but at least 8 are needed" in done.stdout
    with emulator(
        *MODELLED, "--service-time", "0.5", "--price", "0.02", "--management-per-minute", "10000", "--idle-timeout", "2"
    ) as platform:
        words = (*BODY, "--price", "4090", "--max-spend", "0.03", "--yes", "--runs", str(tmp_path))
        done = coldburst("plan", "calibrate", f"{platform.url}/v2/demo", *words)
    assert done.returncode == MISSED, done.stdout + done.stderr
    assert "--max-spend 0.03 USD reached" in done.stdout + done.stderr


@pytest.mark.slow
def test_ctrl_c_ends_the_run_once_and_in_good_order(tmp_path):
    """Jobs of 3 s one after the other: after the first answer nine are left, and the one in flight is awaited."""
    with emulator(*MODELLED, "--service-time", "3") as platform:
        command = [sys.executable, "-m", "coldburst", "plan", "calibrate", f"{platform.url}/v2/demo", *BODY, "--at-a-time", "1"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen([*command, "--runs", str(tmp_path)], cwd=ROOT, **pipes) as process:
            assert any("  ok 1  " in line for line in process.stdout)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=600)[0]
    assert process.returncode == INVALID, said
    assert "The run was cut short (Ctrl-C)" in said and "Not calibrated: " in said and "unfinished" not in said
