"""What coldburst doctor finds: known answers of scripted APIs, then the emulator and a service over real sockets."""

import json
import socket
import subprocess
import sys
import time

import pytest

from coldburst.doctor import command
from coldburst.doctor.anatomy import dissect
from coldburst.doctor.diagnosis import diagnose
from coldburst.keys import RUNPOD_KEY
from coldburst.targets.http import Exchange
from coldburst.targets.outcome import Evidence
from coldburst.targets.survey import Survey
from tests.support import scripted as wire
from tests.support.emulators import emulator
from tests.support.locusts import ROOT
from tests.support.scripted import scripted
from tests.support.transcribers import transcriber

HEALTH = {
    "jobs": {"completed": 0, "failed": 0, "inProgress": 1, "inQueue": 2, "retried": 0},
    "workers": {"idle": 0, "initializing": 1, "ready": 0, "running": 1, "throttled": 0, "unhealthy": 0},
}
SETTINGS = {"type": "QUEUE", "workers": {"min": 0, "max": 3, "idleTimeout": 5}, "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4}}
LISTED = {"workers": [{"id": "w1", "status": "RUNNING", "gpuCount": 2, "gpuTypeId": "GPU X", "startedAt": "2026-11-30T00:00:00Z"}]}
CATALOGUE = {"gpus": [{"id": "GPU X", "name": "X", "price": {"serverless": 1.5}}]}
SCRIPT = {
    "GET /v2/demo/health": HEALTH,
    "GET /v2/serverless/demo": SETTINGS,
    "GET /v2/serverless/demo/workers": LISTED,
    "GET /v2/catalog/gpus": CATALOGUE,
}


def reply(status, body=None):
    """An answer, by default with an error as its body."""
    return wire.reply(status, {"error": f"said {status}"} if body is None else body)


def api(**other):
    """A server with the script's answers; others by the last part of their path."""

    def answer(sock, request):
        path = b" ".join(request.split(b" ", 2)[:2]).decode()
        given = other.get(path.rpartition("/")[2], SCRIPT.get(path))
        sock.sendall(given if isinstance(given, bytes) else reply(404) if given is None else reply(200, given))
        return True

    return scripted(answer)


def said(capsys, *words):
    code = command.main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(RUNPOD_KEY, raising=False)


def test_all_that_the_apis_say_without_a_request(capsys):
    with api() as server:
        code, out, _ = said(capsys, f"{server.url}/v2/demo", "--price", "4090")
    assert code == 0
    lines = dict(line.split(None, 1) for line in out.splitlines() if not line.startswith(" "))
    assert lines["Endpoint"] == f"{server.url}/v2/demo: RunPod-like queue endpoint"
    assert lines["Key"].startswith("none sent and none needed")
    assert lines["Health"] == "workers: 1 initializing, 1 running; jobs: 2 in queue, 1 in progress"
    assert lines["Limits"] == "0 to 3 workers; scaler QUEUE_DELAY 4; idle time-out 5 s"
    assert lines["Price"] == "3 USD/h a worker: 2 x GPU X, RunPod's catalogue"
    assert lines["Request"].startswith("not sent, as it costs money")
    assert lines["Next"].endswith(f"run burst --headless --host {server.url}/v2/demo --price 4090")
    assert not any(b"/run" in request for request in server.requests)


def test_json_has_the_same(capsys):
    with api() as server:
        code, out, _ = said(capsys, f"{server.url}/v2/demo", "--price", "4090", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["endpoint"]["kind"], found["endpoint"]["costs_money"], found["request"]) == ("queue", True, None)
    assert found["price"] == {"name": "2 x GPU X", "usd_per_h": 3.0, "source": "RunPod's catalogue"}
    assert found["limits"]["workers_max"] == 3
    amounts = found["next"]["estimate"]
    assert amounts["low"]["usd"] < amounts["likely"]["usd"] < amounts["high"]["usd"]


def test_what_cannot_be_read_is_said_with_the_remedy(capsys):
    with api(demo=reply(403), gpus=reply(500)) as server:
        code, out, _ = said(capsys, f"{server.url}/v2/demo", "--price", "4090")
    assert code == 0
    assert "could not be read: 403" in out and "the key needs access to REST v2" in out
    assert "1.12 USD/h a worker: 4090" in out


def test_an_unknown_price_says_how_to_give_one(capsys, monkeypatch):
    monkeypatch.setattr(
        command, "one_request", lambda of: (dissect(Exchange(sent=0.0, done=1.0, status=200), Evidence(), (), 1.0), of.found)
    )
    with api(workers={"workers": []}) as server:
        code, out, _ = said(capsys, f"{server.url}/v2/demo")
    assert code == 0
    assert "give it with --price, as in --price 4090" in out


REFUSED = {
    "no key": ({"health": reply(401)}, "", "no key was sent: set RUNPOD_API_KEY"),
    "a wrong key": ({"health": reply(401)}, "rpa_wrong-0123456789", "is the key in RUNPOD_API_KEY the right one?"),
    "no such endpoint": ({"health": reply(404)}, "", "no endpoint 'demo'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_tested_is_one_sentence(name, capsys, monkeypatch):
    answers, key, sentence = REFUSED[name]
    monkeypatch.setenv(RUNPOD_KEY, key)
    with api(**answers) as server:
        code, out, err = said(capsys, f"{server.url}/v2/demo", "--yes")
        assert (code, out) == (2, "")
        assert sentence in err and err.count("\n") == 1 and "--no-preflight" not in err
        assert not (key and key in err)
        code, out, _ = said(capsys, f"{server.url}/v2/demo", "--json")
    assert code == 2 and sentence in json.loads(out)["error"]


def test_a_closed_port_is_one_sentence(capsys):
    with socket.socket() as bound:  # bound, not listening: connections are refused
        bound.bind(("127.0.0.1", 0))
        code, _, err = said(capsys, f"http://127.0.0.1:{bound.getsockname()[1]}/v2/demo")
    assert code == 2
    assert "could not connect" in err and "check the address, and whether the service runs" in err


@pytest.mark.parametrize(("host", "sentence"), [("127.0.0.1:80", "is not an address"), ("https://api.runpod.ai/v2", "has no endpoint id")])
def test_an_address_that_is_none_is_refused(host, sentence, capsys):
    code, _, err = said(capsys, host)
    assert code == 2 and sentence in err and "--host" not in err


def test_runpods_own_endpoints_cost_money(monkeypatch, tmp_path):
    monkeypatch.setattr("coldburst.load.preflight.check", lambda *_: None)
    monkeypatch.setattr("coldburst.doctor.diagnosis.survey", lambda *_: Survey())
    of = diagnose({"host": "https://api.runpod.ai/v2/abc"}, str(tmp_path))
    assert of.paid and of.kind == "RunPod queue endpoint"


WORKER = {"id": "w1", "status": "RUNNING", "gpuCount": 1, "gpuTypeId": "X"}


def ago(seconds):
    """A worker whose container started so long ago."""
    started = time.time() - seconds
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(started))}.{int(started % 1 * 1000):03d}Z"
    return ({**WORKER, "startedAt": stamp, "uptimeSeconds": int(seconds)},)


def test_a_cold_requests_wait_is_split_into_queue_and_start():
    """Sent 20 s ago, taken after 12 s, 5 s of work; the container began 18 s ago, so 2 s after the sending."""
    exchange = Exchange(sent=100.0, first=100.1, done=117.5, status=200)
    seen = dissect(exchange, Evidence("", {"queue_s": 12.0, "execution_s": 5.0, "worker_id": "w1"}), ago(18.0), 120.0)
    assert seen.outcome == "ok" and seen.cold
    assert (seen.total_s, seen.execution_s) == (17.5, 5.0)
    assert seen.queue_s == pytest.approx(2.0, abs=0.1)
    assert seen.start_s == pytest.approx(10.0, abs=0.1)
    assert seen.transfer_s == pytest.approx(0.5)
    assert seen.queue_s + seen.start_s + seen.execution_s + seen.transfer_s == pytest.approx(seen.total_s)


def test_a_warm_request_has_no_start():
    exchange = Exchange(sent=100.0, first=100.1, done=106.0, status=200)
    seen = dissect(exchange, Evidence("", {"queue_s": 0.5, "execution_s": 5.0, "worker_id": "w1"}), ago(900.0), 107.0)
    assert (seen.queue_s, seen.start_s, seen.cold) == (0.5, 0.0, False)


def test_a_services_request_has_the_times_that_it_shows():
    seen = dissect(Exchange(sent=1.0, first=3.0, done=3.5, status=200), Evidence(), (), 4.0)
    assert (seen.total_s, seen.transfer_s, seen.queue_s, seen.execution_s, seen.cold) == (2.5, 0.5, None, None, None)
    assert seen.text == "ok after 2.50 s: transfer 0.50 s"


def test_a_failure_tells_why():
    seen = dissect(Exchange(sent=1.0, done=2.0, fault="reset", error="the connection broke"), Evidence(), (), 3.0)
    assert (seen.outcome, seen.error) == ("unreachable", "the connection broke")


def doctor(*words, **env):
    command = [sys.executable, "-m", "coldburst", "doctor", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=env or None)


@pytest.mark.slow
def test_the_emulators_queue_and_balancer_and_a_service():
    """One cold request on each kind: the parts of its time make the whole."""
    modelled = ("--worker", "modelled", "--start", "0.5", "--load", "0.5", "--service-time", "0.3", "--price", "0.00031")
    with emulator(*modelled, "--idle-timeout", "60") as queue:
        done = doctor(f"{queue.url}/v2/demo", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        seen = found["request"]
        assert found["endpoint"]["what"] == "emulated queue endpoint" and seen["outcome"] == "ok" and seen["cold"]
        assert sum(seen[name] for name in ("queue_s", "start_s", "execution_s", "transfer_s")) == pytest.approx(seen["total_s"], abs=0.01)
        assert [seen["worker_id"]] == [worker["id"] for worker in queue.inside("demo")["workers"]]
        assert seen["start_s"] >= 0.9
        # The worker that is there now tells its GPU, and so its price.
        assert found["price"]["usd_per_h"] == pytest.approx(0.00031 * 3600)
        assert found["next"]["estimate"]["likely"]["usd"] > 0
    with emulator(*modelled, "--kind", "balancer") as balancer:
        done = doctor(f"{balancer.url}/lb/demo")
        # A modelled worker is no transcriber: the doctor says so.
        assert done.returncode == 1
        assert "emulated load-balancing endpoint" in done.stdout and "a worker started for it" in done.stdout
        assert "200 without a 'text'" in done.stdout
    with transcriber("--engine", "fixed") as service:
        done = doctor(service.url)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "transcription service" in done.stdout and "Price" not in done.stdout
        assert "30 run at once" in done.stdout
