"""Sweeps of endpoints that answer 409 after every change of their settings: all are restored, whatever ends the run."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.emulators import MODELLED, emulator
from tests.support.locusts import ROOT, locust

SCALING = "locustfiles/scaling.py"
LOAD = ("--workers", "2,3", "--concurrency", "1", "--requests", "6", "--warm-up", "0", "--yes")
LIES = {"health": {"idle": 1, "throttled": 1}}
ENDINGS = (None, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


def settings(platform, name):
    """The settings of an endpoint, from the emulator itself, which does not answer 409."""
    return platform.inside(name)["policy"]


def swept(platform, name, template, ending, wait_s):
    """Sweeps an endpoint, ends the run by ``ending`` in its first stage, restores after a kill; the outcomes of its requests."""
    with locust("--host", f"{platform.url}/v2/{name}", *LOAD, "--input", str(template), file=SCALING) as run:
        if ending is not None:
            run.until(lambda run: len(run.rows) >= 1, wait_s)
            run.interrupt(ending)
        code = run.wait(wait_s)
        assert code == (0 if ending is None else 1) or ending is signal.SIGKILL, run.output
        assert "is being changed (409" in run.output
        if ending is signal.SIGKILL:
            command = [sys.executable, "-m", "coldburst", "restore", str(run.folder)]
            said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=wait_s, check=False)
            assert said.returncode == 0, said.stderr
        return {row.outcome for row in run.rows}


def all_restored(folder, number, hold_s):
    """Sweeps ``number`` endpoints, ten at a time, each with a 409 of ``hold_s`` after each change; /health of the last one lies."""
    template, config = folder / "input.json", folder / "endpoints.toml"
    template.write_text(json.dumps({"input": {"seq": "{{seq}}"}}))
    names = [f"e{n}" for n in range(number)]
    pairs = [*zip(MODELLED[::2], MODELLED[1::2], strict=True), ("--service-time", "0.5"), ("--idle-timeout", "60")]
    words = {option[2:]: value for option, value in pairs if option != "--platform"}
    lines = [f"{option} = {value if value[0].isdigit() else json.dumps(value)}" for option, value in words.items()]
    platform = f"platform = {json.dumps(f'reconfigure_s={hold_s}')}"
    config.write_text("\n".join("\n".join([f"[endpoints.{name}]", *lines, platform]) for name in names))
    with emulator("--config", str(config), "--management-per-minute", "100000") as running, ThreadPoolExecutor(10) as pool:
        before = {name: settings(running, name) for name in names}
        assert running.ask(f"/emulator/{names[-1]}/fault", LIES).status == 200
        endings = [ENDINGS[n % len(ENDINGS)] for n in range(number)]
        ran = pool.map(lambda one: swept(running, one[0], template, one[1], 60 + 8 * hold_s), zip(names, endings, strict=True))
        outcomes = set.union(*ran)
        restored = [settings(running, name) == before[name] for name in names]
    assert restored == [True] * number
    assert outcomes <= {"ok", "unfinished", "not_sent"}


@pytest.mark.slow
def test_a_killed_sweep_and_a_whole_one_are_restored(tmp_path):
    all_restored(tmp_path, 2, 1.0)


@pytest.mark.nightly
def test_twenty_sweeps_with_minutes_of_409_are_restored(tmp_path):
    all_restored(tmp_path, 20, 120.0)
