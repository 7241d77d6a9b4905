"""Each rule of the verdict, on both sides of its limit, from runs that differ in that one thing."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.report.card import AGAIN, card
from analysis.report.report import report
from analysis.runs.load import load
from analysis.tables.run_tables import Tables
from analysis.verdict.verdict import judge, lateness_limit_s

RUNS = Path(__file__).parents[1] / "runs"


@pytest.fixture(scope="module")
def burst():
    return load(RUNS / "burst")


def verdict(run, about=None, generator=None, **columns):
    run = replace(run, about=run.about | (about or {}), attempts=run.attempts.assign(**columns))
    run = run if generator is None else replace(run, generator=generator)
    return judge(run, Tables(run))


def late(run, by_s):
    """Sent ``by_s`` after the due instant, and answered a second after that: the limit is 5 % of 1 s."""
    due = pd.Series(range(len(run.attempts)), dtype=float)
    return {"scheduled_s": due, "held_s": 0.0, "sent_s": due + by_s, "done_s": due + by_s + 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(("in_time", "state"), [(19, "valid"), (18, "degraded")])
def test_a_rate_that_the_in_flight_cap_does_not_let_through_is_degraded(burst, in_time, state):
    """Of 20 requests in 20 s, some are held until more than 1 s after the last was due."""
    due = pd.Series(range(20), dtype=float)
    held = pd.Series([0.0] * in_time + [25.0] * (20 - in_time))
    rows = burst.attempts.head(20).assign(stage="steady", scheduled_s=due, held_s=held, sent_s=due + held, done_s=due + held + 1.0)
    about = {"planned": 20, "stages": [{"name": "steady", "planned": 20, "duration_s": 20.0, "closed": False}]}
    run = replace(burst, about=burst.about | about, attempts=rows)
    found = judge(run, Tables(run))
    assert found.state == state
    assert [reason for reason in found.reasons if "only 90 % of its requests left during the stage" in reason] == list(found.reasons)
    for unrated in (
        {"name": "steady", "planned": 20, "duration_s": None, "closed": False},
        {"name": "steady", "planned": 20, "closed": False},
    ):
        without = replace(run, about=run.about | {"stages": [unrated]})
        assert judge(without, Tables(without)).state == "valid"


def test_requests_without_data_are_told_with_their_line(burst):
    rows = burst.attempts.head(20)
    rows = rows.assign(outcome=["ok"] * 19 + ["not_sent"], sent_s=rows["sent_s"].where(rows.index < rows.index[-1]))
    rows = rows.assign(error=[None] * 19 + ["'rows.jsonl', line 20: no column 'a'"])
    run = replace(burst, about=burst.about | {"planned": 20}, attempts=rows)
    assert (
        "1 request had an error before anything was sent, such as 'rows.jsonl', line 20: no column 'a'." in judge(run, Tables(run)).reasons
    )


def test_what_never_left_is_no_part_of_the_rate(burst):
    """Of 20 due in 20 s the cap let 10 leave, all within the stage; the end of the run came before the others' turn."""
    due = pd.Series(range(20), dtype=float)
    sent = due.where(due < 10)
    rows = burst.attempts.head(20).assign(
        stage="steady", scheduled_s=due, held_s=due, sent_s=2 * sent, done_s=2 * sent + 0.5, outcome=["ok"] * 10 + ["not_sent"] * 10
    )
    stage = {"name": "steady", "planned": 20, "duration_s": 20.0, "closed": False}
    run = replace(burst, about=burst.about | {"planned": 20, "stages": [stage]}, attempts=rows)
    assert [reason.partition(":")[0] for reason in judge(run, Tables(run)).reasons] == ["10 requests never left"]


def cpu(run, full_seconds):
    return pd.DataFrame(
        {"at_s": range(100), "generator": "local", "in_flight": 1.0, "cpu": [0.95] * full_seconds + [0.2] * (100 - full_seconds)}
    )


def test_a_clean_burst_of_30_has_a_note_on_its_p95_only_without_queue_times(burst):
    found = verdict(burst)
    assert (found.state, found.reasons) == ("valid", ())
    assert not any("confidence interval" in note for note in found.notes)
    unknown = verdict(burst, queue_s=float("nan"))
    assert unknown.notes[0].startswith("The P95 has no interval: the answers of a burst share one queue")


def test_a_missing_row_makes_an_ended_run_invalid_and_a_killed_one_degraded(burst):
    found = verdict(burst, {"planned": 31})
    assert found.state == "invalid"
    assert "1 of 31 planned requests are missing" in found.reasons[0]
    killed = verdict(burst, {"planned": 31, "state": "running", "ended_by": None})
    assert (killed.state, len(killed.reasons)) == ("degraded", 1)
    assert "no recorded end" in killed.reasons[0]


def test_more_rows_than_were_planned_are_invalid(burst):
    found = verdict(burst, {"planned": 29})
    assert found.state == "invalid"
    assert "1 more requests than the 29 planned" in found.reasons[0]


@pytest.mark.parametrize(("by_s", "state"), [(0.024, "valid"), (0.026, "degraded"), (0.049, "degraded"), (0.051, "invalid")])
def test_lateness_is_judged_against_five_percent_of_the_service_time(burst, by_s, state):
    found = verdict(burst, **late(burst, by_s))
    assert found.state == state
    assert ["P99 send delay" in reason for reason in found.reasons] == [True] * (state != "valid")


def test_the_limit_is_never_below_20_ms(burst):
    fast = replace(burst, attempts=burst.attempts.assign(done_s=burst.attempts["sent_s"] + 0.01))
    assert lateness_limit_s(Tables(fast)) == 0.020


@pytest.mark.parametrize(("full_seconds", "state"), [(10, "valid"), (11, "invalid")])
def test_a_full_core_for_more_than_a_tenth_of_the_seconds_is_invalid(burst, full_seconds, state):
    assert verdict(burst, generator=cpu(burst, full_seconds)).state == state


def test_one_overloaded_generator_among_idle_ones_is_found(burst):
    busy, idle = cpu(burst, 50), cpu(burst, 0)
    many = pd.concat([busy.assign(generator="b"), *(idle.assign(generator=name) for name in "acdefg")])
    found = verdict(burst, generator=many)
    assert found.state == "invalid"
    assert "'b' used more than 90 % of a core in 50 % of its seconds (limit 10 %)" in found.reasons[0]


@pytest.mark.slow
def test_one_second_alone_is_the_start_of_each_generator(burst):
    """A generator that came late has one second, full as each first one is; two full ones are no start."""
    idle, late = cpu(burst, 0), cpu(burst, 2).assign(generator="late")
    assert verdict(burst, generator=pd.concat([idle, late.head(1)])).state == "valid"
    assert verdict(burst, generator=late.head(1)).state == "valid"
    found = verdict(burst, generator=pd.concat([idle, late.head(2)]))
    assert "'late' used more than 90 % of a core in 100 % of its seconds" in found.reasons[0]


def test_nothing_sent_is_invalid(burst):
    found = verdict(burst, sent_s=float("nan"), done_s=float("nan"), outcome="not_sent")
    assert found.state == "invalid"
    assert found.reasons[0].startswith("No request was sent")


@pytest.mark.parametrize(("outcome", "status"), [("failed", 500), ("queue_timeout", 400), ("wrong", 200)])
def test_no_answer_ok_is_degraded_and_says_so_first(burst, outcome, status):
    found = verdict(burst, outcome=outcome, status=status)
    assert found.state == "degraded"
    assert found.reasons == (
        "No answer was ok (30 attempts sent), so there is no response time: find the cause in the outcomes and errors.",
    )


UNREACHED = {"outcome": "unreachable", "status": float("nan"), "error": "[Errno 111] Connection refused"}
REFUSED = {"outcome": "refused", "status": 401, "error": "401: no key"}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (UNREACHED, "No request was answered (30 attempts sent), so nothing was measured: [Errno 111] Connection refused"),
        (REFUSED, "Every answer refused the key, so nothing was measured: 401: no key"),
        (
            REFUSED | {"status": 404, "error": "404: no such route"},
            "Every request was refused, so nothing was measured: 404: no such route. ",
        ),
    ],
)
def test_a_run_that_measured_nothing_is_invalid(burst, columns, reason):
    found = verdict(burst, **columns)
    assert found.state == "invalid" and len(found.reasons) == 1
    assert found.reasons[0].startswith(reason)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"outcome": "unfinished", "status": float("nan"), "error": ""}, "The run was cut before the first answer (30 attempts sent), so "),
        (
            {"outcome": "not_sent", "sent_s": float("nan"), "error": ""},
            "No request was sent, so nothing was measured: the run was ended first (Ctrl-C).",
        ),
    ],
)
def test_a_run_cut_before_it_measured_anything_is_invalid_for_that_reason(burst, columns, reason):
    found = verdict(burst, {"ended_by": "Ctrl-C"}, **columns)
    assert found.state == "invalid"
    assert found.reasons[0].startswith(reason) and "--host" not in found.reasons[0]


@pytest.mark.parametrize(("outcome", "again"), [("failed", True), ("ok", False)])
def test_a_run_without_an_ok_answer_is_to_be_mended_and_not_compared(burst, outcome, again):
    found = report(replace(burst, attempts=burst.attempts.assign(outcome=outcome)))
    assert (card(found.headline, found.tables, found.verdict, found.confidence, None).step == AGAIN) is again


def test_one_answer_is_a_measurement(burst):
    assert verdict(burst, **UNREACHED | {"status": [500.0] + [float("nan")] * 29}).state == "degraded"
    assert verdict(burst, **REFUSED | {"outcome": ["failed"] + ["refused"] * 29}).state == "degraded"
    assert verdict(burst, **REFUSED | {"outcome": ["ok"] + ["refused"] * 29}).state == "valid"


def test_an_accepted_job_is_an_answer(burst):
    given_up = UNREACHED | {"outcome": "abandoned"}
    assert verdict(burst, {"target": {"kind": "queue"}}, **given_up).state == "degraded"
    assert verdict(burst, {"target": {"kind": "transcription"}}, **given_up).state == "invalid"


@pytest.mark.parametrize("ended_by", ["stop", "Ctrl-C", "SIGTERM", "disk full", None])
def test_a_run_cut_short_is_degraded(burst, ended_by):
    found = verdict(burst, {"ended_by": ended_by})
    assert found.state == "degraded"
    assert f"({ended_by})" in found.reasons[0]


@pytest.mark.parametrize("outcome", ["unfinished", "not_sent"])
def test_requests_without_an_end_degrade(burst, outcome):
    outcomes = burst.attempts["outcome"].where(burst.attempts["seq"] < 28, outcome)
    found = verdict(burst, outcome=outcomes)
    assert found.state == "degraded"
    assert found.reasons[0].startswith("2 requests")


def test_a_ledger_on_record_that_differs_from_the_rows_is_told(burst):
    assert not any("differs" in note for note in verdict(burst).notes)
    assert any("differs" in note for note in verdict(burst, {"ledger": {"planned": 30, "counts": {"ok": 29}}}).notes)


def test_locusts_totals_are_degraded_and_say_what_they_cannot_tell():
    run = load(RUNS / "locust" / "plain")
    found = judge(run, Tables(run))
    assert found.state == "degraded"
    told = " ".join(found.notes)
    assert all(word in told for word in ("no ledger", "include failures", "two digits", "--csv-full-history"))


def test_answers_that_a_queue_ties_together_get_one_note_and_independent_ones_another(burst):
    stage = {"stages": [{"name": "burst", "planned": 30, "duration_s": 30.0, "closed": False}]}

    def notes(response_s):
        found = verdict(burst, stage, scheduled_s=0.0, held_s=0.0, sent_s=0.0, done_s=response_s, queue_s=float("nan"))
        return [note for note in found.notes if "interval" in note]

    line = pd.Series(range(1, 31), dtype=float)
    (note,) = notes(line)
    assert "successive answers are correlated" in note
    (note,) = notes(line.sample(frac=1, random_state=3, ignore_index=True))
    assert note.startswith("A P95 confidence interval needs 72 successes; you have 30:")


STEADY = {"name": "steady", "planned": 20, "duration_s": 20.0, "closed": False}


@pytest.mark.parametrize(
    ("sent", "stage", "about", "state"),
    [
        (10, STEADY, {"run_time_s": 10}, "valid"),
        (9, STEADY, {"run_time_s": 10}, "valid"),
        (8, STEADY, {"run_time_s": 10}, "degraded"),
        (8, STEADY | {"duration_s": None}, {"run_time_s": 10}, "valid"),
        (8, STEADY | {"closed": True}, {"run_time_s": 10}, "valid"),
        (10, STEADY, {"elapsed_s": 10.5}, "valid"),
        (10, STEADY, {"run_time_s": 10, "ended_by": "stop"}, "degraded"),
    ],
)
def test_what_run_time_left_out_as_asked_is_a_note_and_what_the_cap_held_back_is_not(burst, sent, stage, about, state):
    """Of 20 due in 20 s the run was ended after 10 s: by then 10 were due, the last of them within the last second."""
    due = pd.Series(range(20), dtype=float)
    left = due.where(due < sent)
    rows = burst.attempts.head(20).assign(
        stage="steady", scheduled_s=due, held_s=0.0, sent_s=left, done_s=left + 0.5, outcome=["ok"] * sent + ["not_sent"] * (20 - sent)
    )
    run = replace(burst, about=burst.about | {"planned": 20, "stages": [stage], "ended_by": "--run-time"} | about, attempts=rows)
    found = judge(run, Tables(run))
    assert found.state == state
    noted = [note for note in found.notes if "--run-time ended the run, as asked" in note]
    assert len(noted) == ("ended_by" not in about)
    assert any("never left" in reason for reason in found.reasons) == (state == "degraded")
