"""Replicas by docker compose: what is asked of it, with a stand-in for docker; and this project's own compose file, by real programs."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys

import pytest

from coldburst.control.choice import ControlError, DesiredState, ObservedState, wait_shown
from coldburst.control.compose import ComposeControl
from coldburst.control.restore import SavedSettings, main, save
from tests.support.needs import need
from tests.support.transcribers import ROOT

STAND_IN = f"""#!{sys.executable}
import json, pathlib, sys
state_file = pathlib.Path(__file__).parent / "state.json"
state, words = json.loads(state_file.read_text()), sys.argv[1:]
if pathlib.Path(__file__).name == "docker" and words[0] == "compose":
    if not state["plugin"]:
        sys.exit("docker: unknown command: docker compose")
    del words[0]
state["said"].append(words)
if words[0] == "version":
    pass
elif words[0] == "inspect":
    for number in words[3:]:
        state["looks"] += 1
        print("running", "healthy" if state["looks"] > 3 else "starting")
elif "config" in words:
    print("\\n".join(state["services"]))
elif "up" in words:
    if state["broken"]:
        print("Building\\nno space left on device", file=sys.stderr)
        sys.exit(17)
    if "--scale" in words:
        state["running"] = int(words[words.index("--scale") + 1].partition("=")[2])
    else:
        state["running"] = max(state["running"], sum(word.startswith("worker-") for word in words))
    state["looks"] = 0
elif "stop" in words:
    state["running"] -= len(words) - words.index("stop") - 1
elif "ps" in words:
    print("\\n".join(f"id{{number}}" for number in range(state["running"])))
state_file.write_text(json.dumps(state))
"""
FRESH = {"plugin": True, "broken": False, "running": 1, "looks": 100, "said": [], "services": ["transcriber", "nginx"]}


class Docker:
    """A stand-in on PATH that keeps what it was told."""

    def __init__(self, folder):
        self._file = folder / "state.json"
        self._file.write_text(json.dumps(FRESH))
        for name in ("docker", "docker-compose"):
            program = folder / name
            program.write_text(STAND_IN)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def set(self, **state):
        self._file.write_text(json.dumps(json.loads(self._file.read_text()) | state))

    def __getitem__(self, name):
        return json.loads(self._file.read_text())[name]


@pytest.fixture
def docker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Docker(tmp_path)


def compose():
    return ComposeControl(ROOT / "docker-compose.yml", "transcriber")


def shown(control, wanted):
    return wait_shown(control, wanted, timeout_s=20, rest=lambda s: True, say=print)


@pytest.mark.slow
def test_a_service_is_scaled_awaited_and_put_back(docker, tmp_path):
    control = compose()
    before = control.settings()
    assert "to 2, 3 containers (now 1)" in control.describe([DesiredState(2), DesiredState(3)])
    control.change(DesiredState(3))
    ups = [words[2:] for words in docker["said"] if "up" in words]
    assert ups == [["up", "-d", "--no-recreate", "--scale", "transcriber=3", "transcriber", "nginx"]]
    assert docker["said"][-1][2:] == ["exec", "-T", "nginx", "nginx", "-s", "reload"]
    assert control.observe(DesiredState(3)) == ObservedState(0, False, "0 of 3 workers serve; 3 run")
    assert shown(control, DesiredState(3)) == ObservedState(3, True, "3 of 3 workers serve")
    save(tmp_path, SavedSettings("compose", before, control.where))
    assert main([str(tmp_path)]) == 0
    assert docker["running"] == 1
    assert control.restore(before).endswith("1 containers, as before")


@pytest.mark.slow
def test_services_named_one_by_one_are_started_and_stopped_behind_their_proxy(docker):
    docker.set(services=["lb", "worker-1", "worker-2", "worker-3"], running=3)
    control = ComposeControl(ROOT / "docker-compose.yml", "worker-1,worker-2,worker-3", "lb")
    assert "Runs the first 1, 2 of the services 'worker-1', 'worker-2', 'worker-3'" in control.describe([DesiredState(1), DesiredState(2)])
    control.change(DesiredState(2))
    changes = [words[2:] for words in docker["said"] if words[2:3] in (["up"], ["stop"], ["exec"])]
    assert changes == [
        ["up", "-d", "--no-recreate", "--no-deps", "worker-1", "worker-2", "lb"],
        ["stop", "worker-3"],
        ["exec", "-T", "lb", "nginx", "-s", "reload"],
    ]
    assert shown(control, DesiredState(2)).workers == 2
    with pytest.raises(ControlError, match="names 3 workers, but 4 are needed: name all"):
        control.describe([DesiredState(4)])
    with pytest.raises(ControlError, match="--compose-proxy 'proxy' is not in"):
        ComposeControl(ROOT / "docker-compose.yml", "worker-1", "proxy")


@pytest.mark.slow
def test_the_older_program_takes_the_same_words(docker):
    docker.set(plugin=False)
    control = compose()
    control.change(DesiredState(2))
    assert docker["running"] == 2
    assert shown(control, DesiredState(2)).workers == 2


@pytest.mark.slow
def test_what_compose_says_when_it_fails_is_told(docker):
    control = compose()
    docker.set(broken=True)
    with pytest.raises(ControlError, match="ended with code 17: Building no space left on device; run it in a shell"):
        control.change(DesiredState(2))


@pytest.mark.slow
def test_what_compose_cannot_do_is_told_before_anything_is_touched(docker):
    with pytest.raises(ControlError, match="docker compose changes only the number of workers"):
        compose().describe([DesiredState(1, concurrency=2)])
    with pytest.raises(ControlError, match=r"--compose-service 'gpu' is not in .*: use one of nginx, transcriber"):
        ComposeControl(ROOT / "docker-compose.yml", "gpu")


def test_without_docker_the_next_step_is_told(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ControlError, match="install both, or use --control replicas or hand"):
        compose()


@pytest.mark.slow
@pytest.mark.parametrize("program", [["docker", "compose"], ["docker-compose"]], ids=" ".join)
def test_the_compose_file_is_one(program):
    need(program[0])
    if subprocess.run([*program, "version"], capture_output=True, check=False).returncode:
        pytest.skip(f"'{' '.join(program)}' does not run here: the plugin is not installed")
    checked = [*program, "-f", str(ROOT / "docker-compose.yml"), "--profile", "monitoring", "config", "-q"]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_nginx_takes_the_file_that_the_compose_file_mounts(tmp_path):
    nginx = need("nginx")
    assert "./deploy/nginx.conf:/etc/nginx/nginx.conf:ro" in (ROOT / "docker-compose.yml").read_text()
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    (tmp_path / "nginx.conf").write_text(text.replace("transcriber:8000", "127.0.0.1:8000").replace("/tmp/", f"{tmp_path}/"))
    done = subprocess.run([nginx, "-t", "-p", str(tmp_path), "-c", "nginx.conf"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"least_conn;\s+server transcriber:8000", text)
    assert "proxy_next_upstream off" in text
