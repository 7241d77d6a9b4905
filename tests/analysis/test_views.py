"""What stands around the figures: bins, names and axes, the ten views, and reasons in the place of figures that cannot be drawn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.figures import anatomy, bins, layout, plot_files
from analysis.figures.plots import plots
from analysis.figures.style import MissingPlot, Plot
from analysis.report.page import VIEWS, views
from analysis.runs.load import load
from analysis.sweep_report.sweep_answer import sweep_answer
from analysis.tables.run_tables import Tables

RUNS = Path(__file__).parents[1] / "runs"
OWN = ("burst", "mixed", "queue", "retries")


@pytest.fixture(scope="module")
def made():
    """The small runs' tables, by name."""
    return {name: Tables(load(RUNS / name)) for name in OWN}


def changed(of, attempts=None, **parts):
    return Tables(replace(of.run, attempts=of.run.attempts if attempts is None else attempts, **parts))


# --- what stands around a drawing


@pytest.mark.parametrize(
    ("span", "most", "width"), [(15.0, 96, 0.2), (252.0, 96, 5.0), (3600.0, 48, 120.0), (1e6, 240, 7200.0), (0.001, 96, 1e-4)]
)
def test_bins_have_round_widths(span, most, width):
    assert bins.width_s(span, most) == pytest.approx(width)
    assert span / bins.width_s(span, most) <= most * 1.001 or span < 0.01


def test_names_are_moved_apart_and_keep_their_order():
    assert layout.spread_apart([1.0, 1.0, 5.0], 2.0, 10.0) == [1.0, 3.0, 5.0]
    assert layout.spread_apart([9.5, 10.0, 3.0], 2.0, 10.0) == [8.0, 10.0, 3.0]
    assert layout.spread_apart([], 1.0, 1.0) == []


@pytest.mark.parametrize(("span", "unit"), [(30.0, "s"), (1_800.0, "min"), (90_000.0, "h")])
def test_an_axis_of_time_counts_in_a_unit_that_fits(span, unit):
    assert layout.time_unit(span)[1] == unit


@pytest.mark.slow
def test_an_axis_from_when_a_request_was_due_says_so_with_its_unit(made, tmp_path):
    svg = plot_files.write_plot(anatomy.waterfall(made["burst"]), tmp_path)
    assert ">time since due (s)<" in svg


@pytest.mark.slow
def test_a_stage_called_like_a_formula_is_drawn_and_escaped(made, tmp_path):
    hostile = made["burst"].run.attempts.assign(stage="$x_{<script>")
    plot = anatomy.waterfall(changed(made["burst"], hostile))
    svg = plot_files.write_plot(plot, tmp_path)
    assert "$x_{" in svg and "&lt;script&gt;" in svg and "<script" not in svg
    assert 'class="wide"' in svg and 'class="narrow"' in svg and 'role="img"' in svg
    assert "var(--ink)" in svg and "#22303c" not in svg
    assert pd.read_csv(tmp_path / "waterfall.csv")["label"].iloc[-1].startswith("#")


# --- the ten views


def reported(path):
    tables = Tables(load(path))
    return tables, sweep_answer(tables) if tables.run.totals is None else None


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OWN, "locust/plain"])
def test_each_of_the_ten_views_is_there_or_says_why_not(name):
    tables, found = reported(RUNS / name)
    shown = views(plots(tables, found), {}, {"Verdict": "verdict"}, totals=tables.run.totals is not None)
    assert [view.name for view in shown] == [wanted.name for wanted in VIEWS]
    assert len(shown) == 10
    for view in shown:
        assert view.links or (view.missing.endswith(".") and view.missing[0].isupper()), view


@pytest.mark.slow
def test_a_sweep_shows_its_own_views_and_one_run_says_what_it_takes(made):
    scaling = views(plots(*reported(RUNS / "sweep-scaling")), {}, {"Verdict": "verdict", "Decision": "decision"})
    assert scaling[3].links == (("figure-sweep_efficiency", "Scaling efficiency"),)
    assert scaling[8].missing == "No clip has a reference text to compare transcripts with."
    alone = views(plots(made["queue"]), {"Cold starts": "table-cold-starts"}, {"Verdict": "verdict"})
    assert "locustfiles/scaling.py" in alone[3].missing
    assert alone[6].links == (("table-cold-starts", "Cold starts"),)
    assert [anchor for anchor, _ in alone[4].links] == ["figure-anatomy", "figure-waterfall"]


def test_a_run_without_rows_has_reasons_instead_of_figures(made):
    empty = changed(made["mixed"], made["mixed"].run.attempts.iloc[:0], events=None)
    found = plots(empty)
    assert len(found) == 9
    assert all(isinstance(plot, MissingPlot) and plot.reason for plot in found)


ODD = {
    "before second 0": {"scheduled_s": -5.0, "sent_s": -4.0, "done_s": -3.0},
    "done before it was due": {"scheduled_s": 5.0, "sent_s": 4.0, "done_s": 1.0},
    "a billion seconds": {"done_s": 1e9},
    "all at second 0": {"scheduled_s": 0.0, "sent_s": 0.0, "done_s": 0.0, "queue_s": 0.0, "execution_s": 0.0},
    "without an end": {"done_s": np.nan},
    "never sent": {"sent_s": np.nan, "done_s": np.nan},
    "endless queue": {"queue_s": 1e12, "execution_s": -3.0},
}


@pytest.mark.parametrize("columns", ODD.values(), ids=ODD)
def test_times_that_cannot_be_have_figures_or_reasons(made, columns):
    for plot in plots(changed(made["queue"], made["queue"].run.attempts.assign(**columns))):
        assert plot.caption if isinstance(plot, Plot) else plot.reason


@pytest.mark.nightly
@pytest.mark.parametrize("columns", ODD.values(), ids=ODD)
def test_times_that_cannot_be_are_drawn(made, columns, tmp_path):
    found = plots(changed(made["queue"], made["queue"].run.attempts.assign(**columns)))
    for plot in (each for each in found if isinstance(each, Plot)):
        assert "<svg" in plot_files.write_plot(plot, tmp_path)


@pytest.mark.slow
def test_of_a_sweep_no_figure_mixes_its_settings(made):
    names = [plot.name for plot in plots(*reported(RUNS / "sweep-matrix"))]
    assert not {"burst", "anatomy", "waterfall", "response_time_ecdf"} & set(names)
    assert all(isinstance(plot, Plot | MissingPlot) for plot in plots(made["burst"]))
