"""Texts of figures in the drawing itself: at both widths none touches another, and none is cut off."""

import numpy as np
import pandas as pd
import pytest

from analysis.figures import plot_files, timeline
from analysis.figures.style import Plot
from analysis.runs.load import load
from analysis.sweep_report.sweep_answer import sweep_answer
from analysis.tables.run_tables import Tables
from tests.support.drawn import WIDTHS, faults, texts
from tests.support.sweeps import Measure, write

SIZES = ((8, 10, 12, 60), (1, 2, 4, 8, 16, 32), (1, 20))


def concurrency(folder, sizes):
    measures = [Measure(f"c{c}", 200, 5 * c, 100 / c**0.6, workers=5, per_worker=c, ids=5, queue=True, wrong_words=0.02) for c in sizes]
    return [plot for plot in sweep_answer(Tables(load(write(folder, measures, "matrix")))).plots() if isinstance(plot, Plot)]


def scaling(folder, sizes):
    measures = [Measure(f"w{n}", 40 * n, 4 * n, 4.0 + n / 20, workers=n, per_worker=4, ids=n) for n in sizes]
    return [plot for plot in sweep_answer(Tables(load(write(folder, measures, "scaling")))).plots() if isinstance(plot, Plot)]


@pytest.mark.slow
@pytest.mark.parametrize("width_in", WIDTHS)
@pytest.mark.parametrize("sizes", [tuple(range(1, 17)), *(pytest.param(sizes, marks=pytest.mark.nightly) for sizes in SIZES)])
@pytest.mark.parametrize("make", [concurrency, scaling])
def test_settings_at_any_distance_are_named_side_by_side(make, sizes, width_in, tmp_path, monkeypatch):
    found = make(tmp_path / "run", sizes)
    assert {"sweep_throughput", "sweep_multiplier" if make is concurrency else "sweep_efficiency"} <= {plot.name for plot in found}
    assert {plot.name: said for plot in found if plot.name != "sweep_cost" and (said := faults(monkeypatch, plot, width_in))} == {}


@pytest.mark.nightly
@pytest.mark.parametrize("width_in", WIDTHS)
def test_what_stands_at_the_foot_is_below_zero(width_in, tmp_path, monkeypatch):
    plot = next(plot for plot in concurrency(tmp_path / "run", (1, 2, 3, 4, 5, 6, 7, 8)) if plot.name == "sweep_multiplier")
    figure, found = texts(monkeypatch, plot, width_in)
    zero = figure.axes[0].transData.transform((1, 0))[1]
    foot = [box for text, box in found if text == "baseline" or text.endswith(" %")]
    assert len(foot) == 8 and all(box.y1 <= zero + 1 for box in foot)


@pytest.mark.slow
def test_a_stage_is_named_where_its_name_fits_into_it(monkeypatch):
    spans = {"first": (0.0, 60.0), "much too long a name": (60.0, 66.0), "last": (66.0, 120.0)}
    measured = pd.DataFrame([{"part": "measured", "at_s": a, "until_s": b, "stage": name} for name, (a, b) in spans.items()])
    at_s = np.arange(0.0, 121.0)
    data = pd.concat([pd.DataFrame({"part": "in_flight", "at_s": at_s, "in_flight": 3}), measured], ignore_index=True)
    plot = Plot("timeline", "Timeline", "", data, timeline.draw)
    for width_in in WIDTHS:
        assert faults(monkeypatch, plot, width_in) == []
        assert {text for text, _ in texts(monkeypatch, plot, width_in)[1]} & set(spans) == {"first", "last"}


@pytest.mark.nightly
def test_thirty_short_stages_have_their_names_on_a_wide_page(monkeypatch):
    """A name is left out for want of room, not for the number of stages."""
    measured = pd.DataFrame([{"part": "measured", "at_s": 10.0 * k, "until_s": 10.0 * k + 10, "stage": "c"} for k in range(30)])
    flying = pd.DataFrame({"part": "in_flight", "at_s": np.arange(0.0, 301.0), "in_flight": 3})
    plot = Plot("timeline", "Timeline", "", pd.concat([flying, measured], ignore_index=True), timeline.draw)
    names = [text for text, _ in texts(monkeypatch, plot, plot_files.WIDTHS_IN["wide"])[1]]
    assert names.count("c") == 30
