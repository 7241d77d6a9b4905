"""``compare PLAN RUN``: text, page and data, and a real run of the modelled emulator against a plan with another start."""

import json
from dataclasses import replace

import pytest

from analysis.__main__ import main
from coldburst.planner import command, run_directory
from coldburst.planner.model.distributions import parse
from coldburst.schedule import stages
from tests.planner.test_plan_check import PLANNED
from tests.planner.test_simulate import scenario
from tests.planner.test_what_if import real
from tests.support.emulators import emulator
from tests.support.hostile import undrawn
from tests.support.locusts import locust

SERVICE = ("--service-time", "2", "--load", "0", "--spread", "0", "--seeds", "5")


@pytest.fixture
def planned(tmp_path, capsys):
    """The plan of a burst of 30 whose workers start in 8 s."""

    def made(*words, schedule="burst 30"):
        assert command.main(["predict", *SERVICE, "--start", "8", "--schedule", schedule, "--runs", str(tmp_path / "plans"), *words]) == 0
        (folder,) = (tmp_path / "plans").iterdir()
        assert f"coldburst compare {folder} RUN" in capsys.readouterr().out
        return folder

    return made


def ran(tmp_path, one=PLANNED, text="burst 30"):
    """A run whose workers start in 36 s."""
    return real(run_directory.write(tmp_path / "runs", replace(one, start=parse("30")), stages.parse(text), 5))


def compare(capsys, *words):
    with undrawn():
        code = main(["compare", *map(str, words)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.slow
def test_text_page_and_data_name_what_is_off(planned, tmp_path, capsys):
    plan, run = planned(), ran(tmp_path)
    code, out, _ = compare(capsys, plan, run)
    assert code == 0
    assert out.startswith("Not as planned: P95 ")
    assert "What is off: the start of workers: 8 s planned, 36 s (n = 1) in the run" in out.splitlines()[0]
    folder = run / f"compare-{plan.name}"
    data = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    assert (data["plan"], data["run"], data["held"], data["off"][0]) == (plan.name, run.name, False, "start")
    assert data["figures"]["p95_s"]["inside"] is False
    assert data["figures"]["p95_s"]["error"] < -0.2
    assert data["figures"]["worker_s"]["measured"] is None  # its worker list is empty
    assert data["assumptions"]["start"]["p95_s"]["median"] > data["figures"]["p95_s"]["predicted"]["median"]
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "the start of workers" in page
    assert "http" not in page.replace("http://www.w3.org", "").partition("<body>")[2]
    assert "What is off" in (folder / "compare.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_another_schedule_is_refused_unless_it_is_asked_for(planned, tmp_path, capsys):
    plan, run = planned(schedule="burst 12"), ran(tmp_path)
    code, out, err = compare(capsys, plan, run)
    assert (code, out) == (2, "")
    assert "the plan is for 'burst 12' and the run's schedule is 'burst 30'" in err
    code, out, _ = compare(capsys, plan, run, "--anyway")
    assert code == 0
    assert "warning: the plan is for 'burst 12'" in out


@pytest.mark.slow
def test_another_kind_and_more_runs_are_refused(planned, tmp_path, capsys):
    plan, run = planned(), ran(tmp_path, scenario(kind="LOAD_BALANCER", scaler="REQUEST_COUNT", scaler_value=1))
    code, _, err = compare(capsys, plan, run)
    assert code == 2
    assert "is for a queue endpoint, and" in err
    code, _, err = compare(capsys, plan, run, run)
    assert code == 2
    assert "compare it with one run at a time" in err


@pytest.mark.slow
def test_a_run_of_the_emulator_with_another_start_says_start(planned, capsys):
    plan = planned("--workers-max", "2", "--service-time", "2", schedule="burst 8")
    workers = ("--worker", "modelled", "--start", "0.5", "--load", "0", "--service-time", "2", "--concurrency", "1")
    with (
        emulator("--endpoint", "demo", *workers, "--workers-max", "2") as platform,
        locust("--host", f"{platform.url}/v2/demo", "--schedule", "burst 8") as run,
    ):
        assert run.wait() == 0, run.output
        code, out, err = compare(capsys, plan, run.folder)
    assert code == 0, err
    assert "What is off: the start of workers" in out.splitlines()[0]
