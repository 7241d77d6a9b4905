"""Runs held vs. a base: known differences, what cannot be told, what is refused, and how often a difference is shown where none is."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.compare.compare import compare
from analysis.compare.comparison_figures import comparison_plots, line_look, mark_look
from analysis.compare.comparison_lines import interval_difference, share_difference
from analysis.figures import plot_files
from analysis.runs.load import RunError, load
from analysis.statistics.autocorrelation import correlation_time
from analysis.statistics.intervals import Interval, correlated_mean, correlated_rate
from analysis.statistics.percentiles import correlated_percentiles, percentile
from tests.support.drawn import WIDTHS, faults, texts
from tests.support.sweeps import Measure, guide, write

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "tests" / "runs"
ABOUT = {
    "format": 1,
    "question": "sustained",
    "state": "ended",
    "ended_by": "schedule",
    "target": {"kind": "queue", "host": "http://127.0.0.1:40123/v2/demo", "embedded": True},
    "schedule": "steady 500s 4/s",
    "seed": 1,
    "max_in_flight": 500,
    "when_full": "wait",
    "options": {"clips": "samples", "deadline": 300.0, "runs": "runs"},
    "machine": {"cpus": 2, "cpu_model": "generic"},
}


def run(folder, took_s, *, failed=(), about=None):
    """A run of requests that are due every 0.25 s, of which the k-th took ``took_s[k]`` and those of ``failed`` failed."""
    folder.mkdir(parents=True)
    due = np.arange(len(took_s)) / 4
    outcome = np.where(np.isin(np.arange(len(took_s)), failed), "failed", "ok")
    rows = pd.DataFrame(
        {"seq": np.arange(len(took_s)), "attempt": 1, "stage": "steady", "scheduled_s": due, "outcome": outcome, "sent_s": due + 0.001}
    )
    rows.assign(done_s=due + took_s).to_csv(folder / "attempts.csv", index=False, lineterminator="\n")
    said = {"id": folder.name, "planned": len(took_s)} | ABOUT | (about or {})
    (folder / "run.json").write_text(json.dumps(said), encoding="utf-8")
    return folder


def times(seed, n=2000):
    return np.random.default_rng(seed).gamma(4.0, 0.25, n)


def queue(random, pairs, n, rho=0.8, warm=2000):
    """Response times of an M/M/1 queue, a row a run, from Lindley's recursion as a walk less its lowest point; services have mean 1."""
    gaps, services = random.exponential(1 / rho, (pairs, n + warm)), random.exponential(1.0, (pairs, n + warm))
    walk = np.cumsum(np.concatenate([np.zeros((pairs, 1)), services[:, :-1] - gaps[:, 1:]], axis=1), axis=1)
    return (walk - np.minimum.accumulate(walk, axis=1) + services)[:, warm:]


def interval(values, percent):
    return correlated_percentiles(values, (percent,))[percent]


def line(of, key, place=0):
    return next(line for line in of.pairs[place].lines if line.key == key)


# -- how much neighbours tell of each other


def test_correlation_time_of_an_autoregression():
    """x[i+1] = φ x[i] + e has τ = (1 + φ) ÷ (1 − φ), 9 for φ = 0.8."""
    random, values = np.random.default_rng(5), np.zeros(40_000)
    for place in range(1, len(values)):
        values[place] = 0.8 * values[place - 1] + random.normal()
    assert correlation_time(values) == pytest.approx(9, rel=0.2)
    assert correlation_time(values[:8192]) == pytest.approx(9, rel=0.3)
    assert correlation_time(random.normal(size=40_000)) == pytest.approx(1, abs=0.1)


def test_correlation_time_of_series_that_tell_nothing_or_all():
    assert correlation_time([3.0] * 50) == correlation_time([]) == 1.0
    assert correlation_time(np.arange(30.0)) > 6  # a burst: each later one waits longer


def test_an_interval_of_independent_values_is_as_wide_as_theory_says():
    """Of n uniform values the percentile p has the standard error sqrt(p (1 − p) ÷ n), their mean sqrt(1 ÷ 12 n)."""
    values = np.random.default_rng(3).uniform(1, 2, 20_000)
    for percent in (50, 95):
        found = interval(values, percent)
        assert found.value == np.percentile(values, percent, method="inverted_cdf")
        theory = 2 * 1.96 * (percent / 100 * (1 - percent / 100) / len(values)) ** 0.5
        assert found.upper - found.lower == pytest.approx(theory, rel=0.25)
    mean = correlated_mean(values)
    assert (mean.value, mean.upper - mean.lower) == (pytest.approx(1.5, abs=0.01), pytest.approx(2 * 1.96 / (12 * 20_000) ** 0.5, rel=0.1))


def test_values_of_which_none_tells_of_the_next_have_the_interval_of_independent_ones():
    values = np.tile([1.0, 2.0, 4.0, 3.0], 100)  # each is followed by the opposite side of the median, so τ is 1
    for percent in (50, 95):
        found, plain = interval(values, percent), percentile(np.sort(values), percent)
        assert (found.lower, found.upper) == (plain.lower, plain.upper)


def test_too_few_or_too_alike_values_are_not_given_an_interval():
    assert interval(times(1, 71), 95).basis == "n too small: 71 values, P95 needs 72"
    assert interval(times(1, 367), 99).basis == "n too small: 367 values, P99 needs 368"
    assert correlated_mean(times(1, 71)).basis == "n too small: 71 values, a mean needs 72"
    climb = interval(np.arange(1000.0), 50)
    assert climb.lower is None and climb.basis.startswith("values are correlated: 1,000 are worth 2 independent ones, P50 needs 72")


def test_an_interval_of_a_rate_covers_that_of_a_poisson_stream():
    noise, covered = np.random.default_rng(3), 0
    for _ in range(100):
        at_s = np.cumsum(noise.exponential(0.1, 1500))
        at_s = at_s[at_s < 100.0]
        found = correlated_rate(at_s, np.ones(len(at_s)), 0.0, 100.0)
        covered += found.lower <= 10.0 <= found.upper
    assert covered > 90
    few = np.arange(359.0)
    assert correlated_rate(few, np.ones(359), 0.0, 359.0).basis == "n too small: 359 answers, a rate needs 360"


def test_an_interval_of_shares_is_newcombes():
    """56 of 70 vs. 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, table II, example a, method 10); in an order that is as good as none."""
    base, candidate = (np.arange(n) * k % n < k for k, n in ((48, 80), (56, 70)))
    assert (base.sum(), candidate.sum()) == (48, 56)
    found = share_difference(base, candidate).absolute
    assert (found.value, found.lower, found.upper) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    none = share_difference(np.zeros(1000, bool), np.zeros(1000, bool))
    assert none.shown is False and none.absolute.upper == pytest.approx(3.84 / 1003.84, rel=0.01)


def test_intervals_of_their_own_add_up_in_squares():
    found = interval_difference(Interval(10.0, 9.0, 11.0, ""), Interval(12.0, 11.0, 13.0, ""))
    assert (found.absolute.value, found.absolute.lower, found.absolute.upper) == pytest.approx((2, 2 - 2**0.5, 2 + 2**0.5))
    assert found.shown and found.relative.value == pytest.approx(0.2)
    assert interval_difference(Interval(10.0, None, None, "one repeat"), Interval(12.0, 11.0, 13.0, "")).why == "base: one repeat"


# -- what a comparison says


@pytest.mark.slow
def test_a_known_difference_is_shown_with_its_size(tmp_path):
    base, slow = run(tmp_path / "base", times(1)), run(tmp_path / "slow", times(1) * 1.3, failed=range(0, 2000, 10))
    of = compare([load(base), load(slow)])
    p95 = line(of, "response_ended.p95")
    assert (p95.word, p95.of.relative.value) == ("worse", pytest.approx(0.3, abs=1e-4))
    assert p95.of.relative.lower > 0.1
    assert line(of, "response_ok.p50").word == "worse"
    assert (line(of, "share.ok").word, line(of, "share.ok").of.absolute.value) == ("worse", pytest.approx(-0.1))
    assert line(of, "share.failed").word == "worse"
    assert re.fullmatch(
        r"slow is slower than base: P95 \+\d+\.?\d* % \(\d.* % to \d.* %\)\. Fewer requests were ok: −10\.0 points \(.*\)\.",
        of.pairs[0].headline,
    )
    back = compare([load(slow), load(base)])
    assert line(back, "response_ok.p95").word == "better" and "base is faster than slow" in back.pairs[0].headline


def test_runs_of_one_kind_show_no_difference(tmp_path):
    of = compare([load(run(tmp_path / "one", times(1))), load(run(tmp_path / "two", times(2)))])
    assert of.pairs[0].headline.startswith("No difference shown between one and two: P95 ")
    assert {line.word for line in of.pairs[0].lines} == {"no difference shown"}
    assert not any(line.key.startswith("response_ended") for line in of.pairs[0].lines)  # the same as answered ok


def test_one_burst_is_one_sample():
    of = compare([load(RUNS / "burst"), load(RUNS / "burst")])
    assert of.pairs[0].headline.startswith("Cannot tell whether burst (2) differs from burst (1): n too small: 30 values, P95 needs 72")
    assert line(of, "response_ok.p50").of.why == "n too small: 30 values, P50 needs 72"
    assert line(of, "share.ok").word == "no difference shown"


def test_runs_of_one_name_under_a_long_path_have_names_of_their_own(tmp_path):
    deep = tmp_path / ("x" * 90)
    folders = [run(deep / name / "steady", times(k, 100)) for k, name in enumerate(("monday", "tuesday"))]
    labels = [side.label for side in compare([load(folder) for folder in folders]).sides]
    assert [label[0] + label[-len("/monday/steady") :] for label in labels] == ["…/monday/steady", "…tuesday/steady"]
    alike = [run(tmp_path / name / ("y" * 90), times(k, 100)) for k, name in enumerate(("a", "b"))]
    of = compare([load(folder) for folder in alike])
    assert [side.label[-6:] for side in of.sides] == ["y… (1)", "y… (2)"]
    for plot in comparison_plots(of.sides):
        assert plot.data["run"].nunique() == 2


@pytest.mark.slow
@pytest.mark.parametrize("width_in", WIDTHS)
def test_names_too_wide_for_the_key_are_cut_in_their_middle_and_stay_apart(tmp_path, monkeypatch, width_in):
    made = [run(tmp_path / f"{'W' * 60}-{k}", times(k, 100)) for k in (1, 2)]
    for plot in comparison_plots(compare([load(folder) for folder in made]).sides):
        found = {text for text, _ in texts(monkeypatch, plot, width_in)[1]}
        assert {text[-4:] for text in found if text.startswith("W")} == {"WW-1", "WW-2"}
        assert faults(monkeypatch, plot, width_in) == []
    ends = [load(run(tmp_path / f"{'W' * 25}{k}{'W' * 50}", times(k, 100))) for k in (1, 2)]
    found = {text for text, _ in texts(monkeypatch, comparison_plots(compare(ends).sides)[0], WIDTHS[1])[1]}
    assert {text[:4] for text in found if "WW" in text} == {"1: W", "2: W"}


def test_a_run_looks_the_same_in_every_figure_and_like_no_other():
    assert len({(look["color"], look["linestyle"]) for look in map(line_look, range(36))}) == 36
    assert len({(look["color"], look["marker"]) for look in map(mark_look, range(36))}) == 36


def test_a_run_keeps_its_place_where_another_has_nothing_to_draw(tmp_path):
    made = [
        run(tmp_path / "none", times(1, 40), failed=range(40)),
        run(tmp_path / "some", times(2, 40)),
        run(tmp_path / "more", times(3, 40)),
    ]
    percentiles, ecdf, over_time = comparison_plots(compare([load(folder) for folder in made]).sides)
    assert percentiles.data["place"].to_list() == [0, 1, 2] * 2
    for plot in (ecdf, over_time):
        assert dict(zip(plot.data["run"], plot.data["place"], strict=True)) == {"some": 1, "more": 2}
        axes = plot_files.draw_figure(plot, WIDTHS[0]).axes[0]
        assert [drawn.get_color() for drawn in axes.get_lines()] == [line_look(1)["color"], line_look(2)["color"]]
    assert "some n = 40, more n = 40" in percentiles.caption and "some n = 40, more n = 40" in over_time.caption


@pytest.mark.slow
def test_of_sweeps_no_figure_mixes_settings_and_no_share_has_the_warm_up(tmp_path):
    sweeps = [load(write(tmp_path / name, list(guide()), "scaling")) for name in ("one", "two")]
    of = compare([*sweeps, load(RUNS / "burst")], anyway=True)
    assert {plot.reason for plot in comparison_plots(of.sides)} == {"one of the runs is a sweep, and the figure would mix its settings"}
    for place, n in ((0, (720, 720)), (1, (720, 30))):
        assert (line(of, "share.ok", place).n, line(of, "share.ok", place).of.base) == (n, 1.0)  # each warm-up fails
    assert any(note.startswith("Both are sweeps: shares of outcomes cover all settings together") for note in of.pairs[0].notes)
    assert any(note.startswith("Only one is a sweep: each line mixes its settings") for note in of.pairs[1].notes)


def test_word_errors_are_counted_by_themselves(tmp_path):
    heard = [Measure("c1", 40, 1, 4.0, wrong_words=0.02), Measure("c2", 40, 2, 2.0)]
    of = compare([load(write(tmp_path / name, heard)) for name in ("one", "two")])
    assert (line(of, "c1.wer").n, line(of, "c1.throughput").n) == ((40, 40), (40, 40))
    rows = pd.read_csv(tmp_path / "two" / "attempts.csv")
    rows.loc[rows["scheduled_s"] > 4.0, "wer"] = np.nan
    rows.to_csv(tmp_path / "two" / "attempts.csv", index=False, lineterminator="\n")
    of = compare([load(tmp_path / name) for name in ("one", "two")])
    assert line(of, "c1.wer").n[1] < line(of, "c1.throughput").n[1] == 40


@pytest.mark.slow
def test_the_method_told_is_the_one_that_was_used(tmp_path):
    sweeps = [load(write(tmp_path / name, list(guide()), "scaling")) for name in ("one", "two")]
    plain = load(RUNS / "locust" / "plain")
    rows, of_sweeps, of_totals = (compare(pair).pairs[0].method for pair in ([load(RUNS / "burst")] * 2, sweeps, [plain, plain]))
    assert rows.startswith("Percentiles: order statistics; means and rates: Student's t;") and "one or two show one by chance" in rows
    assert of_sweeps.startswith("Settings: the difference of each sweep's own intervals") and "Zou and Donner" in of_sweeps
    assert "Student" not in of_totals and "without intervals" in of_totals


def test_sweeps_are_compared_setting_by_setting(tmp_path):
    base = write(tmp_path / "base", list(guide()), "scaling")
    slow = write(tmp_path / "slow", [replace(of, wall_s=of.wall_s * (1.5 if of.cell == "w2" else 1.0)) for of in guide()], "scaling")
    of = compare([load(base), load(slow)])
    flow = line(of, "w2.throughput")
    assert (flow.word, flow.of.relative.value) == ("worse", pytest.approx(1 / 1.5 - 1))
    assert line(of, "w1.throughput").word == line(of, "w3.throughput").word == "no difference shown"
    assert of.pairs[0].headline.startswith("slow differs from base in throughput at 1 of 3 settings: w2 −33.3 % (")
    assert not any(line.key.startswith("response_ok") for line in of.pairs[0].lines)  # they would mix the settings


def test_plain_totals_are_compared_without_intervals():
    plain = load(RUNS / "locust" / "plain")
    of = compare([plain, plain])
    assert "so the variation of a figure is unknown" in of.pairs[0].headline
    assert {line.word for line in of.pairs[0].lines} == {"cannot tell"}
    assert (line(of, "p95").of.base, line(of, "share.failed").of.base) == (1.0, 0.07)
    assert {"mean", "max", "requests_per_s"} <= {line.key for line in of.pairs[0].lines}
    with pytest.raises(RunError, match="has only Locust's totals, and burst has rows"):
        compare([plain, load(RUNS / "burst")], anyway=True)


# -- what is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"question": "burst"}, "question (sustained vs. burst)"),
        ({"schedule": "steady 9s 9/s"}, "schedule (steady 500s 4/s vs. steady 9s 9/s)"),
        ({"target": ABOUT["target"] | {"kind": "balancer"}}, "kind of endpoint (queue vs. balancer)"),
        ({"target": ABOUT["target"] | {"embedded": False}}, "embedded endpoint (true vs. false)"),
        ({"options": ABOUT["options"] | {"clips": "mine"}}, "--clips (samples vs. mine)"),
        ({"machine": {"cpus": 8, "cpu_model": "generic"}}, "cores of the generator (2 vs. 8)"),
        ({"generators": [{"name": "g1"}, {"name": "g2"}]}, "load generators (1 vs. 2)"),
        ({"max_in_flight": None}, "--max-in-flight (500 vs. not recorded)"),
    ],
)
def test_other_circumstances_are_refused_and_named(tmp_path, changed, said):
    runs = [load(run(tmp_path / "one", times(1, 100))), load(run(tmp_path / "two", times(2, 100), about=changed))]
    with pytest.raises(RunError, match=re.escape(f"one and two are different tests: {said}; to compare anyway, add --anyway")):
        compare(runs)
    assert compare(runs, anyway=True).pairs[0].warnings == (f"one and two are different tests: {said}",)


def test_what_need_not_matter_is_told(tmp_path):
    released = [{"platform": {"release": {"version": n, "image": "me/worker:7"}}} for n in (3, 4)]
    other = released[1] | {
        "seed": 2,
        "target": ABOUT["target"] | {"host": "https://other"},
        "options": {"clips": "samples", "deadline": 300.0, "ttl": 5},
    }
    of = compare([load(run(tmp_path / "one", times(1, 100), about=released[0])), load(run(tmp_path / "two", times(2, 100), about=other))])
    notes = " ".join(of.pairs[0].notes)
    assert of.pairs[0].warnings == ()
    assert "the seed (1 vs. 2)" in notes and "the host (http://127.0.0.1:40123/v2/demo vs. https://other)" in notes
    assert "The runs differ in the release of the endpoint (3 vs. 4)." in notes
    assert "image of the endpoint" not in notes
    assert "1 option recorded in one run only, and not compared: ttl." in notes


def test_an_invalid_run_is_refused(tmp_path):
    runs = [load(run(tmp_path / "one", times(1, 100))), load(run(tmp_path / "two", times(2, 100), about={"planned": 101}))]
    with pytest.raises(RunError, match="two is invalid: The ledger does not balance: 1 of 101 planned requests are missing"):
        compare(runs)
    assert "two is invalid" in compare(runs, anyway=True).pairs[0].warnings[0]


# -- the command


@pytest.mark.slow
def test_the_command_writes_page_text_and_json(tmp_path, capsys):
    hostile = "<script>alert(1)</script> |x"
    base, other = run(tmp_path / "base", times(1)), run(tmp_path / "other", times(2), about={"id": hostile, "seed": 7})
    assert main(["compare", str(base), str(other)]) == 0
    lines, folder = capsys.readouterr().out.splitlines(), other / "compare-base"
    assert lines[0].startswith(f"No difference shown between base and {hostile}")
    assert lines[-1] == f"comparison: {folder / 'index.html'}"
    page, text = ((folder / name).read_text(encoding="utf-8") for name in ("index.html", "compare.md"))
    assert "<script" not in page + text and "&lt;script&gt;" in page
    assert not re.search(r"(?:src|href)=\"(?!#|figures/)", page)
    assert all((folder / link).is_file() for link in re.findall(r'href="(figures/[^"]+)"', page))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1
    found = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    p95 = next(line for line in found["candidates"][0]["lines"] if line["key"] == "response_ok.p95")
    assert p95["n"] == [2000, 2000] and p95["base"] == pytest.approx(np.percentile(times(1), 95, method="inverted_cdf"), abs=1e-6)
    assert p95["difference"]["lower"] < 0 < p95["difference"]["upper"]
    drawn = pd.read_csv(folder / "figures" / "compare_percentiles.csv")
    assert drawn["value_s"].iloc[2] == pytest.approx(p95["base"]) and drawn["lower_s"].notna().all()


def test_the_command_refuses_in_one_sentence(tmp_path, capsys):
    assert main(["compare", str(RUNS / "burst"), str(RUNS / "mixed"), "--out", str(tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "question (burst vs. steady)" in said.err and "mixed is invalid" in said.err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_the_command_as_a_process_compares_anyway_and_says_so_on_top(tmp_path):
    runs, page = [RUNS / name for name in ("burst", "mixed", "burst")], tmp_path / "out" / "index.html"
    command = [sys.executable, "-W", "error", "-m", "analysis", "compare", *runs, "--anyway", "--quiet", "--out", tmp_path / "out"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"comparison: {page}\n", "")
    text = page.read_text(encoding="utf-8")
    assert text.index("Compared despite warnings") < text.index("<h2>Figures</h2>")


# -- how often it is right


@pytest.mark.nightly
@pytest.mark.parametrize(("percent", "power"), [(50, 0.85), (95, 0.4)])
def test_a_difference_is_seldom_shown_where_there_is_none_and_mostly_where_one_is(percent, power):
    """200 pairs of an M/M/1 queue at 80 % utilisation, 20,000 requests each, where intervals for independent requests are false."""
    runs, alarms, found, told = queue(np.random.default_rng(11), 400, 20_000), 0, 0, 0
    for place in range(200):
        base, candidate = (interval(runs[2 * place + k], percent) for k in (0, 1))
        shown = interval_difference(base, candidate).shown
        told += shown is not None
        alarms += shown is True
        slower = interval(runs[2 * place + 1] * 1.3, percent)
        found += interval_difference(base, slower).shown is True
    print(f"P{percent}: told {told}, false alarms {alarms}, 30 % slower found {found}, of 200")
    assert told >= 190
    assert alarms <= 10
    assert found >= power * 200


@pytest.mark.nightly
def test_where_a_run_is_too_short_for_its_queue_nothing_is_told():
    runs = queue(np.random.default_rng(12), 100, 500)
    assert sum(interval(values, 95).lower is not None for values in runs) <= 2
