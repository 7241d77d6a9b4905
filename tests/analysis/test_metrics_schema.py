"""analysis/metrics.schema.json describes what metrics.json holds, of every kind of run, and nothing else."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from analysis.report.metrics_json import FORMAT, metrics
from analysis.report.report import report
from analysis.runs.load import load
from coldburst.record.attempt import OUTCOMES
from tests.support.locusts import ROOT

RUNS = Path(__file__).parents[1] / "runs"
KEPT = sorted(path.parent for path in RUNS.glob("*/run.json"))
SCHEMA = json.loads((ROOT / "analysis" / "metrics.schema.json").read_text(encoding="utf-8"))
CHECK = Draft202012Validator(SCHEMA)


def content(path, **about):
    run = load(path)
    run.about.update(about)
    made = report(run)
    return json.loads(json.dumps(metrics(made.tables, made.verdict, made.answer), allow_nan=False))


def wrong(found):
    return [f"{error.json_path}: {error.message}"[:200] for error in CHECK.iter_errors(found)]


@pytest.mark.slow
def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["format"] == {"const": FORMAT}
    assert SCHEMA["$defs"]["outcome"]["enum"] == list(OUTCOMES)
    assert len(KEPT) > 5


@pytest.mark.slow
@pytest.mark.parametrize("path", [*KEPT, RUNS / "locust" / "plain"], ids=lambda path: path.name)
def test_it_describes_the_golden_runs(path):
    assert wrong(content(path)) == []


def test_it_describes_objectives():
    found = content(RUNS / "burst", objectives=[{"that": "p95 < 1 s"}, {"that": "cost < 1"}, {"that": "p50 < 60 s"}])
    assert [one["state"] for one in found["objectives"]] == ["missed", "cannot tell", "met"]
    assert wrong(found) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"format": 2},
        {"ledger": None},
        {"totals": []},
        {"verdict": {"state": "fine", "reasons": [], "notes": []}},
        {"objectives": [{"objective": "p95 < 1 s"}]},
        {"throughput": {"ok": -1, "wall_s": 1.0, "per_s": 1.0, "offered_per_s": None}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_it_refuses_what_metrics_json_never_holds(change):
    found = content(RUNS / "burst")
    assert wrong(found | change)
    del found["ledger"]
    assert wrong(found)
