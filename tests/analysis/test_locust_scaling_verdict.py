"""Which efficiencies are held against the marks: none where the base failed, the users differ, or more came out than can."""

import json
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.locust_scaling.scaling import scaling
from analysis.locust_scaling.scaling_figures import scaling_plots
from tests.analysis.test_locust_scaling import written
from tests.support.hostile import put, table

UNLIKE = Path(__file__).parents[1] / "runs" / "locust-unlike"
# UNLIKE: one is 1,000 users, 95 % of their requests failed; four is 1,200 users, and none did.
WORDS = ("above the target", "below the target", "bottleneck: below", "uncertain")


def levels(folder, *of):
    """A prefix for each (workers, what ``written`` takes)."""
    return [f"{n}={written(folder / f'p{n}', **kinds)}" for n, kinds in of]


def said(found):
    return "\n".join([found.headline, *found.verdict.reasons, *found.verdict.notes])


@pytest.mark.slow
def test_a_base_that_mostly_failed_has_no_efficiency(capsys, tmp_path):
    assert main(["scaling", f"1={UNLIKE / 'one'}", f"4={UNLIKE / 'four'}", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("No scaling efficiency at 4 workers: the baseline of 1 worker: 95 % of its requests failed, so its rate ")
    assert "No verdict at 4 workers: 1,000 users at 1 worker and 1,200 at 4 are not the same load." in out
    assert not [word for word in WORDS if word in out]
    four = json.loads((tmp_path / "scaling.json").read_text())["levels"][1]
    assert four["efficiency"]["value"] is None
    assert four["multiplier"]["value"] == pytest.approx(20)
    assert "1,200 at 4" in four["unjudged"]


@pytest.mark.slow
@pytest.mark.parametrize("column", ["goodput", "throughput"])
@pytest.mark.parametrize(("failures", "judged"), [(300, True), (310, False)])
def test_half_of_the_base_must_be_ok(tmp_path, column, failures, judged):
    found = scaling(levels(tmp_path, (1, {"failures": failures}), (2, {"per_s": 10, "failures": failures})), column)
    assert (found.shares[2].efficiency.value is not None) == judged
    assert any(word in said(found) for word in WORDS) == judged


def test_without_a_history_the_totals_tell_that_the_base_failed(tmp_path):
    named = levels(tmp_path, (1, {"failures": 400}), (2, {"per_s": 20}))
    for path in tmp_path.glob("*_history.csv"):
        path.unlink()
    assert "67 % of its requests failed" in scaling(named).shares[2].doubt.replace("66.7", "67")


@pytest.mark.slow
def test_other_numbers_of_users_leave_the_figure_and_no_verdict(tmp_path):
    found = scaling(levels(tmp_path, (1, {}), (2, {"per_s": 19}), (4, {"per_s": 36, "users": 12, "mean_ms": 800})))
    assert found.headline.startswith("4 workers: 3.60 × the goodput of 1, scaling efficiency 90 % (")
    assert "), without a verdict: 8 users at 1 worker and 12 at 4 are not the same load; P95 " in found.headline
    assert not [word for word in WORDS if word in said(found)]
    assert found.shares[4].efficiency.value == pytest.approx(0.9)
    assert found.shares[2].unjudged == ""
    assert "90 %" in found.main.rows[2][6]


@pytest.mark.slow
def test_a_level_that_mostly_failed_has_no_verdict(tmp_path):
    found = scaling(levels(tmp_path, (1, {}), (2, {"per_s": 19, "failures": 900})), "throughput")
    assert "without a verdict: 78.9 % of the requests at 2 workers failed" in found.headline
    assert not [word for word in WORDS if word in said(found)]


@pytest.mark.slow
@pytest.mark.parametrize(("per_s", "impossible"), [(21.9, False), (22.4, True)])
def test_more_than_can_be_is_named_impossible(tmp_path, per_s, impossible):
    found = scaling(levels(tmp_path, (1, {}), (2, {"per_s": per_s}), (3, {"per_s": 27}), (4, {"per_s": 34})))
    to = found.shares[2]
    assert to.impossible == impossible
    assert isinstance(found.law, str) == impossible
    if not impossible:
        assert to.efficiency.value == pytest.approx(1.095, abs=0.01)
        return
    assert to.efficiency.value is None
    assert to.doubt.startswith(
        "112 % is impossible (2.00 × the workers gave 2.24 × the rate); the baseline was probably held back (failures, "
    )
    assert found.main.rows[1][6].startswith("none: 112 % is impossible")
    assert "Not shown, for the reasons in the notes: 2." in scaling_plots(found)[0].caption
    assert "impossible" in found.law


def with_users(prefix, *steps):
    """Rewrites the users of a history: (rows, users) one after the other, the last to the end; returns the prefix."""
    path = prefix.with_name(f"{prefix.name}_stats_history.csv")
    rows = table(path)
    users = [n for many, n in steps for _ in range(many)]
    put(path, [rows[0], *([row[0], str(n), *row[2:]] for row, n in zip(rows[1:], users, strict=True))])
    return prefix


@pytest.mark.slow
def test_a_peak_of_a_few_seconds_is_not_the_window(tmp_path):
    one = with_users(written(tmp_path / "one"), (1, 0), (45, 8), (7, 12), (9, 6))
    found = scaling([f"1={one}", f"2={written(tmp_path / 'two', per_s=19)}"])
    flow = found.base.flow
    assert (flow.users, flow.span_s, flow.per_s.value) == (8, 44, 10)
    assert (
        "At 1 worker: the number of users changed, up to 12; the rate covers the longest steady time, 44.0 s with 8 users."
        in found.verdict.notes
    )


@pytest.mark.slow
def test_users_that_come_slowly_are_no_change(tmp_path):
    one = with_users(written(tmp_path / "one"), (5, 2), (5, 4), (5, 6), (47, 8))
    found = scaling([f"1={one}", f"2={written(tmp_path / 'two', per_s=19)}"])
    assert (found.base.flow.users, found.base.flow.span_s) == (8, 46)
    assert not any("users changed" in note for note in found.verdict.notes)


@pytest.mark.slow
def test_of_equal_times_the_one_with_more_users_is_taken(tmp_path):
    one = with_users(written(tmp_path / "one"), (31, 4), (31, 8))
    assert scaling([f"1={one}", f"2={written(tmp_path / 'two')}"]).base.flow.users == 8


@pytest.mark.slow
def test_a_time_without_users_is_not_the_window(tmp_path):
    one = with_users(written(tmp_path / "one"), (31, 8), (31, 0))
    flow = scaling([f"1={one}", f"2={written(tmp_path / 'two')}"]).base.flow
    assert (flow.users, flow.span_s) == (8, 30)


@pytest.mark.slow
def test_a_history_of_one_row_has_no_window(tmp_path):
    one = written(tmp_path / "one")
    path = one.with_name("one_stats_history.csv")
    put(path, table(path)[:3:2])
    assert scaling([f"1={one}", f"2={written(tmp_path / 'two')}"]).base.flow.source == "Locust's own figure"
