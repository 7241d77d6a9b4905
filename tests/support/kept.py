"""Every figure and table of the small runs, as they were when somebody last looked: ``python -m tests.support.kept`` writes them anew.

A difference that is meant is written, read as a diff, and committed with its reason.
"""

import json
import tempfile
from pathlib import Path

from analysis.report.metrics_json import metrics
from analysis.report.report import report, write
from analysis.runs.load import load
from tests.support.hostile import undrawn

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "tests" / "runs"
KEPT = RUNS / "kept"
NAMES = {path.parent.name: path.parent for path in sorted(RUNS.glob("*/run.json"))} | {"plain": RUNS / "locust" / "plain"}


def metrics_of(name):
    """metrics.json of one of the runs, as it comes out now; where the run lies is named from the checkout."""
    made = report(load(NAMES[name]))
    content = json.dumps(metrics(made.tables, made.verdict, made.answer), ensure_ascii=False, allow_nan=False)
    return json.loads(content.replace(f"{ROOT}/", ""))


def tables_of(name):
    """The tables of its report.md with their headings, as they come out now."""
    with tempfile.TemporaryDirectory() as folder, undrawn():
        write(report(load(NAMES[name])), Path(folder))
        lines = (Path(folder) / "report.md").read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith(("#", "|")))


if __name__ == "__main__":
    KEPT.mkdir(exist_ok=True)
    for name in NAMES:
        content = json.dumps(metrics_of(name), indent=1, ensure_ascii=False, allow_nan=False)
        (KEPT / f"{name}.json").write_text(content + "\n", encoding="utf-8")
        (KEPT / f"{name}.md").write_text(tables_of(name), encoding="utf-8")
