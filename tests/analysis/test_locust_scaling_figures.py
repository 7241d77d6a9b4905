"""What the page of a scaling from plain Locust's files says beside its figures, and what a report of one prefix says in their place."""

import pytest

from analysis.locust_scaling.scaling import scaling
from analysis.locust_scaling.scaling_figures import scaling_plots
from analysis.report.page import views
from tests.analysis.test_locust_scaling import FOUR, named


@pytest.mark.slow
def test_captions_count_what_is_drawn():
    efficiency, rate, tails = (plot.caption for plot in scaling_plots(scaling(named((1, "one"), (2, "two"), (4, "thin")))))
    levels = scaling(named((1, "one"), (2, "two"), (4, "thin"))).levels
    n, every = [f"{one.flow.n:,}" for one in levels], [f"{one.requests:,}" for one in levels]
    assert n[0] != every[0]
    assert f"n = {n[0]}, {n[1]} requests;" in efficiency and "Not shown, because the load may not saturate: 4." in efficiency
    assert f"n = {n[0]}, {n[1]}, {n[2]} requests. Bars: 95 % intervals, within each run only." in rate
    assert tails.endswith(f"n = {every[0]}, {every[1]}, {every[2]} requests.")


@pytest.mark.slow
def test_one_prefix_is_told_which_commands_take_several():
    told = {view.name: view.missing for view in views([], {}, {}, totals=True)}
    for name in ("Throughput and P95 against concurrency", "Scaling efficiency against endpoint workers"):
        assert "python -m analysis scaling 1=PREFIX 2=PREFIX" in told[name]
    assert "python -m analysis compare BASE CANDIDATE" in told["Comparison of runs"]
    several = views(scaling_plots(scaling(FOUR)), {}, {}, totals=True)[2]
    assert [anchor for anchor, _ in several.links] == ["figure-sweep_throughput", "figure-scaling_p95"]
