"""The figures by their data: against the small committed runs' own rows, counted and added up anew, never by their pixels."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.figures import anatomy, dense_scatter, generator_health, plot_files, response_times, timeline
from analysis.figures.anatomy import phases
from analysis.figures.style import PHASES, MissingPlot
from analysis.runs.load import load
from analysis.tables.run_tables import Tables

RUNS = Path(__file__).parents[1] / "runs"
OWN = ("burst", "mixed", "queue", "retries")


@pytest.fixture(scope="module")
def made():
    """The small runs' tables, by name."""
    return {name: Tables(load(RUNS / name)) for name in OWN}


def rows_of(name):
    """The rows of a run as plain text tells them, the last attempt of each request."""
    with (RUNS / name / "attempts.csv").open(encoding="utf-8") as file:
        whole = [row for row in csv.DictReader(file) if None not in row.values()]
    last = {int(row["seq"]): row for row in sorted(whole, key=lambda row: (int(row["seq"]), int(row["attempt"])))}
    return whole, last


def changed(of, attempts=None, **parts):
    return Tables(replace(of.run, attempts=of.run.attempts if attempts is None else attempts, **parts))


def many(of, n, failed=0):
    """``n`` requests a tenth of a second apart, each answered after 1 s, but for one after 61 s; the last ``failed`` fail."""
    rows = of.run.attempts.iloc[[29] * n].reset_index(drop=True).assign(seq=range(n), scheduled_s=np.arange(n) / 10)
    rows = rows.assign(sent_s=rows["scheduled_s"] + 0.001, done_s=rows["scheduled_s"] + 1.0 + (rows["seq"] == 777) * 60.0)
    rows["outcome"] = rows["outcome"].astype(object).mask(rows["seq"] >= n - failed, "failed").astype(of.run.attempts["outcome"].dtype)
    return changed(of, rows.assign(held_s=0.0, queue_s=0.1, execution_s=0.8))


# --- phases


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_the_phases_of_a_request_add_up_to_its_response_time(made, name):
    rows = made[name].requests
    found = sum(phases(rows).values())
    assert found == pytest.approx(rows["response_s"].fillna(0.0).to_numpy(dtype=float), abs=2e-5)
    assert all((part >= 0).all() for part in phases(rows).values())


def test_a_cold_request_waits_for_the_start_and_a_warm_one_in_the_queue(made):
    found = pd.DataFrame(phases(made["queue"].requests))
    assert found.loc[0, list(PHASES)].to_list() == pytest.approx([0.001, 0, 0.899, 8.2, 12.0, 0, 0], abs=1e-6)
    assert found.loc[3, ["queue_s", "cold_s", "execution_s"]].to_list() == pytest.approx([22.099, 0.0, 12.0])
    assert found.loc[29, ["queue_s", "execution_s"]].to_list() == pytest.approx([119.999, 0.0])  # the platform gave up waiting


def test_earlier_tries_are_a_phase_and_what_nobody_tells_is_one(made):
    found = pd.DataFrame(phases(made["retries"].requests))
    assert found.loc[8, ["tries_s", "untold_s"]].to_list() == pytest.approx([3.1, 0.8])
    assert found.loc[9, ["tries_s", "queue_s"]].to_list() == pytest.approx([121.0, 120.0])


def test_the_cap_that_holds_a_request_back_is_a_phase(made):
    found = pd.DataFrame(phases(made["burst"].requests))
    assert found["held_s"].to_list() == pytest.approx([0.001 + (0.0 if k < 15 else (k - 15) // 2 + 1.0) for k in range(30)])


def test_phases_are_the_same_in_pieces(made, monkeypatch):
    whole = anatomy.anatomy(made["queue"]).data
    monkeypatch.setattr("analysis.figures.anatomy.CHUNK", 7)
    pd.testing.assert_frame_equal(anatomy.anatomy(made["queue"]).data, whole)


# --- anatomy


def test_the_anatomy_is_means_that_add_up_to_the_mean_response_time(made):
    plot = anatomy.anatomy(made["queue"])
    first = plot.data.iloc[0]
    assert (plot.data["x"].to_list(), plot.data["n"].to_list()) == ([0.0, 140.0, 160.0, 180.0, 200.0, 220.0, 240.0], [26, 1, 1, 1, 1, 1, 1])
    assert (first["cold_s"], first["execution_s"]) == pytest.approx(((8.2 + 7.7 + 10.1) / 26, 12.0))
    _, last = rows_of("queue")
    times = [float(row["done_s"]) - float(row["scheduled_s"]) for row in last.values() if row["outcome"] == "ok"]
    assert (plot.data[list(PHASES)].sum(axis=1) * plot.data["n"]).sum() == pytest.approx(sum(times))
    assert "32 requests answered ok, in bins of 5 s" in plot.caption


def test_the_anatomy_of_a_burst_goes_by_place_as_all_are_due_at_once(made):
    data = anatomy.anatomy(made["burst"]).data
    assert (data["x"].to_list()[:3], data["width"].unique().tolist(), bool(data["at_once"].all())) == ([0.5, 1.5, 2.5], [1.0], True)
    assert data["queue_s"].to_list()[:6] == pytest.approx([0.0, 0.0, 0.999, 0.999, 1.999, 1.999], abs=0.002)


def test_the_slowest_twenty_are_those_of_the_rows(made):
    _, last = rows_of("queue")
    times = {seq: float(row["done_s"]) - float(row["scheduled_s"]) for seq, row in last.items()}
    slowest = sorted(times, key=lambda seq: (-round(times[seq], 6), seq))[:20]
    data = anatomy.waterfall(made["queue"]).data
    shown = data[data["part"] == "slowest"]
    assert shown["seq"].to_list() == slowest
    assert shown["label"].to_list()[:4] == ["#26 burst", "#25 burst", "#24 burst", "#27 queue_timeout"]


def test_the_slowest_of_very_many_are_found_without_a_sort_of_all(made):
    values = np.random.default_rng(1).lognormal(size=150_000)
    values[::7] = np.nan
    known = np.nan_to_num(values, nan=-1.0)
    assert anatomy.top_places(values).tolist() == np.argsort(-known, kind="stable")[:20].tolist()


def test_cold_stands_beside_warm_at_half_and_tail(made):
    data = anatomy.waterfall(made["queue"]).data
    shown = data[data["part"] == "condition"].set_index("label")["response_s"]
    assert shown.to_dict() == pytest.approx(
        {
            "cold P50 (n = 3)": 21.6,
            "cold P95 (n = 3)": 29.1,
            "queued P50 (n = 23)": 81.1,
            "queued P95 (n = 23)": 125.1,
            "warm P50 (n = 6)": 12.06,
            "warm P95 (n = 6)": 12.06,
        }
    )


def test_an_endpoint_that_tells_nothing_has_no_anatomy(made):
    for plot in (anatomy.anatomy(made["retries"]), anatomy.waterfall(made["retries"]), anatomy.anatomy(made["mixed"])):
        assert isinstance(plot, MissingPlot)
        assert plot.reason == anatomy.UNTOLD


# --- the burst picture


def test_each_request_is_a_bar_from_scheduled_to_done(made):
    data = anatomy.burst(made["queue"]).data
    _, last = rows_of("queue")
    assert data["seq"].to_list() == list(last)
    ends = data["from_s"] + data[list(PHASES)].sum(axis=1)
    assert ends.to_list() == pytest.approx([float(row["done_s"]) for row in last.values()], abs=2e-5)


def test_two_hundred_of_many_are_spread_evenly_and_begin_side_by_side_in_a_long_run(made):
    plot = anatomy.burst(many(made["burst"], 1_991))
    assert plot.data["seq"].to_list() == [round(k * 1990 / 199) for k in range(200)]
    assert (plot.data["since_due"].all(), plot.data["from_s"].max()) == (True, 0.0)
    assert "n = 200 of 1,991 requests" in plot.caption and "over 50 times longer" in plot.caption


# --- the timeline


@pytest.mark.parametrize("name", OWN)
def test_completions_add_up_to_the_answers_that_were_ok(made, name):
    data = timeline.timeline(made[name]).data
    done = data[data["part"] == "completed"]
    width = float(np.diff(done["at_s"]).min())
    assert (done["completed_per_s"] * width).sum() == pytest.approx(made[name].ledger.counts["ok"])
    assert done["completed_per_s"].iloc[-1] == 0


@pytest.mark.parametrize("name", OWN)
def test_in_flight_is_what_was_sent_and_had_not_ended(made, name):
    whole, _ = rows_of(name)
    spans = [(float(row["sent_s"]), float(row["done_s"] or "inf")) for row in whole if row["sent_s"]]
    data = timeline.timeline(made[name]).data
    shown = data[data["part"] == "in_flight"]
    for at, n in shown[["at_s", "in_flight"]].itertuples(index=False):
        assert n == sum(sent < at - 1e-9 and done >= at - 1e-9 for sent, done in spans), at


def test_strokes_stand_at_the_ends_of_attempts_that_were_not_ok(made):
    data = timeline.timeline(made["retries"]).data
    marks = data[data["part"] == "mark"]
    whole, _ = rows_of("retries")
    for kind in ("queue_timeout", "throttled", "busy", "refused"):
        ends = sorted(float(row["done_s"]) for row in whole if row["outcome"] == kind)
        assert marks.loc[marks["kind"] == kind, "at_s"].to_list() == ends
    assert set(marks["kind"]) == {"queue_timeout", "throttled", "busy", "refused"}


def test_strokes_that_would_touch_are_one_and_say_how_many(made):
    of_many = timeline.timeline(many(made["burst"], 5_000, failed=1_000)).data
    marks = of_many[(of_many["part"] == "mark") & (of_many["kind"] == "failed")]
    assert len(marks) <= timeline.STROKES < marks["count"].sum() == 1_000


def test_cold_starts_stand_where_workers_became_ready(made):
    data = timeline.timeline(made["queue"]).data
    assert data.loc[data["kind"] == "cold start", "at_s"].to_list() == pytest.approx([9.1, 9.6, 17.1])
    assert "a worker became ready" in timeline.timeline(made["queue"]).caption
    assert "a cold request reached its worker" in timeline.timeline(made["burst"]).caption


def test_the_time_in_which_a_generator_was_lost_is_shaded(made):
    of = made["mixed"]
    told = [("generator_lost", 5.0, 1.5, "g1"), ("share_dealt", 7.0, 3.5, "g1"), ("generator_lost", 12.0, np.nan, "g2")]
    events = pd.DataFrame([{"kind": kind, "at_s": at, "seconds": silent, "generator": name} for kind, at, silent, name in told])
    data = timeline.timeline(changed(of, events=pd.concat([of.run.events, events], ignore_index=True))).data
    lost = data[data["part"] == "lost"]
    end_s = max(float(row["done_s"] or 0) for row in rows_of("mixed")[0])
    assert lost[["at_s", "until_s", "stage"]].to_numpy().tolist() == [[3.5, 7.0, "g1"], [12.0, end_s, "g2"]]


def test_the_endpoints_word_stands_in_the_timeline_or_its_absence_is_told(made):
    parts = timeline.timeline(made["queue"]).data.groupby("part").size()
    assert (parts["jobs"], parts["workers"], parts["offered"]) == (127, 126, 242)
    assert "endpoint.csv is missing or empty" in timeline.timeline(made["retries"]).caption
    assert timeline.NO_WORD in timeline.timeline(made["burst"]).caption


# --- outcomes


@pytest.mark.parametrize("name", OWN)
def test_outcomes_over_time_are_the_ledger_by_when_requests_ended(made, name):
    data = response_times.outcomes(made[name]).data
    counts = made[name].ledger.counts
    assert {kind: int(data[kind].sum()) for kind in counts} == dict(counts)
    width = float(data["width_s"].iloc[0])
    _, last = rows_of(name)
    ends = [(float(row["done_s"] or row["scheduled_s"]), row["outcome"]) for row in last.values()]
    for row in data.to_dict("records"):
        inside = [kind for at, kind in ends if math.floor(at / width + 1e-9) == round(row["at_s"] / width)]
        assert {kind: inside.count(kind) for kind in counts} == {kind: row[kind] for kind in counts}


# --- response time and lateness


def test_the_distribution_has_each_answer_and_the_percentiles_of_the_table(made):
    data = response_times.distribution(made["mixed"]).data
    ok = data[data["part"] == "ok"]
    _, last = rows_of("mixed")
    times = sorted(float(row["done_s"]) - float(row["scheduled_s"]) for row in last.values() if row["outcome"] == "ok")
    assert ok["response_s"].to_list() == pytest.approx(times)
    assert ok["share"].to_list() == pytest.approx([(k + 1) / 20 for k in range(20)])
    marked = data[data["part"] == "percentile"].set_index("percent")
    table = made["mixed"].response["ok"]
    assert marked["response_s"].to_dict() == {p: table.at(p).value for p in (50, 95, 99)}
    for percent in (50, 95, 99):
        told = (table.at(percent).lower, table.at(percent).upper)
        assert marked.loc[percent, ["lower", "upper"]].to_list() == pytest.approx(
            [np.nan if end is None else end for end in told], nan_ok=True
        )


@pytest.mark.slow
def test_a_sample_too_alike_for_any_interval_is_drawn_without(made, tmp_path):
    none = [replace(of, lower=None, upper=None) for of in made["burst"].response["ok"].percentiles]
    alone = changed(made["burst"])
    alone.__dict__["response"] = {policy: replace(times, percentiles=tuple(none)) for policy, times in made["burst"].response.items()}
    plot = response_times.distribution(alone)
    assert "(none for P50, P95, P99)" in plot.caption
    assert ">P50 8.00 s<" in plot_files.write_plot(plot, tmp_path)


def test_the_steps_of_many_answers_are_thinned_and_keep_both_ends(made):
    data = response_times.distribution(many(made["burst"], 9_000)).data
    ok = data[data["part"] == "ok"]
    assert len(ok) == response_times.STEPS
    assert (ok["response_s"].min(), ok["response_s"].max(), ok["share"].max()) == (pytest.approx(1.0), pytest.approx(61.0), 1.0)


def test_answers_of_two_groups_with_p95_between_them_are_told(made):
    few = many(made["burst"], 1_000)
    noise = np.random.default_rng(2).lognormal(0.0, 0.1, 1_000)
    slow = few.run.attempts.assign(done_s=few.run.attempts["scheduled_s"] + np.where(np.arange(1_000) % 16 == 0, 30.0, 1.0) * noise)
    assert "P95 lies between two groups" in response_times.distribution(changed(few, slow)).caption
    assert "groups" not in response_times.distribution(made["mixed"]).caption


def test_above_twenty_thousand_the_answers_are_a_density_and_the_failures_marks(made):
    n = dense_scatter.MOST + 5_000
    plot = response_times.response(many(made["burst"], n, failed=3))
    cells, marks = (plot.data[plot.data["part"] == part] for part in ("cell", "mark"))
    assert (cells["count"].sum(), set(marks["kind"]), len(marks)) == (n - 3, {"failed"}, 3)
    assert marks["x"].to_list() == pytest.approx([(n - 3) / 10, (n - 2) / 10, (n - 1) / 10])
    assert len(plot.data) <= dense_scatter.MOST
    assert cells["top"].max() == pytest.approx(61.0)
    assert f"Density of {n - 3:,} requests answered ok; marks: 3 of 3 others" in plot.caption


def test_cells_hold_what_a_count_by_hand_finds():
    generator_ = np.random.default_rng(5)
    x, y = generator_.uniform(0, 100, 30_000), generator_.lognormal(0, 2, 30_000)
    data = dense_scatter.scatter_data(dense_scatter.ScatterPoints(np.arange(30_000), x, y, np.zeros(30_000, dtype=np.int8)), ["ok"], ["ok"])
    for row in data.sample(40, random_state=1).itertuples():
        right = x <= row.right if row.right >= x.max() - 1e-9 else x < row.right
        top = y <= row.top if row.top >= y.max() - 1e-9 else y < row.top
        assert row.count == ((x >= row.x) & right & (y >= row.y) & top).sum()
    assert data["count"].sum() == 30_000


def test_rare_kinds_stay_whole_and_common_ones_keep_their_extremes():
    n, kind = 40_000, np.zeros(40_000, dtype=np.int8)
    kind[::2], kind[5], y = 1, 2, np.linspace(0.1, 9.0, n)
    data = dense_scatter.scatter_data(
        dense_scatter.ScatterPoints(np.arange(n), np.arange(float(n)), y, kind), ["ok", "failed", "refused"], ["ok"]
    )
    marks = data[data["part"] == "mark"]
    assert (marks["kind"].value_counts()["refused"], len(marks)) == (1, dense_scatter.RARE // 2 + 1)
    failed = marks[marks["kind"] == "failed"]
    assert (failed["y"].min(), failed["y"].max()) == pytest.approx((y[::2].min(), y[::2].max()))
    assert set(failed["of_kind"]) == {20_000}


def test_lateness_becomes_a_density_too_with_its_largest_in_sight(made):
    n = dense_scatter.MOST + 1
    late = many(made["burst"], n)
    rows = late.run.attempts.assign(sent_s=late.run.attempts["scheduled_s"] + 0.002 + (late.run.attempts["seq"] == 9) * 0.5)
    data = generator_health.lateness(changed(late, rows)).data
    assert (set(data["part"]), data["count"].sum(), data["top"].max()) == ({"cell"}, n, pytest.approx(0.502))


def test_the_generators_samples_of_a_long_run_are_the_largest_of_each_stretch(made):
    n = 4 * generator_health.MOST_SAMPLES
    rows = pd.DataFrame({"at_s": np.arange(float(n)), "generator": "local", "in_flight": 1.0, "held": 0.0, "cpu": 0.1})
    rows.loc[777, "cpu"] = 0.95
    plot = generator_health.generator(changed(made["burst"], generator=rows))
    assert len(plot.data) <= generator_health.MOST_SAMPLES
    assert plot.data["cpu"].max() == 0.95
    assert "largest sample of each 5 s" in plot.caption
