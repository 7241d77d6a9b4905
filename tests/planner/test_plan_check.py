"""A plan against a run: what is said to be off is what was changed."""

import json
from dataclasses import replace

import pytest

from coldburst.planner import plan_file, run_directory
from coldburst.planner.model.distributions import parse
from coldburst.planner.plan_check import check
from coldburst.planner.plan_file import Plan, PlanFileError
from coldburst.planner.predict import predict
from coldburst.schedule import stages
from tests.planner.test_simulate import BALANCER, scenario
from tests.planner.test_what_if import SETTINGS, real

BURST = stages.parse("burst 30")
PLANNED = scenario("lognormal:2:0.1", start="8", workers_max=3)


def figures(folder):
    """What the report of a simulated run measures, from its rows and its plan's bill."""
    rows = [line.split(",") for line in (folder / "attempts.csv").read_text(encoding="utf-8").splitlines()]
    columns = {name: at for at, name in enumerate(rows[0])}
    times = sorted(float(row[columns["done_s"]]) for row in rows[1:])
    cold = sum(row[columns["cold"]] == "true" for row in rows[1:]) / len(times)
    return {"p50_s": times[len(times) // 2 - 1], "p95_s": times[-2], "not_ok": 0.0, "cold_share": cold}


def compared(tmp_path, planned, ran, settings=SETTINGS):
    """The check of a plan of one scenario against a run of another."""
    plan = run_directory.write(tmp_path / "plans", planned, BURST, 1)
    plan_file.write(plan, predict(planned, BURST, seeds=20))
    run = real(run_directory.write(tmp_path / "runs", ran, BURST, 99), settings)
    measured = figures(run) | {"worker_s": predict(ran, BURST, seeds=20)["worker_s"].median}
    return check(plan_file.read(plan), plan, run, [0.0] * 30, measured)


@pytest.mark.slow
def test_a_plan_that_holds_names_nothing(tmp_path):
    found = compared(tmp_path, PLANNED, PLANNED)
    assert found.off == ()
    assert found.held
    assert [one.name for one in found.figures] == ["p50_s", "p95_s", "worker_s", "not_ok", "cold_share"]
    assert all(one.error is None or abs(one.error) < 0.1 for one in found.figures)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"start": parse("20")}, "start"),
        ({"start": parse("1")}, "start"),
        ({"service": parse("lognormal:4:0.1")}, "service"),
        ({"client": replace(PLANNED.client, overhead_s=6.0)}, "client"),
        ({"platform": replace(PLANNED.platform, starting_at_once=1, check_s=12.0)}, "scaler"),
    ],
)
def test_the_assumption_that_was_changed_is_named(tmp_path, changed, said):
    found = compared(tmp_path, PLANNED, replace(PLANNED, **changed))
    assert found.off[:1] == (said,)
    assert not found.held


@pytest.mark.slow
def test_other_settings_are_named(tmp_path):
    found = compared(tmp_path, PLANNED, PLANNED.with_settings(workers_max=6), SETTINGS | {"workers_max": 6})
    assert found.off[:1] == ("scaler",)
    assert found.apart == ("workers_max 3 planned, 6 in the run",)


@pytest.mark.slow
def test_a_balancer_is_compared_too(tmp_path):
    planned = scenario("2", start="8", concurrency=1, workers_max=3, scaler_value=1, **BALANCER)
    settings = SETTINGS | {"scaler": "REQUEST_COUNT", "scaler_value": 1}
    assert compared(tmp_path, planned, replace(planned, start=parse("30")), settings).off[:1] == ("start",)


def test_a_plan_is_read_as_it_was_written(tmp_path):
    one = replace(PLANNED, platform=replace(PLANNED.platform, rise_s=3.0), usd_per_s=0.001, curve=PLANNED.curve)
    prediction = predict(one, BURST, seeds=3)
    plan_file.write(tmp_path, prediction)
    assert plan_file.read(tmp_path) == Plan(one, dict(prediction.ranges), 30.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no plan.json"),
        ("{", "is not JSON"),
        ('{"format": 2}', "has format 2"),
        ('{"format": 1, "figures": {}}', "is damaged"),
        (json.dumps({"format": 1, "planned": 1, "figures": 5}), "is damaged"),
    ],
)
def test_a_damaged_plan_is_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "plan.json").write_text(content, encoding="utf-8")
    with pytest.raises(PlanFileError, match=said):
        plan_file.read(tmp_path)
