"""An endpoint's settings by REST v2: changed, awaited, restored; against the emulator, and against a server that misbehaves."""

import json
import os
import signal
import subprocess
import sys

import gevent
import pytest

from coldburst.control import rest, rest_calls, restore
from coldburst.control.choice import ControlError, DesiredState, wait_shown
from coldburst.control.restore import SavedSettings, restore_settings, save
from tests.support.emulators import MODELLED, emulator
from tests.support.scripted import replies, reply, scripted
from tests.support.transcribers import ROOT, until

SECRET = "hf_sesame_7c1f0e"
ENDPOINT = {"workers": {"min": 0, "max": 3}, "scaling": {"type": "REQUEST_COUNT", "requestCount": 4}, "env": {}}
PLENTY = ("--management-per-minute", "10000")
CHANGES = """
import json, sys
from pathlib import Path
from coldburst.control.choice import *
from coldburst.control.restore import SavedSettings, save
from coldburst.targets.address import infer
control = make("rest", infer(sys.argv[1]), "", {"concurrency_env": "CONCURRENCY"})
save(Path(sys.argv[2]), SavedSettings(control.way, control.settings(), control.where))
control.change(DesiredState(2, 3, 3))
print("changed", flush=True)
sys.stdin.read()
"""


def pause(seconds):
    gevent.sleep(seconds)
    return True


def shown(control, wanted):
    said = []
    seen = wait_shown(control, wanted, timeout_s=20, rest=pause, say=said.append)
    assert seen.ready, said
    return seen


def set_to(control, **wanted):
    control.change(DesiredState(**wanted))
    return shown(control, DesiredState(**wanted))


def settings(there, name="demo"):
    return there.ask(f"/v2/serverless/{name}").json()


def workers(there):
    return there.ask("/v2/serverless/demo/workers").json()["workers"]


@pytest.fixture(scope="module")
def there():
    with emulator(*MODELLED, *PLENTY, "--workers-max", "3", "--idle-timeout", "30", "--env", "HF_TOKEN") as started:
        yield started


def test_workers_concurrency_and_scaler_are_set_seen_and_put_back(there, rest_of):
    control, first = rest_of(there), settings(there)
    before = control.settings()
    told = control.describe([DesiredState(1, 1, 1), DesiredState(2, 3, 3)])
    assert "to 1, 2 (now 0 to 3" in told
    assert "REQUEST_COUNT 1, 3 (now QUEUE_DELAY 4)" in told
    assert "CONCURRENCY to 1, 3 (now not set)" in told
    assert settings(there) == first
    assert set_to(control, workers=2, concurrency=3, scaler_value=3).workers == 2
    now = settings(there)
    assert now["workers"] == {"min": 2, "max": 2}
    assert now["scaling"] == {"type": "REQUEST_COUNT", "requestCount": 3}
    assert now["env"] == {"CONCURRENCY": "3"}
    assert control.restore(before).endswith("restored (workers, scaling, env)")
    assert settings(there) == first
    assert control.restore(before).endswith("unchanged")


def test_the_number_of_workers_goes_up_and_down(there, rest_of):
    control = rest_of(there)
    before = control.settings()
    for number in (1, 3, 2):
        assert set_to(control, workers=number).workers == number
        assert [worker["status"] for worker in workers(there)] == ["IDLE"] * number
    control.restore(before)


def test_a_worker_of_the_older_release_is_waited_for(there, rest_of):
    control = rest_of(there)
    before = control.settings()
    set_to(control, workers=1)
    (old,) = workers(there)
    job = there.submit("demo", sleep_s=60)
    until(lambda: there.ask("/v2/demo/health").json()["jobs"]["inProgress"] == 1, "a job at the worker")
    control.change(DesiredState(workers=1, concurrency=2))
    assert not control.observe(DesiredState(workers=1, concurrency=2)).ready
    assert "1 of an older release" in control.observe(DesiredState(workers=1, concurrency=2)).text
    there.ask(f"/v2/demo/cancel/{job}", {})
    shown(control, DesiredState(workers=1, concurrency=2))
    (new,) = workers(there)
    assert new["id"] != old["id"]
    assert new["version"] > old["version"]
    control.restore(before)


def test_other_variables_survive_and_their_values_are_written_nowhere(there, rest_of, tmp_path):
    there.ask("/v2/serverless/demo", {"env": {"HF_TOKEN": SECRET, "CONCURRENCY": "2"}}, "PATCH")
    control = rest_of(there)
    before = control.settings()
    save(tmp_path, SavedSettings("rest", before, control.where))
    control.change(DesiredState(concurrency=4))
    assert settings(there)["env"] == {"HF_TOKEN": SECRET, "CONCURRENCY": "4"}
    said = control.describe([DesiredState(1, 1, 1)]) + control.restore(before)
    assert settings(there)["env"] == {"HF_TOKEN": SECRET, "CONCURRENCY": "2"}
    assert "HF_TOKEN" in (tmp_path / "settings.json").read_text()
    assert SECRET not in (tmp_path / "settings.json").read_text() + said
    there.ask("/v2/serverless/demo", {"env": {}}, "PATCH")


@pytest.mark.slow
def test_workers_that_flashboot_keeps_are_not_taken_for_more(rest_of):
    with emulator(*MODELLED, *PLENTY, "--flashboot", "--workers-max", "3") as there:
        control = rest_of(there)
        assert set_to(control, workers=3).workers == 3
        assert set_to(control, workers=1).workers == 1
        assert len(workers(there)) == 3  # two of them cached
        assert set_to(control, workers=1, concurrency=2).workers == 1


@pytest.mark.slow
def test_a_run_that_was_killed_is_put_back_by_another_process(there, tmp_path):
    first = settings(there)
    command = [sys.executable, "-c", CHANGES, f"{there.url}/v2/demo", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "changed\n"
        run.send_signal(signal.SIGKILL)
    assert settings(there)["workers"] == {"min": 2, "max": 2}
    for expected in ("restored (workers, scaling, env)", "already restored (restored by python -m coldburst restore)"):
        again = subprocess.run(
            [sys.executable, "-m", "coldburst", "restore", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (again.returncode, again.stderr) == (0, "")
        assert expected in again.stdout
        assert settings(there) == first
    assert json.loads((tmp_path / "settings.json").read_text())["restored"] is True


@pytest.mark.slow
def test_it_is_put_back_over_tls_and_with_the_key(tmp_path):
    with emulator(*MODELLED, "--https", RUNPOD_API_KEY="sesame") as there:
        before = {"endpoint": "demo", "management": f"{there.url}/v2", "workers": {"min": 1, "max": 2}}
        before |= {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 4.0}, "concurrency": {"variable": "CONCURRENCY", "value": None}}
        save(tmp_path, SavedSettings("rest", before, "demo"))
        authority = next(line.split()[-1] for line in there.lines if line.startswith("authority"))
        command = [sys.executable, "-m", "coldburst", "restore", str(tmp_path)]
        for key, code, sentence in (("wrong", 1, "refuses the key (401): set RUNPOD_API_KEY"), ("sesame", 0, "workers 1 to 2")):
            env = os.environ | {"SSL_CERT_FILE": authority, "RUNPOD_API_KEY": key}
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
            assert (done.returncode, sentence in done.stdout + done.stderr) == (code, True), done
            assert key not in done.stdout + done.stderr + (tmp_path / "settings.json").read_text()


def test_an_endpoint_that_costs_money_is_not_put_back_unasked(tmp_path):
    before = {"endpoint": "abc", "management": "https://api.runpod.io/v2", "concurrency": {"variable": "C", "value": None}}
    save(tmp_path, SavedSettings("rest", before, "abc"))
    with pytest.raises(ControlError, match=r"'abc' at https://api\.runpod\.io/v2 with the key in RUNPOD_API_KEY: add --yes"):
        restore_settings(tmp_path, "", yes=False)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "has no settings.json: the run changed nothing"),
        ("{", "could not be read"),
        ('{"way": 1, "before": {}}', "could not be read"),
        ('{"way": "rest", "before": {}}', "does not contain the earlier settings"),
    ],
)
def test_what_is_no_runs_settings_is_told(tmp_path, capsys, content, sentence):
    if content is not None:
        (tmp_path / "settings.json").write_text(content)
    assert restore.main([str(tmp_path)]) == 1
    assert sentence in capsys.readouterr().err


def test_settings_that_are_not_whole_are_told(there, tmp_path, capsys):
    before = {"endpoint": "demo", "management": f"{there.url}/v2", "concurrency": {"variable": "CONCURRENCY", "value": None}}
    save(tmp_path, SavedSettings("rest", before))
    assert restore.main([str(tmp_path)]) == 1
    assert "does not contain the earlier settings (KeyError('workers')): restore the endpoint in the console" in capsys.readouterr().err


def test_what_ended_with_the_run_needs_no_putting_back(tmp_path, capsys):
    save(tmp_path, SavedSettings("replicas", {"workers": 0}, "here"))
    assert restore.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "here: nothing to restore with this command (replicas)\n"


# a server that misbehaves


OK = reply(200, ENDPOINT)


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [reply(503, b"later"), reply(429, {"detail": "slow down"}, "Retry-After: 0"), b"SSH-2.0\r\n"])
def test_what_is_refused_for_the_moment_is_asked_again(rest_of, trouble):
    with scripted(replies(trouble, trouble, OK)) as server:
        assert rest_of(server).settings()["scaling"] == ENDPOINT["scaling"]
        assert len(server.requests) == 3


def test_the_pause_that_is_asked_for_is_kept(rest_of, monkeypatch):
    pauses = []
    monkeypatch.setattr(rest_calls.gevent, "sleep", pauses.append)
    limited = [reply(429, {}, "Retry-After: 17"), reply(429, {}, 'RateLimit: "minute";r=0;t=23'), reply(429, {}, "Retry-After: 9999")]
    with scripted(replies(*limited, reply(500, {}), OK)) as server:
        rest_of(server).settings()
    assert pauses == [17.0, 23.0, 120.0, 0.8]


def test_it_gives_up_in_the_end(rest_of, monkeypatch):
    monkeypatch.setattr(rest_calls.gevent, "sleep", lambda s: None)
    with scripted(replies(reply(503, {"title": "down for the day"}))) as server:
        with pytest.raises(ControlError, match=r"is not available: 503 down for the day \(6 times\): try again later"):
            rest_of(server).settings()
        assert len(server.requests) == rest_calls.TRIES
        gone = rest_of(server)
    with pytest.raises(ControlError, match="is not reachable"):
        gone.settings()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (reply(401, {"title": "Unauthorized"}), r"refuses the key \(401\): set RUNPOD_API_KEY"),
        (reply(404, {}), r"does not exist \(404\): check the id in --host"),
        (reply(422, {"detail": "max is above your quota"}), r"refuses the change \(422 max is above your quota\)"),
        (reply(200, b"<html>"), "not a JSON object"),
        (reply(200, []), "not a JSON object"),
        (reply(200, {"workers": {}}), "does not show its settings"),
        (reply(200, ENDPOINT | {"workers": {"min": 0}}), "does not show its settings"),
        (reply(200, ENDPOINT | {"env": None}), "does not show its settings"),
        (reply(200, ENDPOINT | {"scaling": {"type": "MOON"}}), "does not show its settings"),
    ],
)
def test_what_is_refused_for_good_is_told_at_once(rest_of, answer, sentence):
    with scripted(replies(answer)) as server:
        with pytest.raises(ControlError, match=sentence):
            rest_of(server, key="sesame").settings()
        assert len(server.requests) == 1
        assert b"Authorization: Bearer sesame" in server.requests[0]


def test_a_value_that_is_not_shown_is_not_overwritten(rest_of):
    with scripted(replies(reply(200, ENDPOINT | {"env": {"HF_TOKEN": "****"}}))) as server:
        with pytest.raises(ControlError, match="hides the value of HF_TOKEN"):
            rest_of(server).change(DesiredState(concurrency=2))
        assert all(b"PATCH" not in request for request in server.requests)


def test_a_refusal_that_repeats_a_secret_is_told_without_it(rest_of):
    present = reply(200, ENDPOINT | {"env": {"HF_TOKEN": SECRET}})
    refused = reply(422, {"detail": f"env {{'HF_TOKEN': '{SECRET}'}} is too long"})
    with (
        scripted(replies(present, reply(200, {"workers": []}), refused)) as server,
        pytest.raises(ControlError, match="is too long") as told,
    ):
        rest_of(server).change(DesiredState(concurrency=2))
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("answer", [reply(422, {"detail": f"no: Bearer {SECRET}"}), reply(200, f"you sent {SECRET}".encode())])
def test_an_answer_that_repeats_the_key_is_told_without_it(rest_of, answer):
    with scripted(replies(answer)) as server, pytest.raises(ControlError) as told:
        rest_of(server, key=SECRET).settings()
    assert SECRET not in str(told.value)
    assert "…" in str(told.value)


def test_trouble_that_repeats_the_key_is_told_without_it(rest_of):
    with scripted(replies(reply(500, {"detail": f"no: Bearer {SECRET}"}))) as server:
        seen = rest_of(server, key=SECRET).observe(DesiredState(workers=1))
    assert "is not available: 500 no: Bearer …" in seen.text


def test_a_key_that_is_also_a_variable_of_the_endpoint_is_kept_in_it(rest_of):
    present = reply(200, ENDPOINT | {"env": {"RUNPOD_API_KEY": SECRET}})
    changed = reply(200, ENDPOINT | {"env": {"RUNPOD_API_KEY": SECRET, "CONCURRENCY": "2"}})
    with scripted(replies(present, reply(200, {"workers": []}), changed)) as server:
        rest_of(server, key=SECRET).change(DesiredState(concurrency=2))
        assert json.dumps({"env": {"RUNPOD_API_KEY": SECRET, "CONCURRENCY": "2"}}).encode() in server.requests[-1]


def test_a_change_is_not_waited_for_when_the_run_is_stopped(rest_of, tmp_path):
    with scripted(replies(reply(429, {"detail": "slow down"}, "Retry-After: 60"))) as server:
        control, pauses = rest_of(server), []
        control.begin(tmp_path, lambda seconds: pauses.append(seconds) is not None)
        with pytest.raises(ControlError, match="429 slow down; the run has ended"):
            control.change(DesiredState(workers=2))
    assert pauses == [60.0]


def test_a_change_that_does_not_hold_is_told(rest_of):
    with scripted(replies(OK)) as server, pytest.raises(ControlError, match=r"does not show it \(workers, scaling\)"):
        rest_of(server).change(DesiredState(workers=2, scaler_value=2))


def test_a_worker_list_that_lags_behind_a_release_is_not_believed(rest_of):
    old, new = ({"workers": [{"id": "a", "status": "IDLE", "isStale": False, "version": version}]} for version in (1, 2))
    changed = ENDPOINT | {"env": {"CONCURRENCY": "2"}}
    with scripted(replies(OK, reply(200, old), reply(200, changed), reply(200, old), reply(200, new))) as server:
        control, wanted = rest_of(server), DesiredState(concurrency=2)
        control.change(wanted)
        assert json.loads(server.requests[2].partition(b"\r\n\r\n")[2]) == {"env": {"CONCURRENCY": "2"}}
        assert (control.observe(wanted).ready, control.observe(wanted).ready) == (False, True)


def test_minimum_and_maximum_travel_together(rest_of):
    changed = ENDPOINT | {"workers": {"min": 5, "max": 5}, "scaling": {"type": "REQUEST_COUNT", "requestCount": 2}}
    with scripted(replies(OK, reply(200, changed))) as server:
        rest_of(server).change(DesiredState(workers=5, scaler_value=2))
        body = json.loads(server.requests[1].partition(b"\r\n\r\n")[2])
    assert body == {"workers": {"min": 5, "max": 5}, "scaling": {"type": "REQUEST_COUNT", "requestCount": 2}}


def test_trouble_while_looking_is_told_and_looked_past(rest_of):
    listed = reply(
        200, {"workers": [{"id": "a", "status": "RUNNING"}, {"id": "b", "status": "THROTTLED"}]}, 'RateLimit: "minute";r=24;t=10'
    )
    with scripted(replies(reply(429, {"detail": "minute"}, "Retry-After: 7"), listed, reply(200, {}))) as server:
        control = rest_of(server)
        seen = control.observe(DesiredState(workers=2))
        assert (seen.workers, seen.ready, "429 minute" in seen.text) == (None, False, True)
        assert control.every_s == 7.0
        assert control.observe(DesiredState(workers=2)).text == "1 of 2 workers serve; 1 throttled"
        assert control.every_s == 2.5  # 24 left for ten seconds, 20 of them for others
        with pytest.raises(ControlError, match="does not list its workers"):
            control.observe(DesiredState(workers=2))


@pytest.mark.parametrize(
    "window", ['"minute";r=nan;t=10', '"minute";r=24;t=inf', '"minute";r=1e999;t=10', '"minute";r=two;t=1', '"minute"']
)
def test_a_rate_limit_that_is_not_a_number_is_ignored(rest_of, window):
    with scripted(replies(reply(200, {"workers": []}, f"RateLimit: {window}"))) as server:
        control = rest_of(server)
        assert control.observe(DesiredState(workers=0)).ready
        assert control.every_s == rest.LOCAL_EVERY_S
