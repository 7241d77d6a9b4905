"""Each sentence that a sweep's decision can print, held against runs of which it is true or false by construction."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from analysis.runs.load import load
from analysis.statistics.intervals import batch_means, share_interval
from analysis.sweep_report.sweep_answer import sweep_answer
from analysis.tables.run_tables import Tables
from tests.support.sweeps import Measure, write

ROUGH = ((1, 1.0), (2, 0.85), (3, 1.15))
EVEN = ((1, 1.0), (2, 0.999), (3, 1.001))


def answered(folder):
    return sweep_answer(Tables(load(folder)))


def levels(rates, spread=((1, 1.0),), n=100, **more):
    """One worker; requests at a time and ok per s; a repeat for each factor of ``spread``."""
    return [
        Measure(f"c{c}", max(n, 2 * c), c, max(n, 2 * c) / (rate * factor), repeat, workers=1, per_worker=c, **more)
        for repeat, factor in spread
        for c, rate in rates.items()
    ]


def decided(tmp_path, measures, question="concurrency", **asked):
    return answered(write(tmp_path / "run", measures, question, **asked)).decision


def limit(metric, op, value, text):
    return {"metric": metric, "op": op, "value": value, "text": text}


# --- by how much, and how sure


@pytest.mark.slow
@pytest.mark.parametrize("spread", [((1, 1.0),), ROUGH])
def test_of_two_equal_settings_none_is_best(tmp_path, spread):
    found = decided(tmp_path, levels({1: 10.0, 2: 10.0}, spread))
    assert found.main.cell.name == "c1"
    assert found.sentence.startswith("c1 is the smallest of c1 and c2, w")
    assert "best" not in found.sentence
    if spread == ROUGH:
        assert "which cannot be told apart by throughput: 10.0 ok per s (95 % " in found.sentence
        assert "; take c1 where cost or response time counts (it may give up to 23" in found.sentence
        assert found.sentence.endswith(" % less), c2 where throughput does.")
    else:
        assert "whose throughput is equal within 5 %: 10.0 ok per s (95 % " in found.sentence


def test_settings_that_differ_by_half_a_percent_within_one_run_show_no_difference(tmp_path):
    """Answers at even distances have batches of no variance; a window still holds one answer more or less by its edges."""
    found = decided(tmp_path, levels({1: 10.0, 2: 10.05}))
    assert "whose throughput is equal within 5 %" in found.sentence


def test_three_percent_more_is_no_difference_where_repeats_differ_by_more(tmp_path):
    found = decided(tmp_path, levels({1: 10.0, 2: 10.3}, ROUGH))
    assert found.sentence.startswith("c1 is the smallest of c1 and c2, which cannot be told apart by throughput: 10.0 ok per s")
    assert found.change.startswith("more than 20 repeats would be needed to tell c1 from c2; c2 is the largest setting measured")


def test_three_percent_more_is_told_where_repeats_agree(tmp_path):
    found = decided(tmp_path, levels({1: 10.0, 2: 10.3}, EVEN))
    assert "whose throughput is equal within 5 %" in found.sentence
    assert found.change.startswith("c2 gives 3 % more, if that is worth a larger setting")


@pytest.mark.slow
def test_one_repeat_is_labelled_and_three_are(tmp_path):
    once = decided(tmp_path / "1", levels({1: 10.0, 2: 15.0}))
    thrice = decided(tmp_path / "3", levels({1: 10.0, 2: 15.0}, EVEN))
    assert once.sentence.startswith("c2 is best by most goodput: 15.0 ok per s (95 % 14.4 to 15.6, within this run only)")
    assert thrice.sentence.startswith("c2 is best by most goodput: 15.0 ok per s (95 % 15.0 to 15.0, over 3 repeats)")
    assert "1.50 × c1 (" in thrice.sentence


@pytest.mark.slow
@pytest.mark.parametrize(("rates_of_2", "repeats"), [((15.0, 12.0, 18.0), None), ((14.5, 14.0, 15.0), 19)])
def test_a_rule_that_the_multipliers_interval_holds_is_not_surely_kept(tmp_path, rates_of_2, repeats):
    """1.5 times the baseline, between 1.2 and 1.8 from repeat to repeat, and 1.4 needed; 1.45 with half the spread of 0.1.

    Over three repeats the half width is 4.303 × 0.05 ÷ √3 = 0.124, and 0.05 are to be told: 3 × (0.124 ÷ 0.05)² = 18.5 repeats.
    """
    rates = {1: (10.0, 10.0, 10.0), 2: rates_of_2}
    measures = [
        Measure(f"c{c}", 100, c, 100 / of[repeat - 1], repeat, workers=1, per_worker=c) for repeat in (1, 2, 3) for c, of in rates.items()
    ]
    found = decided(tmp_path, measures, "matrix")
    assert found.sentence.startswith("c2 is the largest setting that meets the 0.7 rule, though uncertain (multiplier ")
    assert "1.40 needed)" in found.sentence
    assert (found.main.unsure, found.main.repeats) == (True, repeats)


@pytest.mark.slow
def test_a_rule_that_is_missed_by_a_hair_is_not_surely_missed(tmp_path):
    measures = levels({1: 10.0, 2: 19.0}, EVEN) + [replace(of, cell="c4") for of in levels({4: 27.0}, ROUGH)]
    found = decided(tmp_path, measures, "matrix")
    assert found.main.cell.name == "c2"
    assert "c4 misses the 0.7 rule (multiplier 2.70 of 4); a rule of 0.67 would accept it; uncertain: " in found.change
    assert "c4 may meet the 0.7 rule too, or miss it: more than 20 repeats would be needed to tell" in found.sentence


def test_an_efficiency_near_its_target_is_not_surely_above(tmp_path):
    rates = {1: 10.0, 2: 18.4}
    measures = [
        Measure(f"w{n}", 60 * n, n, 60 * n / (rate * (factor if n == 2 else 1.0)), repeat, workers=n, per_worker=1, ids=n)
        for repeat, factor in ROUGH
        for n, rate in rates.items()
    ]
    assert "scaling efficiency 92 % (above the target of 90 %, though uncertain)" in decided(tmp_path, measures, "scaling").sentence


def test_a_baseline_that_nothing_can_be_held_against_is_no_decision(tmp_path):
    measures = [Measure(f"w{n}", 40, n, 4.0 / n, workers=n, per_worker=1, ids=1) for n in (1, 2)]
    found = decided(tmp_path, measures, "scaling")
    assert found.sentence.startswith(
        "No decision: no setting could be compared with the baseline w1, which meets the rule by definition (w2: no efficiency, "
    )


def test_nothing_is_held_against_a_baseline_that_fails(tmp_path):
    """Of ten answers a second eight are ok: 15 are 1.9 times as many, and 1.5 times those of a whole baseline."""
    found = decided(tmp_path, [*levels({1: 10.0}, failed=20), *levels({2: 15.0})], "matrix")
    assert found.sentence.startswith("No decision: the baseline failed too often to compare with: c1 cannot win: 20 % of its")


def test_why_there_is_no_efficiency_is_told_once(tmp_path):
    idle = [Measure(f"w{n}", 40, n, 4.0 / n, workers=n, per_worker=3, ids=n, asked=3 * n) for n in (1, 2)]
    found = decided(tmp_path, idle, "scaling")
    assert found.sentence == "No decision: the load did not saturate the workers: 1 of 3 requests in flight."


# --- objectives


@pytest.mark.slow
def test_an_objective_that_the_interval_may_miss_is_not_surely_kept(tmp_path):
    few, many = levels({1: 10.0, 2: 19.0}, n=20), levels({1: 10.0, 2: 19.0}, n=400)
    asked = [limit("p95", "<", 2.0, "p95<2s"), limit("success", ">", 0.95, "success>95%")]
    unsure = decided(tmp_path / "few", few, objectives=asked).sentence
    assert "may miss p95<2s (n too small)" in unsure
    assert "may miss success>95% (success 83.2 % to 100 %)" in unsure
    assert "may miss" not in decided(tmp_path / "many", many, objectives=asked).sentence


def test_an_objective_on_what_was_not_measured_says_so(tmp_path):
    found = decided(tmp_path, levels({1: 10.0, 2: 19.0}), objectives=[limit("wer", "<", 0.05, "wer<5%")])
    assert found.sentence == "No decision: no setting meets wer<5%; c1 comes closest with WER not measured."


@pytest.mark.slow
def test_what_is_nearly_the_cheapest_is_not_called_the_cheapest(tmp_path):
    found = decided(tmp_path, levels({1: 10.0, 2: 19.0, 4: 19.6}, EVEN, n=400), objectives=[limit("p95", "<", 9.0, "p95<9s")])
    assert found.main.cell.name == "c2"
    assert found.sentence.startswith("c2 is the smallest of c2 and c4, whose cost is equal within 5 % (all with p95<9s): 19.0 ok per s")
    assert "the least is c4 with" in found.main.why


# --- what was not tried


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "objectives", "said"),
    [
        ("concurrency", [], "c4 is the largest setting measured; a larger one may give more."),
        ("concurrency", [limit("p95", "<", 9.0, "p95<9s")], "c4 is the largest setting measured; a larger one may be cheaper."),
        ("matrix", [], "c4 is the largest setting measured; a larger one may meet the rule too."),
    ],
)
def test_where_the_best_is_the_last_that_nothing_larger_was_tried(tmp_path, question, objectives, said):
    assert decided(tmp_path, levels({1: 10.0, 2: 20.0, 4: 40.0}, EVEN), question, objectives=objectives).change == said


def test_where_something_larger_was_tried_and_does_not_win_it_is_not_called_untried(tmp_path):
    measures = [*levels({1: 10.0, 2: 19.0}), *levels({4: 40.0}, failed=20)]
    found = decided(tmp_path, measures)
    assert found.main.cell.name == "c2"
    assert "largest setting measured" not in found.change
    assert found.change == "c4 cannot win: 20 % of its requests failed (limit 5 %)."


# --- failures


def test_failures_of_the_best_are_in_the_sentence(tmp_path):
    found = decided(tmp_path, [*levels({1: 10.0}), *levels({2: 20.0}, failed=4)])
    assert found.sentence.startswith("c2 is best by most goodput: 19.2 ok per s")
    assert "; 4 % of its requests failed;" in found.sentence


@pytest.mark.slow
def test_how_many_failures_may_win_is_the_users_to_say(tmp_path):
    measures = [*levels({1: 10.0}), *levels({2: 20.0}, failed=20)]
    stop = {"failures": 1.0, "gain": 0.05, "levels": 2}
    assert decided(tmp_path / "stop", measures, stop=stop).main.cell.name == "c2"
    loose = [limit("success", ">", 0.5, "success>50%")]
    assert decided(tmp_path / "limit", measures, objectives=loose).main.cell.name == "c2"
    assert decided(tmp_path / "none", measures, "matrix", stop=None).main.cell.name == "c1"


def test_where_all_fail_there_is_no_decision(tmp_path):
    found = decided(tmp_path, levels({1: 10.0, 2: 20.0}, failed=30))
    assert found.main.cell is None
    assert found.sentence.startswith("No decision: c1 cannot win: 30 % of its requests failed (limit 5 %); c2 cannot win: ")


# --- order, settling, what was skipped


@pytest.mark.parametrize("question", ["matrix", "scaling"])
def test_settings_measured_from_the_largest_down_are_held_against_the_smallest(tmp_path, question):
    """12 and 13 per s are no gain over 10: from the largest as baseline each smaller one would keep the rule, and the largest win."""
    sign = "w" if question == "scaling" else "c"
    measures = [
        Measure(f"{sign}{n}", 100, n, 100 / rate, workers=n if sign == "w" else 1, per_worker=1 if sign == "w" else n, ids=n)
        for n, rate in ((3, 13.0), (2, 12.0), (1, 10.0))
    ]
    found = answered(write(tmp_path / "run", measures, question))
    assert found.sweep.baseline.name == f"{sign}1"
    assert found.decision.main.cell.name == f"{sign}1"
    assert found.sweep.relative[f"{sign}3"].multiplier.value == pytest.approx(1.3, rel=0.01)


def test_one_setting_has_no_knee(tmp_path):
    found = answered(write(tmp_path / "run", levels({1: 10.0})))
    assert found.sweep.knee is None
    assert "Knee" not in found.main.remark
    assert found.decision.sentence == "No decision: only c1 was measured completely, 10.0 ok per s."


def test_settling_is_that_before_the_warm_up(tmp_path):
    folder = write(tmp_path / "run", levels({1: 10.0, 2: 20.0}))
    rows = pd.read_csv(folder / "stages.csv")
    rows.loc[rows["stage"] == "c2-warm", "begin_s"] = rows.loc[rows["stage"] == "c2-warm", "ready_s"] - 30.0
    rows.to_csv(folder / "stages.csv", index=False)
    stages = next(sheet for sheet in answered(folder).sheets() if sheet.title == "Stages of the sweep")
    assert {row[0]: row[stages.head.index("Settling")] for row in stages.rows} == {"c1": "400 ms", "c2": "30.0 s"}


def test_what_was_refused_in_a_stage_that_was_skipped_is_no_share_of_ok(tmp_path):
    folder = write(tmp_path / "run", [*levels({1: 10.0}), Measure("c2", 0, 2, 0.0, state="skipped", why="Ctrl-C")])
    attempts = pd.read_csv(folder / "attempts.csv")
    refused = {"seq": 900, "attempt": 1, "stage": "c2", "phase": "measure", "scheduled_s": 50.0, "outcome": "not_sent"}
    pd.concat([attempts, pd.DataFrame([refused])]).to_csv(folder / "attempts.csv", index=False)
    main = answered(folder).main
    assert dict(zip(main.head, main.rows[1], strict=True))["ok"] == "–"


def test_requests_that_paused_between_tries_are_not_taken_for_a_long_drain(tmp_path):
    folder = write(tmp_path / "run", levels({1: 10.0, 4: 20.0}))
    attempts = pd.read_csv(folder / "attempts.csv")
    again = attempts[attempts["stage"] == "c4"].assign(attempt=2)
    again[["sent_s", "done_s"]] += 20.0
    first = attempts["stage"].eq("c4")
    attempts.loc[first, "outcome"] = "busy"
    pd.concat([attempts, again]).to_csv(folder / "attempts.csv", index=False)
    assert any("because requests paused between retries" in note and "--retries" in note for note in answered(folder).notes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"way": "rest", "where": "x", "restored": False, "harmless": False}, " --yes restores them."),
        ({"way": "rest", "where": "x", "restored": False, "harmless": True}, "run restores them."),
        (
            {"way": "hand", "where": "x", "restored": None, "note": "x: put back by hand: workers 0 to 3"},
            "put back by hand: workers 0 to 3.",
        ),
        ({"way": "replicas", "where": "x", "restored": False}, ""),
    ],
)
def test_settings_that_may_still_be_changed_are_told_with_what_to_do(tmp_path, settings, said):
    folder = write(tmp_path / "run", levels({1: 10.0, 2: 20.0}))
    (folder / "settings.json").write_text(json.dumps(settings | {"before": {}}), encoding="utf-8")
    notes = [note for note in answered(folder).notes if "changed by hand" in note or "not restored" in note]
    assert len(notes) == bool(said)
    assert all(said in note for note in notes)


# --- the intervals themselves


def test_a_share_has_the_interval_of_clopper_and_pearson():
    """By the table: 0 of 10 is 0 to 30.85 %, 5 of 10 is 18.71 to 81.29 %, 20 of 20 is 83.16 to 100 %."""
    found = [share_interval(*of) for of in ((0, 10), (5, 10), (20, 20))]
    assert [end for of in found for end in (of.lower, of.upper)] == pytest.approx([0, 0.3085, 0.1871, 0.8129, 0.8316, 1], abs=5e-5)
    assert share_interval(0, 0).value is None


def test_even_answers_have_an_interval_of_an_answer():
    done = [0.05 + 0.1 * k for k in range(100)]
    found = batch_means(done, 0.0, 10.0, 10.0)
    assert (found.lower, found.upper) == pytest.approx((9.9, 10.1))
