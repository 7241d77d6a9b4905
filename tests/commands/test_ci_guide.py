"""docs/guides/ci.md is true: its files are read, its metrics are the program's own, its workflow's commands run."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from coldburst.record import exit_codes
from coldburst.record.objectives import METRICS, OF_TIMES, POINTS, TIMES, load
from tests.support.locusts import OF_TESTS, REPORTED, ROOT
from tests.support.needs import need

GUIDE = (ROOT / "docs" / "guides" / "ci.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def shell(script, place, **env):
    """Runs ``script`` as a step of a workflow does, with the results in ``place``."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = [need("bash"), "-e", "-o", "pipefail", "-c", script.replace("results", str(place))]
    return subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **OF_TESTS, **REPORTED, "PATH": path, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_examples_are_files_of_objectives(tmp_path):
    path = tmp_path / "objectives.toml"
    path.write_text("".join(blocks("toml")), encoding="utf-8")
    assert [one.text for one in load(path).objectives] == ["p95 < 2 s", "cost_per_1000 < 0.40"]
    assert len(load(ROOT / "docs" / "guides" / "objectives.toml").objectives) == 4


def test_the_table_has_every_metric():
    table = GUIDE.partition("| metric |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z0-9_]+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:])))
    of_times = {before for before in OF_TIMES if any(f"{before}{point}" in named for point in POINTS)}
    assert of_times == set(OF_TIMES)
    assert named - set(TIMES) == set(METRICS) - set(TIMES)


@pytest.mark.slow
def test_the_commands_of_the_gate(tmp_path):
    first, second = "".join(blocks("sh")).splitlines()
    done = shell(first, tmp_path)
    assert done.returncode == exit_codes.MISSED, done.stderr
    assert "FAILED  queue_timeouts == 0: missed: 4, limit == 0" in done.stdout
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().get("tests") == "7"
    assert (tmp_path / "summary.md").read_text(encoding="utf-8").startswith("### ")
    shown = shell(second, tmp_path)
    assert shown.returncode == 0
    assert "p95 < 2 s" in shown.stdout


@pytest.mark.slow
def test_the_workflows_commands(tmp_path):
    """With fewer requests; what it installs is here."""
    (text,) = blocks("yaml")
    steps = yaml.safe_load(text)["jobs"]["burst"]["steps"]
    scripts = [step["run"] for step in steps if "run" in step and not step["run"].startswith("pip ")]
    assert [len(script.splitlines()) for script in scripts] == [2, 1]
    page = tmp_path / "page.md"
    for script in scripts:
        done = shell(script.replace('"burst 30"', '"burst 4"'), tmp_path / "results", GITHUB_STEP_SUMMARY=str(page))
        # four answers tell no P95: the run and its gate say so, and everything else is met
        assert done.returncode == exit_codes.UNTOLD, done.stdout + done.stderr
    assert "n = 4 is too small" in page.read_text(encoding="utf-8")
    (suite,) = ElementTree.parse(tmp_path / "results" / "junit.xml").getroot()
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["p95 < 120 s"]
