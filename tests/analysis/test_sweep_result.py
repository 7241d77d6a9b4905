"""Sweeps that are known by construction (tests/sweeps.py), from their files to the decision."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.figures.style import Plot
from analysis.report import metrics_json, report
from analysis.runs.load import load
from analysis.sweep.usl import Usl
from analysis.sweep_report import sweep_sheets
from tests.support.sweeps import PRICE, WHISPER, Measure, batches, cut, guide, repeated, whisper, write
from tests.support.swept import answered, cell, figures, picks, sheet

RUNS = Path(__file__).parents[1] / "runs"


@pytest.fixture(scope="module")
def curve():
    return answered(RUNS / "sweep-whisper")


@pytest.fixture(scope="module")
def matrix():
    return answered(RUNS / "sweep-matrix")


@pytest.fixture(scope="module")
def scaling():
    return answered(RUNS / "sweep-scaling")


def test_the_committed_sweeps_are_what_their_script_writes(tmp_path):
    for name, measures, question in (("sweep-scaling", list(guide()), "scaling"), ("sweep-cut", cut(), "scaling")):
        folder = write(tmp_path / name, measures, question)
        for file in ("attempts.csv", "stages.csv"):
            assert (folder / file).read_text(encoding="utf-8") == (RUNS / name / file).read_text(encoding="utf-8")


# --- concurrency: the published Whisper curve


def test_the_three_policies_pick_32_and_2_and_8(curve):
    assert picks(curve) == ["c32", "c2", "c8"]
    assert curve.decision.main.cell.name == "c8"
    assert curve.decision.sentence.startswith("c8 is the cheapest with p95<=350ms: 31.3 ok per s")
    assert curve.decision.change == "c16 gives 29.1 % more for the same money but misses p95<=350ms with P95 532 ms."
    assert "a rule of 0.59 would accept it" in curve.decision.choices[1].change


def test_each_level_has_the_throughput_and_the_p95_that_it_was_made_of(curve):
    for c, (per_s, p95_s, wrong) in WHISPER.items():
        of = cell(curve, f"c{c}")
        assert of.throughput.value == pytest.approx(per_s, rel=1e-4)
        assert of.percentile(95).value == pytest.approx(p95_s, abs=2e-6)
        assert of.wer.value == pytest.approx(wrong)
        assert 0.9 * c <= of.in_flight <= 1.01 * c
        assert of.usd_per_1000 == pytest.approx(0.31 / per_s, rel=1e-4)
    assert curve.sweep.knee.name == "c32"


def test_a_percentile_that_is_the_maximum_says_so(curve):
    rows = sheet(curve, "Response time by setting")
    assert rows["c1"]["P99 (95 % interval)"] == "124 ms (n = 20: this is the maximum)"
    assert rows["c1"]["P95 (95 % interval)"] == "124 ms (n = 20 with 1 value above it, too few for an interval)"
    assert " to " in rows["c1"]["P50 (95 % interval)"]


def test_a_setting_whose_neighbours_are_alike_has_no_interval_and_a_note(curve):
    """Its first 64 answers take ever longer, because all were sent at once."""
    assert sheet(curve, "Response time by setting")["c64"]["P95 (95 % interval)"] == "1.63 s (values are correlated: repeat the run)"
    assert cell(curve, "c64").interval("p95").basis == "values are correlated: repeat the run"
    (note,) = (note for note in curve.notes if note.startswith("Successive answers are correlated in "))
    assert "c64" in note and "c1," not in note


def test_one_repeat_is_within_this_run_only_and_says_what_that_leaves_out(curve):
    assert cell(curve, "c64").throughput.basis == "within this run only"
    assert "within this run only" in curve.decision.sentence
    assert any(note.startswith("With one repeat,") and "can be too narrow" in note for note in curve.notes)


def test_the_law_stands_in_the_table_and_in_the_figure(curve):
    assert isinstance(curve.sweep.law, Usl)
    assert sheet(curve, "Universal Scalability Law")["N*"]["Meaning"].startswith(
        "no peak within the measured levels (0.991 to 64); the curve peaks"
    )
    drawn = figures(curve)["sweep_throughput"].data
    assert drawn[drawn["part"] == "law"]["value"].is_monotonic_increasing
    assert drawn[drawn["part"] == "mean"]["x"].to_list() == [1, 2, 4, 8, 16, 32, 64]
    assert drawn[drawn["part"] == "limit p95"]["value"].to_list() == [0.35]


def test_the_frontier_leaves_out_what_another_setting_beats_in_both(curve):
    drawn = figures(curve)["sweep_cost"].data.set_index("setting")
    assert drawn.index[~drawn["frontier"]].to_list() == ["c64"]
    assert drawn["unit"].unique().tolist() == ["USD per 1,000 ok"]


def test_an_objective_that_nothing_meets_names_the_nearest(tmp_path):
    limit = {"metric": "p95", "op": "<", "value": 0.1, "text": "p95<100ms"}
    found = answered(write(tmp_path / "run", list(whisper())[:4], objectives=[limit]))
    assert found.decision.main.cell is None
    assert found.decision.sentence == "No decision: no setting meets p95<100ms; c1 comes closest with P95 124 ms."


def test_m_slots_are_named_whatever_lies_behind_them(tmp_path):
    measures = [Measure(f"c{c}", 20 * c, c, 20 * c / (10 * min(c, 4)), workers=1, per_worker=c) for c in (1, 2, 4, 8, 16)]
    found = answered(write(tmp_path / "run", measures))
    assert (picks(found)[0], found.sweep.knee.name) == ("c4", "c4")
    assert [cell.throughput.value for cell in found.sweep.cells] == pytest.approx([10, 20, 40, 40, 40], rel=1e-4)
    assert [cell.name for cell in found.decision.main.rivals] == ["c8", "c16"]
    assert found.decision.sentence.startswith(
        "c4 is the smallest of c4, c8 and c16, which cannot be told apart by throughput: 40.0 ok per s"
    )
    assert "take c4 where cost or response time counts (it may give up to " in found.decision.sentence
    assert "c16 where throughput does" in found.decision.sentence
    assert found.decision.change == "--repeats 3 would probably tell c4 from c8."


# --- matrix: the methodology's example


def test_the_methodologys_table_in_its_own_form(matrix):
    rows = sheet(matrix, "Multiplier and contention")
    assert [rows[c]["Wall"] for c in ("c1", "c2", "c4")] == ["102 s", "61.2 s", "38.7 s"]
    assert [rows[c]["Multiplier"] for c in ("c2", "c4")] == ["1.67 ×", "2.65 ×"]
    assert [rows[c]["Contention"] for c in ("c2", "c4")] == ["16.3 %", "33.9 %"]
    assert [rows[c]["≥ 0.7 c?"] for c in ("c1", "c2", "c4")] == ["baseline", "yes", "no"]
    assert rows["c4"]["Savings at equal wall time"] == "62.2 %"
    assert rows["c4"]["Workers needed"] == "2 (1.89)"


def test_c4_fails_the_rule_and_the_decision_says_so(matrix):
    assert matrix.decision.main.policy == "the 0.7 rule"
    assert matrix.decision.main.cell.name == "c2"
    assert matrix.decision.change == "c4 misses the 0.7 rule (multiplier 2.65 of 4); a rule of 0.66 would accept it."
    assert picks(matrix) == ["c4", "c2", "c4"]


def test_worker_seconds_and_their_price(matrix):
    found = [cell(matrix, name).worker_seconds for name in ("c1", "c4")]
    assert found == pytest.approx([512.0, 193.5], abs=1e-3)
    assert cell(matrix, "c1").usd == pytest.approx(512 * PRICE["usd_per_s"])


def test_the_memory_plan_is_from_the_runs_card(matrix):
    assert matrix.metrics()["memory"]["fit"] == 5
    assert sheet(matrix, "Memory plan")["3"]["Share of the card"] == "55.4 %"


def test_the_split_adds_up_to_the_service_time(matrix):
    of = cell(matrix, "c2")
    assert sum(of.split.values()) == pytest.approx(of.ok["service_s"].mean(), rel=1e-5)
    assert of.split["queue_s"] == pytest.approx(0.25 * of.ok["service_s"].mean(), rel=1e-5)


@pytest.mark.slow
def test_the_endpoints_figure_is_shaded_where_a_stage_was_measured():
    made = report.report(load(RUNS / "sweep-matrix"))
    (plot,) = [one for one in report.plots.plots(made.tables, made.answer) if one.name == "timeline"]
    shaded = plot.data[plot.data["part"] == "measured"]
    assert shaded["stage"].to_list() == ["c1", "c2", "c4"]
    assert (shaded["until_s"] - shaded["at_s"]).to_list() == pytest.approx([102.4, 61.2, 38.7])


# --- scaling


@pytest.mark.slow
def test_efficiency_of_the_guides_rates(scaling):
    rows = sheet(scaling, "Scaling")
    assert [rows[n]["Scaling efficiency"] for n in ("w1", "w2", "w3")] == ["100 %", "95.7 %", "94.6 %"]
    assert scaling.sweep.relative["w3"].efficiency.basis == "over 3 repeats"
    assert "scaling efficiency 94.6 % (above the target of 90 %)" in scaling.decision.sentence
    assert figures(scaling)["sweep_efficiency"].data["x"].to_list() == [1, 2, 3]


def test_efficiency_counts_from_the_real_base(tmp_path):
    measures = [Measure(f"w{n}", 40 * n, 4 * n, 4.0, workers=n, per_worker=4, ids=n) for n in (2, 4)]
    assert answered(write(tmp_path / "run", measures, "scaling")).sweep.relative["w4"].efficiency.value == pytest.approx(1.0)


@pytest.mark.slow
def test_captions_tell_n_and_what_the_intervals_of_all_settings_cover(curve, matrix, scaling, tmp_path):
    captions = [
        {name: plot.caption for name, plot in figures(found).items() if isinstance(plot, Plot)} for found in (curve, matrix, scaling)
    ]
    for name in ("sweep_throughput", "sweep_multiplier", "sweep_cost", "sweep_quality"):
        assert "n = 20 to 640 per setting" in captions[0][name]
    assert "n = 200 per setting with both" in captions[1]["sweep_split"]
    for name in ("sweep_throughput", "sweep_efficiency"):
        assert "n = 120 to 360 per setting" in captions[2][name] and "95 % intervals over 3 repeats" in captions[2][name]
    uneven = [Measure("c1", 40, 1, 4.0), *repeated([Measure("c2", 40, 2, 2.1), Measure("c4", 40, 4, 1.1)], 2)]
    told = figures(answered(write(tmp_path / "run", uneven)))["sweep_throughput"].caption
    assert "95 % intervals within this run only; over 2 repeats" in told


def test_workers_that_scale_cost_the_same_each_and_the_fewest_are_named(scaling):
    cheapest = scaling.decision.choices[2]
    assert cheapest.cell.name == "w1"
    assert [of.name for of in cheapest.rivals] == ["w2"]  # w3's 5.4 % more worker-seconds an answer are shown
    assert scaling.decision.change == "w3 is the largest setting measured; a larger one may meet the rule too."


def test_three_repeats_show_their_spread(scaling):
    of = cell(scaling, "w2")
    assert of.each == pytest.approx([20.1, 19.899, 20.301], rel=1e-4)
    assert of.throughput.value == pytest.approx(20.1, rel=1e-4)
    assert of.throughput.lower < min(of.each)
    assert of.throughput.upper > max(of.each)
    assert sheet(scaling, "Load by setting")["w2"]["Throughput, least to most"] == "19.9 to 20.3 per s"
    assert not any(note.startswith("With one repeat") for note in scaling.notes)


def test_a_percentile_over_repeats_is_that_of_all_rows_and_its_interval_students_t(tmp_path):
    """Four answers of each 40 take 0.18, 0.2 and 0.22 s: that is each P95, and of all 120 rank 114 is the second of the 0.2 s."""
    measures = [Measure("c1", 40, 1, 4.0, repeat, tail_s=tail_s) for repeat, tail_s in enumerate((0.18, 0.22, 0.2), 1)]
    found = answered(write(tmp_path / "run", measures))
    p95 = cell(found, "c1").percentile(95)
    factor = math.exp(4.30265 * math.sqrt((math.log(0.9) ** 2 + math.log(1.1) ** 2) / 2 / 3))
    assert (p95.value, p95.lower, p95.upper) == pytest.approx((0.2, 0.2 / factor, 0.2 * factor), rel=1e-4)
    said = next(of for of in found.sheets() if of.title == "Response time by setting").remark
    assert "cover the repeats: Student's t" in said


@pytest.mark.slow
def test_one_worker_that_is_called_three_has_no_efficiency(tmp_path):
    found = answered(write(tmp_path / "run", list(guide(ids=(1, 2, 1))), "scaling"))
    assert found.sweep.relative["w3"].efficiency.value is None
    assert found.sweep.relative["w3"].refusal == "3 workers requested, 1 seen"
    assert sheet(found, "Scaling")["w3"]["Scaling efficiency"] == "none: 3 workers requested, 1 seen"
    assert "w3: no efficiency, 3 workers requested, 1 seen" in found.decision.sentence
    assert found.decision.main.cell.name == "w2"
    assert figures(found)["sweep_efficiency"].data["x"].to_list() == [1, 2]


@pytest.mark.slow
def test_without_ids_the_control_is_believed_and_without_either_the_user_is_quoted(tmp_path):
    nameless = [replace(of, ids=0, seen=of.workers) for of in guide()]
    assert answered(write(tmp_path / "seen", nameless, "scaling")).sweep.relative["w3"].efficiency.value == pytest.approx(0.946, abs=1e-3)
    untold = answered(write(tmp_path / "untold", [replace(of, seen=None) for of in nameless], "scaling"))
    assert untold.sweep.relative["w2"].claim == "as you said: 2 workers, not verified"
    assert "scaling efficiency 94.6 % (above the target of 90 %; as you said: 3 workers, not verified)" in untold.decision.sentence
    assert any("add_header X-Worker-ID $upstream_addr always;" in note for note in untold.notes)


def test_one_worker_presented_as_three_is_doubted(tmp_path):
    """Nothing names the workers, and three give as much as one."""
    same = [Measure(f"w{n}", 40 * n, 4 * n, 4.0 * n, workers=n, per_worker=4) for n in (1, 2, 3)]
    found = answered(write(tmp_path / "run", same, "scaling"))
    assert found.decision.sentence == (
        "No decision: adding workers changed nothing (w2 1.00 ×, w3 1.00 × w1): are they there? Neither answers nor /health name workers."
    )


@pytest.mark.slow
def test_health_must_show_exactly_the_workers_requested(tmp_path):
    nameless = [replace(of, ids=0, seen=1, by="health") for of in guide()]
    found = answered(write(tmp_path / "run", nameless, "scaling"))
    assert found.sweep.relative["w1"].refusal == ""
    assert found.sweep.relative["w3"].refusal == "3 workers requested, 1 seen in answers of /health"


@pytest.mark.slow
def test_a_load_that_does_not_saturate_has_no_efficiency(tmp_path):
    few = [replace(of, at_once=4) for of in guide()]
    said = answered(write(tmp_path / "few", few, "scaling")).sweep.relative["w3"].refusal
    assert said == "4 requests at a time cannot saturate 3 × 4"
    idle = [replace(of, asked=of.at_once, at_once=of.at_once // 2) for of in guide()]
    assert "of 4 requests in flight" in answered(write(tmp_path / "idle", idle, "scaling")).sweep.relative["w1"].refusal


@pytest.mark.slow
def test_a_bad_baseline_spoils_every_efficiency(tmp_path):
    found = answered(write(tmp_path / "run", list(guide(ids=(2, 2, 3))), "scaling"))
    assert found.sweep.relative["w2"].refusal == "the baseline w1: 1 worker requested, 2 seen"


def test_twenty_videos_on_five_and_on_twenty_workers(tmp_path):
    price = PRICE | {"usd_per_s": 1.39 / 3600}
    found = answered(write(tmp_path / "run", list(batches()), "scaling", price=price))
    five, twenty = cell(found, "w5"), cell(found, "w20")
    assert (five.wall_s, five.throughput.value * 60) == pytest.approx((240.0, 5.0))
    assert (five.usd_per_hour, twenty.usd_per_hour) == pytest.approx((6.95, 27.80))
    assert [of.usd_per_1000 / 1000 for of in (five, twenty)] == pytest.approx([0.0232, 0.0232], abs=5e-5)
    assert [sheet(found, "Cost")[name]["USD per hour"] for name in ("w5", "w20")] == ["$6.95", "$27.80"]


# --- the report


@pytest.mark.slow
def test_the_report_of_a_sweep_has_the_decision_on_top_and_in_its_files(tmp_path, curve):
    made = report.report(load(RUNS / "sweep-whisper"))
    page = report.write(made, tmp_path)
    text = page.read_text(encoding="utf-8")
    places = [
        text.index(mark)
        for mark in (
            "<h1>c8 is the cheapest",
            "c16 gives",
            ">valid<",
            'id="figure-sweep_throughput"',
            ">Decision</h2>",
            ">Figures</h2>",
            ">Ledger</h2>",
        )
    ]
    assert places == sorted(places)
    written = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["sweep"]
    assert written["decision"]["setting"] == "c8"
    assert [one["setting"] for one in written["policies"]] == ["c32", "c2", "c8"]
    assert written["settings"][3]["throughput_per_s"]["value"] == pytest.approx(31.3, rel=1e-4)
    assert len(written["stages"]) == 7
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "#### Decision" in markdown and "c16 gives" in markdown
    lines = report.terminal(made, page).splitlines()
    assert lines[0] == curve.decision.sentence
    assert any(line.split()[:2] == ["c8", "done"] for line in lines)
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} >= {
        "sweep_throughput",
        "sweep_multiplier",
        "sweep_cost",
        "sweep_quality",
    }


def test_an_invalid_run_decides_nothing(tmp_path):
    folder = write(tmp_path / "run", [Measure("c1", 40, 1, 4.0), Measure("c2", 40, 2, 2.1)], about={"planned": 999})
    assert report.report(load(folder)).headline.startswith("The run is invalid, so do not rely on this: c2 is best")


@pytest.mark.slow
def test_other_runs_have_nothing_of_a_sweep():
    made = report.report(load(RUNS / "burst"))
    assert made.answer is None
    assert not any(plot.name.startswith("sweep") for plot in report.plots.plots(made.tables, made.answer))
    assert metrics_json.metrics(made.tables, made.verdict)["sweep"] is None


@pytest.mark.slow
def test_every_row_of_every_table_is_as_long_as_its_head(curve, matrix, scaling):
    for found in (curve, matrix, scaling, answered(RUNS / "sweep-cut")):
        for of in (found.policies, *sweep_sheets.sweep_sheets(found.sweep)):
            assert {len(row) for row in of.rows} == {len(of.head)}, of.title
