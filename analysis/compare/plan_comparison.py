"""``compare PLAN RUN``: a simulated run against a real one, with the assumption that is off."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from coldburst.planner import plan_file
from coldburst.planner.model.fit import FitError
from coldburst.planner.plan_check import AS_PLANNED, Figure, PlanCheck, check
from coldburst.planner.predict import Prediction, Range

from ..figures.plan_bars import draw_settings, setting_row
from ..figures.style import Plot
from ..report.page import PAGE, aligned, figure_content, render
from ..runs.csv_columns import floats
from ..runs.load import Run, RunError
from ..tables.cost import worker_seconds
from ..tables.run_tables import Tables
from ..text.number_format import NONE, number, percent, seconds
from ..text.sheet import Sheet
from ..verdict.verdict import judge

FORMAT = 1
LABELS = {"p50_s": "P50 response time", "p95_s": "P95 response time", "worker_s": "worker-seconds"}
LABELS |= {"not_ok": "requests not ok", "cold_share": "cold share"}
ASSUMED = {"service": "the service time", "start": "the start of workers", "client": "the client", "scaler": "when workers came"}
WITH = {"service": "with the run's service times", "start": "with the run's starts", "client": "with the run's client"}
METHOD = (
    "Predictions are medians and the ranges in which 9 of 10 runs should end. An assumption is off if the run's own values in its place "
    "take away most of the error; what is left with all of the run's values is put down to the platform: when workers came."
)


@dataclass(frozen=True)
class PlanComparison:
    """The plan, the run, and what was found; ``warnings`` are reasons not to compare them."""

    plan: Run
    run: Run
    found: PlanCheck
    warnings: tuple[str, ...]

    @property
    def headline(self) -> str:
        """The result, with the reason."""
        return f"{self.result} {self.reason}".rstrip()

    @property
    def result(self) -> str:
        """Whether the plan held."""
        one = next(figure for figure in self.found.figures if figure.name == "p95_s")
        said = f"P95 {_value(one.name, one.measured)}, predicted {_range(one)}"
        if self.found.held:
            return f"The plan held: every figure is in its predicted range; {said}."
        outside = ", ".join(LABELS[figure.name] for figure in self.found.figures if figure.inside is False)
        return f"Not as planned: {said}. Outside the predicted range: {outside}."

    @property
    def reason(self) -> str:
        """What is off; "" if the plan held."""
        if self.found.held:
            return ""
        apart = f" The endpoint was set otherwise than planned: {'; '.join(self.found.apart)}." if self.found.apart else ""
        if not self.found.off:
            return f"No assumption alone explains it.{apart}"
        names = [ASSUMED[name] for name in self.found.off]
        first = next(one for one in self.found.assumptions if one.name == self.found.off[0])
        values = f": {first.planned} planned, {first.measured} in the run" if first.measured else ""
        return f"What is off: {', then '.join(names)}{values}.{apart}"


def is_plan(run: Run) -> bool:
    """Whether this is a simulated run with its plan."""
    target = run.about.get("target")
    return isinstance(target, dict) and target.get("simulated") is True and (run.path / plan_file.FILE).is_file()


def compare_plan(plan: Run, run: Run, *, anyway: bool) -> PlanComparison:
    """Compares a plan with a run; writes nothing. Raises RunError where they cannot be compared."""
    tables = Tables(run)
    warnings = _warnings(plan, run, tables)
    if warnings and not anyway:
        raise RunError(f"not compared: {'; '.join(warnings)}; to compare anyway, add --anyway")
    due_s = np.sort(floats(tables.requests["scheduled_s"]))
    times = tables.response["ok"]
    ok, planned = tables.ledger.counts.get("ok", 0), max(tables.ledger.planned, 1)
    measured = {
        "p50_s": times.at(50).value,
        "p95_s": times.at(95).value,
        "worker_s": worker_seconds(tables),
        "not_ok": float(planned - ok),
        "cold_share": float(tables.requests["cold"].fillna(False).astype(bool).sum()) / planned,
    }
    try:
        made = plan_file.read(plan.path)
        found = check(made, plan.path, run.path, [float(due) for due in due_s], measured)
    except (plan_file.PlanFileError, FitError) as error:
        raise RunError(str(error)) from error
    return PlanComparison(plan, run, found, tuple(warnings))


def _warnings(plan: Run, run: Run, tables: Tables) -> list[str]:
    if run.totals is not None or run.about.get("sweep"):
        raise RunError(
            f"{run.id} {'has totals only' if run.totals is not None else 'is a sweep'}: compare a plan with a run of one setting"
        )
    if not len(tables.requests):
        raise RunError(f"{run.id} has no requests")
    if plan.kind != run.kind:
        raise RunError(f"{plan.id} is for a {plan.kind} endpoint, and {run.id} was sent to another kind, {run.kind or 'unknown'}")
    found = []
    schedules = [str(one.about.get("schedule") or "") for one in (plan, run)]
    if schedules[0] != schedules[1]:
        found.append(f"the plan is for '{schedules[0]}' and the run's schedule is '{schedules[1]}'")
    verdict = judge(run, tables)
    return [*found, *([f"{run.id} is invalid: {verdict.reasons[0]}"] if verdict.state == "invalid" else [])]


def figures_sheet(of: PlanComparison) -> Sheet:
    """Each figure: predicted, measured, the error, and whether the range held."""
    words = {True: "yes", False: "no", None: NONE}
    rows = tuple(
        (LABELS[one.name], _range(one), _value(one.name, one.measured), _signed(one.error), words[one.inside]) for one in of.found.figures
    )
    return Sheet("Predicted and measured", ("", "Predicted", "Measured", "Error", "In its range"), rows, METHOD)


def assumptions_sheet(of: PlanComparison) -> Sheet:
    """Each assumption in the plan and in the run, and the P95 with the run's value in its place."""
    rows = [("as planned", "", "", seconds(of.found.as_planned["p95_s"].median), "")]
    for one in of.found.assumptions:
        p95 = of.found.together if one.name == "scaler" else one.prediction
        place = str(of.found.off.index(one.name) + 1) if one.name in of.found.off else ""
        rows.append((ASSUMED[one.name], one.planned, one.measured or NONE, seconds(p95["p95_s"].median) if p95 else NONE, place))
    remark = "P95 of the run's own arrivals; in the last row with all three of the run's values, so that only the platform is the plan's."
    return Sheet("Assumptions", ("", "In the plan", "In the run", "P95 with the run's", "Off"), tuple(rows), remark)


def plan_plot(of: PlanComparison) -> Plot:
    """P95 and worker-seconds of the plan with each of the run's values in its place."""
    by_name = {figure.name: figure.measured for figure in of.found.figures}
    named: list[tuple[str, Prediction]] = [(AS_PLANNED, of.found.as_planned)]
    named += [(WITH[one.name], one.prediction) for one in of.found.assumptions if one.prediction is not None]
    named.append(("with all three", of.found.together))
    known = {"measured_p95_s": by_name["p95_s"], "measured_worker_s": by_name["worker_s"]}
    data = pd.DataFrame([setting_row(name, one) | known for name, one in named])
    caption = "Predictions for the run's own arrivals: medians and ranges. Dashed: measured."
    return Plot("plan", "The plan, with the run's values in place of its assumptions", caption, data, draw_settings, 2.8)


def write(of: PlanComparison, folder: Path) -> Path:
    """Writes the page, compare.md, compare.json and the figure; the path of the page. Raises OSError."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    sheets = [figures_sheet(of), assumptions_sheet(of)]
    content = {"of": of, "sheets": sheets, "figures": [figure_content(plan_plot(of), folder / "figures")]}
    (folder / "compare.json").write_text(json.dumps(as_json(of), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "compare.md").write_text(render("plan.md", content), encoding="utf-8")
    page = folder / PAGE
    page.write_text(render("plan.html", content), encoding="utf-8")
    return page


def as_json(of: PlanComparison) -> dict[str, Any]:
    """The content of compare.json: times in seconds, shares of 1, null for unknown values."""
    figures = {
        one.name: {"predicted": _plain(asdict(one.predicted)), "measured": one.measured, "error": one.error, "inside": one.inside}
        for one in of.found.figures
    }
    assumptions = {
        one.name: {
            "planned": one.planned,
            "measured": one.measured,
            "p95_s": None if one.prediction is None else _plain(asdict(one.prediction["p95_s"])),
        }
        for one in of.found.assumptions
    }
    said = {"headline": of.headline, "warnings": list(of.warnings), "held": of.found.held, "off": list(of.found.off)}
    return {"format": FORMAT, "plan": of.plan.id, "run": of.run.id, **said, "figures": figures, "assumptions": assumptions}


def _plain(of: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in of.items()}


def terminal(of: PlanComparison, page: Path) -> str:
    """The comparison for a terminal: the result, the figures, the assumptions, and the path of the page."""
    lines = [of.headline, *(f"  warning: {warning}" for warning in of.warnings)]
    for sheet in (figures_sheet(of), assumptions_sheet(of)):
        lines += ["", *aligned([sheet.head, *sheet.rows])]
    return "\n".join([*lines, "", f"comparison: {page}"])


def only_pair(runs: Sequence[Run]) -> tuple[Run, Run]:
    """The plan and its run. Raises RunError for more runs."""
    if len(runs) > 2:
        raise RunError(f"{runs[0].id} is a plan: compare it with one run at a time")
    return runs[0], runs[1]


def _range(of: Figure) -> str:
    found: Range = of.predicted
    if math.isnan(found.median):
        return NONE
    ends = f" ({_value(of.name, found.low)} to {_value(of.name, found.high)})" if found.low != found.high else ""
    return f"{_value(of.name, found.median)}{ends}"


def _value(name: str, value: float | None) -> str:
    if name == "cold_share":
        return percent(value)
    return seconds(value) if name.startswith("p") else number(value)


def _signed(error: float | None) -> str:
    return NONE if error is None else f"{error * 100:+.1f} %"
