"""The gate: objectives of ended runs against known answers, and what a CI service is told of them."""

import json
import random
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.gate import gate as gate_module
from analysis.gate.gate import JUnitCase, gate, junit, summary, terminal
from analysis.report.metrics_json import metrics
from analysis.report.report import report
from analysis.runs.load import RunError, load
from analysis.text.number_format import seconds
from coldburst.record import exit_codes
from coldburst.record.attempt import COLUMNS, Attempt, line, row_line
from coldburst.record.objectives import objectives

RUNS = Path(__file__).parents[1] / "runs"
HOSTILE = "<script>alert(1)</script> =cmd|' /C calc'!A0 \x00\x1b[31m \U0001f600 [x](http://x) `tick` a|b &amp;"


def made(folder, took, outcome="ok", **about):
    """A run of a request a second, each answered after its own of ``took`` seconds, with a lateness of 1 ms."""
    folder.mkdir(parents=True)
    rows = [
        Attempt(seq, 1, "steady", float(seq), outcome, held_s=0.0, sent_s=seq + 0.001, done_s=seq + took_s)
        for seq, took_s in enumerate(took)
    ]
    text = line(column.name for column in COLUMNS) + "".join(map(row_line, rows))
    (folder / "attempts.csv").write_text(text, encoding="utf-8")
    record = {
        "format": 1, "id": folder.name, "question": "sustained", "state": "ended", "ended_by": "schedule", "elapsed_s": 120.0,
        "schedule": "steady", "planned": len(rows), "target": {"kind": "transcription"},
    } | about  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def asked(*texts, baseline=None, **more):
    return objectives({"objective": [{"that": text, **more} for text in texts], "baseline": baseline or {}})


def states(run, *texts, **more):
    """What became of each objective, in a line each."""
    return [one.sentence for one in gate(run, asked(*texts, **more)).results]


HUNDREDTHS = random.Random(1).sample([(k + 1) / 100 for k in range(100)], 100)
"""P50 0.50 s, P95 0.95 s, mean 0.505 s, largest 1 s; the P95's interval reaches from about 0.9 s to about 0.99 s."""


@pytest.fixture
def even(tmp_path):
    return load(made(tmp_path / "even", HUNDREDTHS))


def test_percentiles_are_those_of_the_report_and_say_when_they_are_not_sure(even):
    assert states(even, "p50 < 2 s", "p95 < 2 s", "max <= 1 s", "mean < 500 ms") == [
        "met: 500 ms",
        "met: 950 ms",
        "met: 1.00 s",
        "missed: 505 ms",
    ]
    ends = report(even).tables.response["ok"].at(95)
    unsure = f"cannot tell: 950 ms (the interval includes the limit: {seconds(ends.lower)} to {seconds(ends.upper)})"
    assert states(even, "p95 < 960 ms", "p95 < 940 ms", "p95 < 1 s", "p95 < 0.9 s") == [unsure, unsure, "met: 950 ms", "missed: 950 ms"]


def test_what_n_cannot_support_is_not_told_and_fails_unless_it_may_be_missing(tmp_path):
    run = load(made(tmp_path / "few", sorted(HUNDREDTHS)[:19]))
    found = gate(run, asked("p95 < 2 s"))
    assert found.results[0].sentence == "cannot tell (n = 19 is too small: the P95 would be the maximum, 190 ms)"
    assert found.code == exit_codes.UNTOLD
    assert gate(run, asked("p95 < 2 s", may_be_missing=True)).code == exit_codes.GOOD
    more = load(made(tmp_path / "more", sorted(HUNDREDTHS, reverse=True)[80:]))
    assert states(more, "p95 < 2 s")[0].startswith("met: 190 ms (no interval: ")


QUEUE = [  # tests/runs/queue: 36 planned, 32 ok, 4 queue time-outs, 3 cold starts of 8.2, 7.7 and 10.1 s
    ("success > 50 %", "met: 88.9 %"),
    ("queue_timeouts == 0", "missed: 4"),
    ("queue_timeouts < 50 %", "met: 11.1 %"),
    ("failed == 0", "met: 0"),
    ("missing == 0", "met: 0"),
    ("generators_lost == 0", "met: 0"),
    ("cold_share < 50 %", "met: 9.38 %"),
    ("cold_start_p50 < 10 s", "met: 8.20 s"),
    ("queue_p50 < 1 s", "missed: 48.1 s"),
    ("execution_max <= 12 s", "met: 12.0 s"),
    ("service_p50 < 200 s", "met: 60.1 s"),
    ("lateness_max < 20 ms", "met: 1.00 ms"),
    ("throughput > 0.1 /s", "met: 0.127 per s"),
    ("offered > 1", "missed: 0.138 per s"),
    ("units_per_s > 1", "cannot tell (no ok answer has units: name them with --unit, as in images='length(output.images)')"),
    ("real_time_factor > 1", "cannot tell (no audio duration is recorded)"),
    ("wer < 5 %", "cannot tell (no word error rate was measured)"),
    ("efficiency > 90 %", "cannot tell (this run is not a sweep: measure the efficiency with locustfiles/scaling.py)"),
    ("cost < 1", "cannot tell (the price is unknown: give --price, as in --price 4090)"),
    ("verdict == valid", "met: valid"),
]


def test_every_kind_of_metric_of_a_run():
    found = states(load(RUNS / "queue"), *(text for text, _ in QUEUE))
    assert [(text, one.partition(" (no interval: ")[0]) for (text, _), one in zip(QUEUE, found, strict=True)] == QUEUE


def test_audio_and_words(tmp_path):
    run = load(RUNS / "burst")
    run = replace(run, attempts=run.attempts.assign(wer=[0.1] * 15 + [0.3] * 15))
    assert gate(run, asked("wer < 25 %")).results[0].found.value == pytest.approx(0.2)
    assert gate(run, asked("real_time_factor > 0.1 x")).results[0].state == "met"


@pytest.mark.slow
def test_cost_is_worker_seconds_times_the_price(even):
    """Two workers paid for from 0 to 50 s, one from 50 s to 120 s: 170 worker-seconds at 0.001 USD; 100 answers were ok."""
    endpoint = pd.DataFrame(
        {"at_s": [0.0, 10.0, 50.0], "view": ["workers", "health", "workers"], "error": "", "initializing": [1, 9, 0], "idle": [0, 9, 1],
         "running": [1, 9, 0], "throttled": 5, "unhealthy": 5}
    )  # fmt: skip
    run = replace(even, endpoint=endpoint, about=even.about | {"options": {"price": "0.001"}})
    cost, each = gate(run, asked("cost < 0.2 USD", "cost_per_1000 < 0.40")).results
    assert (cost.found.value, cost.state) == (pytest.approx(0.17), "met")
    assert (each.found.value, each.sentence) == (pytest.approx(1.7), "missed: 1.70 USD")
    for at_s in ([5.0, 10.0, 50.0], [-9.0, -5.0, 50.0]):  # the first answer holds back to second 0; nothing before it counts
        moved = replace(run, endpoint=endpoint.assign(at_s=at_s))
        assert gate(moved, asked("cost < 0.2 USD")).results[0].found.value == pytest.approx(0.17)
    counted = replace(run, attempts=run.attempts.assign(units=2.0), about=run.about | {"options": {"price": "0.001", "unit": "tokens=a"}})
    assert states(counted, "usd_per_unit < 1e-3") == ["met: 0.00085 USD"]
    unlisted = replace(even, about=run.about)
    assert states(unlisted, "cost < 1") == ["cannot tell (the endpoint did not list its workers, so their running time is unknown)"]


@pytest.mark.slow
def test_of_a_sweep_the_smallest_efficiency_and_what_its_setting_has():
    run = load(RUNS / "sweep-scaling")
    least, chosen, mixed = gate(run, asked("efficiency > 94 %", "p95 < 1 s", "queue_p95 < 1 s")).results
    assert (least.found.value, least.state, least.found.of) == (pytest.approx(29.8 / 10.5 / 3, abs=1e-3), "met", "w3")
    assert (chosen.state, chosen.found.of) == ("met", "w3")
    assert mixed.sentence == "cannot tell (this run is a sweep: the metric would mix its settings and the warm-up)"


def test_plain_locust_totals_tell_little():
    found = gate(load(RUNS / "locust" / "plain"), asked("p95 < 2 s", "success > 50 %", "queue_timeouts == 0"))
    assert [one.sentence for one in found.results] == [
        "met: 1.00 s (failures included)",
        "met: 93 %",
        "cannot tell (Locust's totals do not have it: name a run directory)",
    ]


def test_locusts_totals_without_a_request_tell_nothing():
    run = load(RUNS / "locust" / "plain")
    stats = run.totals.stats
    nothing = stats.assign(**{name: 0 for name in stats.columns if name not in ("Type", "Name")})
    empty = replace(run, totals=replace(run.totals, stats=nothing))
    assert states(empty, "mean < 2 s", "max < 2 s", "p95 < 2 s", "success > 50 %") == ["cannot tell (nothing was sent)"] * 4


def test_of_more_rows_than_were_planned_no_share_and_no_missing_is_told(even):
    surplus = replace(even, about=even.about | {"planned": 98})
    assert states(surplus, "missing == 0", "missing < 5 %", "success > 95 %") == ["cannot tell (2 more requests than planned)"] * 3
    assert states(replace(even, about=even.about | {"planned": 101}), "missing == 0") == ["missed: 1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factor", "limits", "state", "moved"),
    [
        (1.0, {"p95": "+20 %"}, "met", "+0 %"),
        (1.0, {"p95": "+1 %"}, "cannot tell", "+0 %"),
        (1.5, {"p95": "+10 %"}, "missed", "+50 %"),
        (1.2, {"p95": "+25%"}, "cannot tell", "+20 %"),
        (0.5, {"p95": "+ 0 %"}, "met", "-50 %"),
    ],
)
def test_a_limit_against_a_baseline(tmp_path, even, factor, limits, state, moved):
    slower = load(made(tmp_path / "slower", [took_s * factor for took_s in HUNDREDTHS]))
    (one,) = gate(slower, asked(baseline=limits), even).results
    assert (one.state, one.remark.partition(";")[0]) == (state, moved)
    codes = {"met": exit_codes.GOOD, "missed": exit_codes.MISSED, "cannot tell": exit_codes.UNTOLD}
    assert gate(slower, asked(baseline=limits), even).code == codes[state]


@pytest.mark.slow
def test_more_is_better_of_a_throughput(tmp_path, even):
    fewer = load(made(tmp_path / "fewer", [*HUNDREDTHS[:90], *(k + 20.0 for k in range(10))]))
    for limits, state in (({"throughput": "-5 %"}, "missed"), ({"throughput": "-40 %"}, "met")):
        (one,) = gate(fewer, asked(baseline=limits), even).results
        assert one.state == state


@pytest.mark.slow
def test_another_test_is_no_baseline(tmp_path, even):
    other = load(made(tmp_path / "other", HUNDREDTHS, schedule="burst 100"))
    (one,) = gate(even, asked(baseline={"p95": "+10 %"}), other).results
    assert one.sentence == "cannot tell (the baseline was a different test: schedule (burst 100 vs. steady))"
    assert not one.passes
    (one,) = gate(even, asked(baseline={"p95": "+20 %"}), other, anyway=True).results
    assert (one.state, one.passes) == ("met", True)
    assert one.remark.endswith("the baseline was a different test: schedule (burst 100 vs. steady)")
    with pytest.raises(RunError, match="name that run with --baseline"):
        gate(even, asked(baseline={"p95": "+10 %"}))


@pytest.mark.slow
def test_the_verdict_comes_before_the_objectives_where_it_is_invalid_and_after_them_where_it_is_degraded(even):
    unbalanced = replace(even, about=even.about | {"planned": 101})
    cut = replace(even, about=even.about | {"ended_by": "Ctrl-C"})
    for run, text, code in (
        (unbalanced, "p95 < 2 s", exit_codes.INVALID),
        (unbalanced, "p95 < 1 ms", exit_codes.INVALID),
        (cut, "p95 < 2 s", exit_codes.DEGRADED),
        (cut, "p95 < 1 ms", exit_codes.MISSED),
        (even, "p95 < 1 ms", exit_codes.MISSED),
        (even, "p95 < 2 s", exit_codes.GOOD),
    ):
        assert gate(run, asked(text)).code == code
    assert gate(unbalanced, asked("p95 < 2 s"), by_verdict=False).code == exit_codes.GOOD
    assert gate(unbalanced, asked("verdict == valid"), by_verdict=False).code == exit_codes.MISSED


def test_a_run_that_was_stopped_for_an_objective_has_missed_it(even):
    stopped = replace(even, about=even.about | {"ended_by": "objective missed: p95 < 2 s"})
    assert states(stopped, "p95 < 2 s", "p50 < 2 s") == ["missed: 950 ms (the run was stopped early for it)", "met: 500 ms"]


def test_junit_says_what_the_gate_says(even):
    found = gate(even, asked("p95 < 2 s", "p95 < 1 ms", "wer < 5 %"))
    cases = [*found.cases[:3], replace(found.cases[3], state="skipped")]
    root = ElementTree.fromstring(junit(HOSTILE, cases, 12.5))
    (suite,) = root
    assert root.tag == "testsuites"
    assert (suite.tag, suite.get("name")) == ("testsuite", " ".join(HOSTILE.replace("\x00", " ").replace("\x1b", " ").split()))
    for of in (root, suite):
        counts = {name: of.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
        assert counts == {"tests": "4", "failures": "1", "errors": "0", "skipped": "1", "time": "12.500"}
    assert [case.get("name") for case in suite] == ["the figures can be trusted", "p95 < 2 s", "p95 < 1 ms", "wer < 5 %"]
    assert [[part.tag for part in case] for case in suite] == [["system-out"], ["system-out"], ["failure"], ["skipped"]]
    assert suite[2][0].get("message") == "missed: 950 ms, limit < 1 ms"
    assert all(case.get("classname") and case.get("time") is not None for case in suite)


def test_hostile_text_is_text_in_the_xml_and_in_the_summary(even):
    root = ElementTree.fromstring(junit("run", [JUnitCase(HOSTILE, "failure", HOSTILE)], 0.0))
    assert "<script>alert(1)</script>" in root[0][0].get("name")
    run = replace(even, about=even.about | {"id": HOSTILE, "objectives": [{"that": HOSTILE}]})
    text = summary(gate(run, asked("p95 < 2 s")))
    assert "<script" not in text
    assert not {"`", "[", "\x1b", "\x00"} & set(text)
    assert "http://" not in text
    rows = [row for row in text.splitlines() if row.startswith("|")]
    assert all(row.count("|") == 4 for row in rows)  # a cell holds no line of its own
    assert len(rows) == 4


def test_the_command_ends_with_the_code_and_writes_what_it_was_told_to(tmp_path, capsys):
    run = made(tmp_path / "even", HUNDREDTHS)
    good, wrong = tmp_path / "good.toml", tmp_path / "wrong.toml"
    good.write_text('[[objective]]\nthat = "p95 < 2 s"\n', encoding="utf-8")
    wrong.write_text('[[objective]]\nthat = "p95 < 1 ms"\n', encoding="utf-8")
    junit_file, page = tmp_path / "junit.xml", tmp_path / "summary.md"
    page.write_text("before\n", encoding="utf-8")
    words = ["gate", str(run), "--junit", str(junit_file), "--summary", str(page), "--objectives"]
    assert main([*words, str(good)]) == exit_codes.GOOD
    assert capsys.readouterr().out.splitlines()[0] == "even: passed, 2 of 2 hold"
    assert main([*words, str(wrong)]) == exit_codes.MISSED
    assert "  FAILED  p95 < 1 ms: missed: 950 ms, limit < 1 ms" in capsys.readouterr().out
    assert ElementTree.parse(junit_file).getroot().get("failures") == "1"
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n### ✅ Load test even\n")
    assert "### ❌ Load test even\n" in text


def test_without_a_file_the_runs_own_objectives_are_asked_after(tmp_path, capsys):
    run = made(tmp_path / "own", HUNDREDTHS, objectives=[{"that": "p95 < 1 ms", "abort": False, "after": 30, "may_be_missing": False}])
    assert main(["gate", str(run)]) == exit_codes.MISSED
    assert "p95 < 1 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--objectives", "{there}/nothing.toml"], "nothing.toml: No such file or directory: name a file of objectives"),
        ([], "has no objectives: name a file with --objectives objectives.toml"),
        (
            ["--objectives", "{there}/good.toml", "--junit", "{there}/no/junit.xml"],
            "junit.xml cannot be written: No such file or directory; name a file in a writable directory",
        ),
        (["--objectives", "{there}/good.toml", "--baseline", "{there}/nowhere"], "no such run"),
        (
            ["--objectives", "{there}/good.toml", "--baseline", "{there}/even"],
            "--baseline needs limits against it: a table [baseline] in --objectives FILE",
        ),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_code_2(tmp_path, capsys, words, sentence):
    run = made(tmp_path / "even", HUNDREDTHS)
    (tmp_path / "good.toml").write_text('[[objective]]\nthat = "p95 < 2 s"\n', encoding="utf-8")
    assert main(["gate", str(run), *(word.format(there=tmp_path) for word in words)]) == exit_codes.NOTHING_SENT
    said = capsys.readouterr()
    assert sentence in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.slow
def test_the_verdict_can_be_left_out_by_option_and_environment(tmp_path, monkeypatch, capsys):
    run = made(tmp_path / "cut", HUNDREDTHS, ended_by="Ctrl-C", objectives=[{"that": "p95 < 2 s"}])
    assert main(["gate", str(run)]) == exit_codes.DEGRADED
    assert main(["gate", str(run), "--exit-code-on-verdict", "no"]) == exit_codes.GOOD
    monkeypatch.setenv(gate_module.VERDICT_VARIABLE, "no")
    assert main(["gate", str(run)]) == exit_codes.GOOD
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "the figures can be trusted: degraded" in line]
    assert words == ["FAILED", "--", "--"]
    monkeypatch.setenv(gate_module.VERDICT_VARIABLE, "")
    assert main(["gate", str(run)]) == exit_codes.DEGRADED
    monkeypatch.setenv(gate_module.VERDICT_VARIABLE, "No")
    assert main(["gate", str(run)]) == exit_codes.NOTHING_SENT
    assert "COLDBURST_EXIT_CODE_ON_VERDICT is 'No', but must be yes or no" in capsys.readouterr().err


@pytest.mark.parametrize(
    "said", ["p95", {"that": "p95 < 2 s"}, [1], [{"that": "p95 < 2 furlongs"}], [{"that": "x" * 1_000_000}], [{"that": HOSTILE}]]
)
def test_objectives_in_run_json_that_are_none_are_told_and_pass_no_gate(even, said):
    made_report = report(replace(even, about=even.about | {"objectives": said}))
    (told,) = metrics(made_report.tables, made_report.verdict)["objectives"]
    assert (told["state"], told["passes"]) == ("cannot tell", False)
    assert told["remark"].startswith("run.json: ")
    assert len(told["remark"]) < 300


def test_the_terminal_names_each_result(even):
    text = terminal(gate(even, asked("p95 < 2 s", "wer < 5 %", may_be_missing=True)))
    assert text.splitlines() == [
        "even: passed, 2 of 3 hold, 1 skipped",
        "  ok      the figures can be trusted: valid",
        "  ok      p95 < 2 s: met: 950 ms",
        "  --      wer < 5 %: cannot tell (no word error rate was measured)",
        "exit code 0",
    ]
