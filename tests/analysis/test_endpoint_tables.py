"""What reports tell of serverless endpoints beside cold starts: causes, tries again, polling, the endpoint's own word."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.figures import timeline
from analysis.figures.style import MissingPlot
from analysis.report import run_sheets
from analysis.report.headline import headline
from analysis.runs.load import RunError, load
from analysis.tables import attempt_tables
from analysis.tables.attempt_tables import CAUSES, failure_causes
from analysis.tables.attempt_tables import retry_summary as retries_of
from analysis.tables.run_tables import Tables
from analysis.text import number_format
from analysis.verdict.verdict import judge
from coldburst.targets import cause
from tests.runs import make

RUNS = Path(__file__).parents[1] / "runs"


@pytest.fixture(scope="module")
def queue():
    return Tables(load(RUNS / "queue"))


@pytest.fixture(scope="module")
def retries():
    return Tables(load(RUNS / "retries"))


def changed(of, about=None, attempts=None, **parts):
    return Tables(replace(of.run, about=of.run.about | (about or {}), attempts=of.attempts if attempts is None else attempts, **parts))


def sheet(of, title):
    return next(found for found in run_sheets.run_sheets(of) if found.title == title)


def test_the_small_runs_are_what_their_program_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "HERE", tmp_path)
    for run in (make.burst, make.mixed, make.queue, make.retries):
        run()
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    assert len(written) == 17
    for path in written:
        assert (tmp_path / path).read_bytes() == (RUNS / path).read_bytes(), path


def test_runs_from_before_the_new_columns_still_load():
    old = load(RUNS / "burst")
    assert "seen_s" not in (RUNS / "burst" / "attempts.csv").read_text(encoding="utf-8")
    assert old.attempts[["seen_s", "polls"]].isna().all(axis=None)
    assert (old.endpoint, old.events["cause"].to_list(), old.events["attempt"].isna().all()) == (None, ["", ""], True)


def test_the_endpoints_own_word_is_read(queue):
    rows = queue.run.endpoint
    assert rows["view"].value_counts().to_dict() == {"health": 127, "workers": 127}
    assert rows[rows["view"] == "health"]["in_queue"].max() == 30
    assert rows.loc[rows["error"] != "", "at_s"].to_list() == [60.0]
    assert rows.loc[rows["view"] == "workers", "in_queue"].isna().all()


def test_a_word_that_cannot_be_read_is_one_sentence(tmp_path):
    shutil.copytree(RUNS / "queue", tmp_path / "run")
    (tmp_path / "run" / "endpoint.csv").write_text("at_s,view,in_queue\n1.0,health,many\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"endpoint\.csv cannot be read"):
        load(tmp_path / "run")


def test_causes_are_counted_by_outcome(queue, retries):
    assert failure_causes(queue).to_dict("records") == [
        {"outcome": "queue_timeout", "cause": "no_capacity", "attempts": 4, "requests": 4, "median_s": pytest.approx(119.999)}
    ]
    found = failure_causes(retries)[["outcome", "cause", "attempts", "requests"]].to_numpy().tolist()
    assert found == [["queue_timeout", "no_capacity", 2, 1], ["throttled", "rate_limit", 2, 0], ["refused", "bad_request", 1, 1]]


def test_each_cause_has_its_words():
    assert set(CAUSES) == set(cause.CAUSES)


def test_an_attempt_has_one_cause_and_a_known_one_goes_first(queue):
    unknown = queue.run.events.assign(cause="unknown", at_s=0.0)
    both = changed(queue, events=pd.concat([unknown, queue.run.events, queue.run.events]))
    assert failure_causes(both)[["cause", "attempts"]].to_numpy().tolist() == [["no_capacity", 4]]


def test_a_cause_whose_row_was_lost_counts_by_its_event(queue):
    lost = changed(queue, attempts=queue.attempts[queue.attempts["seq"] != 27])
    assert failure_causes(lost)[["outcome", "attempts", "requests"]].to_numpy().tolist() == [["queue_timeout", 4, 3]]


@pytest.mark.slow
def test_the_table_of_causes_says_them_in_plain_words(queue, retries):
    assert sheet(queue, "Why").rows == (("queue_timeout", "no capacity", "4", "4", "120 s", CAUSES["no_capacity"]),)
    assert "4 attempts without a recorded cause" in sheet(retries, "Why").remark  # the busy ones
    strange = changed(queue, events=queue.run.events.assign(cause="moon_phase"))
    assert sheet(strange, "Why").rows[0][1] == "moon phase"
    assert "unknown to this version" in sheet(strange, "Why").rows[0][5]


def test_the_finding_names_causes_cold_starts_and_warm_answers(queue):
    assert headline(queue) == (
        "36 requests (burst 30, rest 140s 0/s, calm 120s 0.05/s): 32 of 36 ok; 4 queue_timeout after 120 s (no capacity); half answered "
        "within 60.1 s, 95 % within 125 s (n = 32; no interval of the P95). 3 cold starts, median 8.20 s; "
        "half of the warm answers within 12.1 s."
    )


@pytest.mark.slow
def test_the_finding_of_several_causes_counts_them(queue):
    events = queue.run.events.assign(cause=queue.run.events["cause"].mask(queue.run.events["seq"] == 26, "crash_loop"))
    assert "4 queue_timeout (3 no capacity, 1 crash loop); half" in headline(changed(queue, events=events))
    unknown = queue.run.events.assign(cause=queue.run.events["cause"].mask(queue.run.events["cause"] != "", "unknown"))
    assert "32 of 36 ok (4 queue_timeout); half" in headline(changed(queue, events=unknown))


def test_the_finding_without_a_start_or_without_a_word_of_any(queue, retries):
    assert headline(changed(queue, events=None)).endswith(". 3 of 32 met a cold start; half of the warm answers within 12.1 s.")
    assert headline(retries).endswith(". No request met a cold start; half of the answers without a cold start within 801 ms.")
    other = changed(queue, {"target": {"kind": "transcription"}})
    assert headline(other).endswith("(n = 32; no interval of the P95).")


def test_requests_are_told_from_attempts(retries):
    """See tests/runs/make.py: 18 attempts at 12 requests; 7 ok at the first try, then 1 and 1."""
    found = retries_of(retries)
    assert (found.requests, found.attempts, found.amplification) == (12, 18, 1.5)
    assert found.outcomes.to_numpy().tolist() == [
        ["ok", 7, 9, 9],
        ["queue_timeout", 1, 1, 2],
        ["throttled", 1, 0, 2],
        ["busy", 2, 1, 4],
        ["refused", 1, 1, 1],
    ]
    assert found.success[["try", "tried", "ok", "so_far"]].to_numpy().tolist() == [[1, 12, 7, 7], [2, 4, 1, 8], [3, 2, 1, 9]]
    assert found.success["share"].to_list() == pytest.approx([7 / 12, 8 / 12, 9 / 12])
    assert str(retries.ledger) == "12 planned = 9 ok + 1 queue_timeout + 1 busy + 1 refused"


def test_a_run_without_a_second_try_has_no_such_table(queue):
    assert retries_of(queue) is None
    assert "Success by try" not in [found.title for found in run_sheets.run_sheets(queue)]


def test_another_try_is_not_lateness_and_ends_the_response(retries):
    assert retries.lateness.times.maximum == pytest.approx(0.001)
    row = retries.requests.loc[8]  # due at 8; tries of 50 ms at 8.001 and 9.051, then 0.8 s from 11.101
    assert (row["tries"], row["response_s"], row["service_s"]) == (3, pytest.approx(3.901), pytest.approx(0.8))
    assert judge(retries.run, retries).state == "valid"


def test_where_the_first_tries_row_was_lost_no_lateness_is_made_up(retries):
    rows = retries.attempts[~((retries.attempts["seq"] == 8) & (retries.attempts["attempt"] == 1))]
    lost = changed(retries, attempts=rows)
    assert (lost.lateness.times.n, lost.lateness.times.maximum) == (11, pytest.approx(0.001))
    assert retries_of(lost).success["so_far"].to_list() == [7, 8, 9]


def test_a_request_that_waited_for_another_try_did_leave(retries):
    rows = retries.attempts
    last = (rows["seq"] == 10) & (rows["attempt"] == 3)
    cut = changed(retries, attempts=rows.assign(outcome=rows["outcome"].mask(last, "not_sent"), sent_s=rows["sent_s"].mask(last)))
    reasons = judge(cut.run, cut).reasons
    assert reasons == ("1 request waited for another try when the run ended: allow more time to drain, or fewer tries.",)
    assert (retries_of(cut).attempts, cut.ledger.counts["not_sent"]) == (17, 1)


def test_polling_is_told_and_in_no_time(queue):
    """17 of the 36 jobs are odd (1 s late), 19 even (0.5 s); one question for each 10 s begun."""
    found = attempt_tables.polling(queue.attempts)
    assert (found.late.n, found.late.at(50).value, found.late.at(95).value) == (36, pytest.approx(0.5), pytest.approx(1.0))
    asked = [int(row.done_s - row.scheduled_s) // 10 + 1 for row in queue.attempts.itertuples()]
    assert found.polls.mean == pytest.approx(sum(asked) / 36)
    assert queue.response["ok"].maximum == pytest.approx(125.6)
    assert attempt_tables.polling(queue.attempts.assign(seen_s=float("nan"))) is None
    remark = sheet(queue, "Queue and execution").remark
    assert "500 ms late at P50 and 1.00 s at P95" in remark
    assert "dispatched 1 job again" in remark


def test_queue_and_execution_are_of_answered_ok(queue):
    failed = queue.attempts["seq"] < 3
    found = changed(queue, attempts=queue.attempts.assign(outcome=queue.attempts["outcome"].mask(failed, "failed"))).queue_and_execution
    assert {name: times.n for name, times in found.items()} == {"queue delay": 29, "execution time": 29}


@pytest.mark.parametrize(("ok", "marked"), [(19, " (max)"), (20, "")])
def test_a_percentile_that_is_the_largest_value_is_labelled_so(queue, ok, marked):
    few = changed(queue, attempts=queue.attempts.head(ok))
    told = sheet(few, "Queue and execution")
    assert told.rows[1] == ("execution time", str(ok), "12.0 s", f"12.0 s{marked}", "12.0 s")
    assert f"at P50 and 1.00 s{marked} at P95" in told.remark
    (stage,) = (row for row in sheet(few, "By stage").rows if row[3] == str(ok))
    half, tail = (number_format.seconds(few.response["ok"].at(percent).value) for percent in (50, 95))
    assert stage[4:6] == (half, f"{tail}{marked}")


def test_the_endpoint_figure_joins_the_words_and_the_load(queue):
    plot = timeline.endpoint_answers(queue)
    parts = plot.data.groupby("part").size().to_dict()
    assert parts == {"jobs": 127, "workers": 126, "offered": 242}
    offered = plot.data[plot.data["part"] == "offered"].set_index("at_s")["offered_per_s"]
    assert offered.sum() == 36
    assert (offered[0.0], offered[1.0], offered[140.0], offered[241.0]) == (30.0, 0.0, 1.0, 0.0)
    workers = plot.data[plot.data["part"] == "workers"].set_index("at_s")
    assert workers.loc[4.0, ["initializing", "throttled", "running"]].to_list() == [2.0, 1.0, 0.0]
    assert workers.loc[20.0, ["running", "idle"]].to_list() == [3.0, 0.0]
    assert "1 poll got no readable answer" in plot.caption


def test_the_endpoint_figure_takes_health_where_there_is_no_list(queue):
    words = queue.run.endpoint
    plot = timeline.endpoint_answers(changed(queue, endpoint=words[words["view"] == "health"]))
    assert (plot.data["part"] == "workers").sum() == 127
    assert "before they have a container" in plot.caption


def test_a_burst_has_no_offered_rate_to_draw(queue):
    at_once = changed(queue, {"stages": [{"name": "burst", "planned": 36, "duration_s": None, "closed": False}]})
    plot = timeline.endpoint_answers(at_once)
    assert "offered" not in set(plot.data["part"])


def test_an_endpoint_that_was_not_asked_or_gave_no_answer(queue):
    absent = timeline.endpoint_answers(changed(queue, endpoint=None))
    assert isinstance(absent, MissingPlot)
    assert "endpoint.csv is missing or empty" in absent.reason
    absent = timeline.endpoint_answers(changed(queue, endpoint=queue.run.endpoint.assign(error="401")))
    assert "none of its 254 answers could be read" in absent.reason
    assert timeline.endpoint_answers(changed(queue, {"target": {"kind": "transcription"}}, endpoint=None)) is None
