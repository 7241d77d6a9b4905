"""The section "What if" of a report."""

import html
import json
import shlex

import pytest

from analysis.figures.plot_files import inline_svg
from analysis.figures.what_if import what_if
from analysis.report.metrics_json import metrics
from analysis.report.report import report, write
from analysis.report.what_if_sheet import what_if_line, what_if_sheet
from analysis.runs.load import load
from coldburst.planner import run_directory
from coldburst.schedule import stages
from tests.planner.test_simulate import scenario
from tests.planner.test_what_if import SETTINGS, burst, real
from tests.support.hostile import HTML, STYLE, undrawn
from tests.support.locusts import ROOT


@pytest.fixture
def priced(tmp_path):
    folder = burst(tmp_path)
    return real(folder, options={"price": "0.001"})


@pytest.mark.slow
def test_the_table_begins_with_what_was_measured(priced):
    of = report(load(priced)).tables
    sheet = what_if_sheet(of)
    twice = [f"twice the concurrency (2), at {word}" for word in ("best", "worst")]
    assert [row[0] for row in sheet.rows] == ["measured", "predicted as it is", "one more min worker (1)", *twice, "idle time-out 30 s"]
    assert sheet.rows[0][3:5] == ("0", "3")
    assert sheet.head[-1] == "USD a day"
    assert float(sheet.rows[2][-1]) > 86.4  # an hourly burst beside the minimum
    assert sheet.remark.startswith("Predicted, by 20 simulated runs: 9 of 10 real ones should end in these ranges. ")
    assert "More than 1 at a time on a worker was not measured: at best a job takes no longer" in sheet.remark
    assert (
        "USD a day for this load once an hour with what the minimum of workers costs in between. The range of the next burst"
        in sheet.remark
    )
    assert what_if_line(of).startswith("predicted P95 of this load as it is: ")


@pytest.mark.slow
def test_page_markdown_and_metrics_have_it(priced, tmp_path):
    made = report(load(priced))
    with undrawn():
        page = write(made, tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    assert '<section id="what-if">' in text
    assert text.count('id="figure-what_if"') == 1
    assert "**What if:** predicted P95" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    data = json.loads((tmp_path / "report" / "metrics.json").read_text(encoding="utf-8"))["what_if"]
    assert [one["name"] for one in data["settings"]][:2] == ["as it is", "one more min worker (1)"]
    assert data["settings"][1]["figures"]["usd"]["median"] > 0
    assert data["settings"][1]["usd_a_day_idle"] == pytest.approx(86.4)
    points = (tmp_path / "report" / "figures" / "what_if.csv").read_text(encoding="utf-8")
    assert text.count('<tr id="point_') > points.count(",point,") > 50
    assert (data["why"], data["requests"], data["planned"]) == ("", 30, 30)


@pytest.mark.slow
def test_a_closed_loop_has_its_rate_in_the_table(tmp_path):
    folder = real(run_directory.write(tmp_path, scenario("2"), stages.parse("level 40s 4 at a time"), 1), planned=None)
    sheet = what_if_sheet(report(load(folder)).tables)
    assert sheet.head[3] == "Ok per s"
    measured, now, warmer = (float(row[3]) for row in sheet.rows[:3])
    assert now == pytest.approx(measured, rel=0.2)
    assert warmer > now
    assert "A closed loop sends more where answers come sooner" in sheet.remark


@pytest.mark.slow
def test_a_load_too_large_for_a_whole_grid_names_the_command_for_it(tmp_path):
    folder = real(run_directory.write(tmp_path / "$(x) <b>", scenario("0.2"), stages.parse("steady 60s 6/s"), 1))
    with undrawn():
        text = write(report(load(folder)), tmp_path / "report").read_text(encoding="utf-8")
    assert text.count('<tr id="point_') == 16 and "<b>" not in text
    command = html.unescape(text.split("this command makes a page with more of them: <code>")[1].split("</code>")[0])
    words = shlex.split(command)
    assert words[:6] == ["python", "-m", "coldburst", "plan", "sweep", "--from"] and words[6] == str(folder)
    assert words[7:] == [
        *(
            "--workers-min",
            "0,1,2",
            "--workers-max",
            "3,4,6",
            "--scaler-value",
            "2,4,8",
            "--idle-timeout",
            "5,30,120",
            "--picture",
            "plan.html",
        )
    ]


@pytest.mark.slow
def test_hostile_texts_of_a_run_are_not_in_what_moves(tmp_path):
    folder = real(burst(tmp_path), schedule=HTML)
    rows = (folder / "attempts.csv").read_text(encoding="utf-8").replace(",burst,", f",{STYLE},")
    (folder / "attempts.csv").write_text(rows, encoding="utf-8")
    with undrawn():
        text = write(report(load(folder)), tmp_path / "report").read_text(encoding="utf-8")
    moved = text.split('<div class="moves">')[1].split("</section>")[0]
    assert moved.count('<tr id="point_') > 50
    assert [sign for sign in (HTML, STYLE, "alert") if sign in moved] == []
    assert [sign for sign in (HTML, STYLE, "<script") if sign in text] == []


def test_labels_keep_their_decimals_and_coordinates_two():
    svg = '<svg width="9" height="9"><path d="M 1.23456 2.5"/><text>0.005</text></svg>'
    assert inline_svg(svg, "one", "One").endswith('<path d="M 1.23 2.5"/><text>0.005</text></svg>')


@pytest.mark.slow
def test_nothing_is_said_of_a_service_whose_workers_no_platform_starts():
    of = report(load(ROOT / "tests/runs/burst")).tables
    assert (what_if(of), what_if_sheet(of), what_if_line(of)) == ([], None, "")
    assert metrics(of, report(load(ROOT / "tests/runs/burst")).verdict)["what_if"] is None


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"platform": None}, "run.json has no settings of the endpoint"),
    ],
)
def test_a_run_that_does_not_show_enough_says_why(tmp_path, about, said):
    of = report(load(real(burst(tmp_path), **about))).tables
    (missing,) = what_if(of)
    assert missing.reason.startswith(said)
    assert what_if_sheet(of) is None


def test_failures_that_the_model_does_not_have_leave_it_out(tmp_path):
    folder = burst(tmp_path)
    rows = (folder / "attempts.csv").read_text(encoding="utf-8").replace(",ok,", ",failed,", 4)
    (folder / "attempts.csv").write_text(rows, encoding="utf-8")
    (missing,) = what_if(report(load(folder)).tables)
    assert missing.reason == "requests failed for reasons that the model does not have: 4 of 30"


def test_a_prediction_is_not_predicted_again(tmp_path):
    folder = run_directory.write(tmp_path, scenario("5"), stages.parse("burst 10"), 1)
    assert what_if(report(load(folder)).tables) == []
    assert SETTINGS["workers_max"] == 3
