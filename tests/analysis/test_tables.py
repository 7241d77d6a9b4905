"""Each table against the arithmetic of two small runs that are known by construction (tests/runs/make.py)."""

import math
import statistics
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.report.headline import headline
from analysis.report.report import equation
from analysis.runs import locust_csv
from analysis.runs.load import EVENTS, load
from analysis.tables.attempt_tables import by_outcome, commonest_errors, events
from analysis.tables.run_tables import Tables
from analysis.tables.throughput import by_stage
from analysis.text import number_format
from coldburst.schedule.stages import parse, planned
from tests.support.attempt_rows import ledger, read

RUNS = Path(__file__).parents[1] / "runs"


@pytest.fixture(scope="module")
def burst():
    return Tables(load(RUNS / "burst"))


@pytest.fixture(scope="module")
def mixed():
    return Tables(load(RUNS / "mixed"))


@pytest.mark.parametrize(("kind", "cold"), [("balancer", 2), ("queue", 0)])
def test_behind_a_balancer_a_servers_own_queue_is_not_the_wait_for_a_worker(burst, kind, cold):
    """Two requests held for 6 s until the worker was ready; its server reports 1 ms in its own queue and 0.5 s of execution."""
    rows = burst.run.attempts.head(4).assign(
        sent_s=[0.0, 0.1, 7.0, 8.0],
        scheduled_s=[0.0, 0.1, 7.0, 8.0],
        done_s=[6.5, 6.6, 7.5, 8.5],
        worker_id="w",
        execution_s=0.5,
        queue_s=0.001,
        cold=None,
    )
    told = pd.DataFrame([{"kind": "worker_ready", "worker_id": "w", "at_s": 6.2, "seconds": 6.0, "generator": "local"}])
    about = burst.run.about | {"target": {"kind": kind}, "planned": 4}
    found = Tables(replace(burst.run, attempts=rows, events=told.reindex(columns=EVENTS), about=about))
    assert int(found.requests["cold"].fillna(False).sum()) == cold
    if cold:
        assert found.requests["wait_s"].to_list() == pytest.approx([6.0, 6.0, 0.0, 0.0])
        assert found.starts["cold_start_s"].to_list() == pytest.approx([5.8], abs=0.3)


def arrivals(of, done_s, **stage):
    """Requests that came a second apart and ended at these times."""
    n = len(done_s)
    due_s = [float(k) for k in range(n)]
    rows = of.run.attempts.head(n).assign(scheduled_s=due_s, sent_s=due_s, done_s=done_s, response_s=1.0, outcome="ok", cold=False)
    about = of.run.about | {"planned": n, "stages": [{"name": "steady", "planned": n, "duration_s": n, "closed": False} | stage]}
    return Tables(replace(of.run, attempts=rows, about=about))


def test_a_service_that_falls_behind_is_in_the_headline(burst):
    slow = arrivals(burst, [4.0 * (k + 1) for k in range(30)])  # 1/s arrive, one each 4 s ends
    # From 4 to 29 s: 25 arrived, 6 ended, the first end apart; 7 of 30 had ended.
    assert "It did not keep up: 1 arrived and 0.24 ended each second, and 23 were unfinished when arrivals ended." in headline(slow)


@pytest.mark.parametrize(
    "case",
    ["steady", "long", "after a cold start", "a backlog that stays", "few", "burst", "closed loop"],
)
def test_a_service_that_keeps_up_is_not(burst, case):
    slow = [4.0 * (k + 1) for k in range(30)]
    tables = {
        "steady": lambda: arrivals(burst, [k + 0.5 for k in range(30)]),
        "long": lambda: arrivals(burst, [k + 15.0 for k in range(30)]),
        "after a cold start": lambda: arrivals(burst, [max(k + 0.5, 12 + 0.3 * k) for k in range(30)]),
        "a backlog that stays": lambda: arrivals(burst, [1.0, *(20.0 + k for k in range(29))]),
        "few": lambda: arrivals(burst, slow[:8]),
        "burst": lambda: arrivals(burst, slow, duration_s=0.0),
        "closed loop": lambda: arrivals(burst, slow, closed=True),
    }[case]()
    assert "keep up" not in headline(tables)


def test_a_cause_of_the_outcomes_own_name_is_not_repeated(burst):
    rows = burst.run.attempts.assign(outcome="busy", status=503)
    causes = pd.DataFrame({"kind": "busy", "seq": rows["seq"], "attempt": 1, "cause": "busy"}).reindex(columns=EVENTS)
    assert "0 of 30 ok (30 busy);" in headline(Tables(replace(burst.run, attempts=rows, events=causes)))


def test_errors_that_differ_in_numbers_alone_are_one_kind():
    errors = ["200 without a 'text': 3.9 s", "200 without a 'text': 0.58 s", "", "502: job 17", "500: job 3", "502: job 9", "502: job 4"]
    rows = pd.DataFrame({"outcome": ["wrong"] * 3 + ["failed"] * 4, "error": errors})
    found = commonest_errors(rows)
    assert found == [("failed", "502: job 17", 3), ("wrong", "200 without a 'text': 3.9 s", 2), ("failed", "500: job 3", 1)]
    assert commonest_errors(rows.head(0)) == []


def scheduled(text):
    """What run.json says of a schedule."""
    return {
        "schedule": text,
        "stages": [{"name": s.name, "planned": planned([s], 1), "duration_s": s.duration_s, "closed": s.closed} for s in parse(text)],
    }


def changed(of, about=None, **columns):
    """The same run with other columns or another run.json."""
    return Tables(replace(of.run, about=of.run.about | (about or {}), attempts=of.attempts.assign(**columns)))


@pytest.mark.parametrize("name", ["burst", "mixed"])
def test_the_ledger_is_the_one_that_rig_counts(name, request):
    of = request.getfixturevalue(name)
    rows = read(RUNS / name / "attempts.csv")
    assert dict(of.ledger.counts) == dict(ledger(of.run.about["planned"], rows).counts)
    assert str(of.ledger) == str(ledger(of.run.about["planned"], rows))


def test_the_ledger_counts_a_retried_request_once(mixed):
    assert len(mixed.attempts) == 41
    assert sum(mixed.ledger.counts.values()) == 39
    assert "busy" not in mixed.ledger.counts
    assert (mixed.ledger.missing, mixed.ledger.balanced) == (1, False)


def test_rows_in_any_order_give_the_same_ledger(mixed):
    shuffled = replace(mixed.run, attempts=mixed.attempts.sample(frac=1, random_state=3))
    assert Tables(shuffled).ledger == mixed.ledger


def test_a_closed_loop_bounded_by_time_plans_what_it_sent(mixed):
    closed = changed(mixed, {"planned": None, "dispatched": 40, **scheduled("level 20s 4 at a time")})
    assert (closed.ledger.planned, closed.ledger.missing) == (40, 1)
    closed = changed(mixed, {"planned": None, **scheduled("level 20s 4 at a time")})
    assert (closed.ledger.planned, closed.ledger.missing) == (39, 0)
    assert closed.throughput.not_offered.startswith("closed loop")
    assert equation(closed).startswith("39 sent in a closed loop = 20 ok")


def test_response_time_runs_from_the_schedule_and_service_time_from_sending(burst):
    response = [k // 2 + 1.0 for k in range(30)]
    service = [k // 2 + 1.0 - 0.001 - (0.0 if k < 15 else (k - 15) // 2 + 1.0) for k in range(30)]
    for found, unsorted in ((burst.response["ok"], response), (burst.service["ok"], service)):
        known = sorted(unsorted)
        assert [found.at(p).value for p in (50, 90, 95, 99)] == pytest.approx([known[14], known[26], known[28], known[29]])
        assert (found.n, found.maximum, found.mean) == (30, pytest.approx(known[-1]), pytest.approx(statistics.mean(known)))
        assert [found.at(p).remark for p in (50, 95)] == ["values are correlated: repeat the run"] * 2  # both rise with k


def test_answers_whose_neighbours_are_not_alike_have_the_interval_of_independent_requests(burst):
    """Of 30 at P50 the chance that the r-th is above it is P(B <= r - 1), B ~ Binomial(30, 1/2): below 2.5 % for the 10th value
    (5 s), above it for the 11th (6 s). By Nyblom the end lies between them; the upper one as far below the 21st (11 s)."""
    mixed_up = changed(burst, done_s=[7 * k % 30 // 2 + 1.0 for k in range(30)], scheduled_s=0.0)
    tenth, eleventh = (sum(math.comb(30, i) for i in range(r)) / 2**30 for r in (10, 11))
    part = 1 / (1 + 10 * (eleventh - 0.025) / (20 * (0.025 - tenth)))
    found = mixed_up.response["ok"].at(50)
    assert 0.2 < part < 0.3
    assert (found.value, found.lower, found.upper) == pytest.approx((8.0, 5.0 + part, 11.0 - part))


def test_the_two_policies_differ_by_the_failures(mixed):
    ok, ended = mixed.response["ok"], mixed.response["ended"]
    assert (ok.n, ok.at(95).value, ok.maximum) == (20, pytest.approx(3.0), pytest.approx(3.0))
    assert (ended.n, ended.left_out, ended.at(95).value) == (34, 5, pytest.approx(5.0))


def test_a_retried_request_takes_until_its_last_attempt(mixed):
    row = mixed.requests.loc[18]
    assert (row.outcome, row.tries) == ("ok", 2)
    assert row.response_s == pytest.approx(3.0)
    assert row.service_s == pytest.approx(1.9)
    assert row.lateness_s == pytest.approx(0.002)


def test_an_unfinished_request_has_no_end_even_where_a_row_claims_one(mixed):
    claimed = changed(mixed, done_s=mixed.attempts["done_s"].fillna(99.0))
    assert claimed.response["ended"].n == 34


def test_throughput_is_ok_over_the_measured_wall(burst, mixed):
    assert (burst.throughput.wall_s, burst.throughput.per_s) == (15.0, 2.0)
    assert (burst.throughput.offered_per_s, burst.throughput.not_offered) == (None, "all at once")
    assert (mixed.throughput.ok, mixed.throughput.wall_s) == (20, pytest.approx(21.5))
    assert mixed.throughput.per_s == pytest.approx(20 / 21.5)
    assert mixed.throughput.offered_per_s == 2.0


def test_a_thousand_fast_failures_do_not_raise_the_throughput(burst):
    failed = changed(burst, outcome="failed")
    assert (failed.throughput.ok, failed.throughput.per_s) == (0, 0.0)


def test_audio_throughput_and_each_rows_own_real_time_factor(burst):
    heard = burst.audio
    assert heard.per_s == pytest.approx(30 * 5.952 / 15)
    factors = sorted(5.952 / (k // 2 + 1.0 - 0.001 - (0.0 if k < 15 else (k - 15) // 2 + 1.0)) for k in range(30))
    assert (heard.p50, heard.p5) == pytest.approx((factors[14], factors[1]))
    assert (heard.wer_n, heard.wer_mean, heard.wer_max) == (30, pytest.approx(0.1), 0.3)


def test_there_is_no_audio_table_without_audio(mixed):
    assert mixed.audio is None


def test_what_the_cap_held_back_is_not_lateness(burst):
    assert burst.lateness.times.maximum == pytest.approx(0.001)
    assert (burst.lateness.held, burst.lateness.of, burst.lateness.held_max_s) == (15, 30, 8.0)
    unheld = changed(burst, held_s=float("nan"))
    assert unheld.lateness.times.maximum == pytest.approx(8.001)


def test_outcomes_tell_attempts_times_statuses_and_errors(mixed):
    found = by_outcome(mixed.attempts)
    assert list(found.index) == ["ok", "failed", "queue_timeout", "throttled", "busy", "abandoned", "unfinished", "not_sent"]
    failed = found.loc["failed"]
    assert (failed.attempts, failed.first_s, failed.last_s, failed.statuses) == (5, 10.0, 12.0, [(500, 5)])
    assert [count for _, count in failed.errors] == [3, 2]
    assert found.loc["throttled"].errors == [("NA", 3)]
    assert found.loc["busy"].attempts == 2


def test_stages_keep_their_order_and_their_own_wall(mixed):
    stage = mixed.attempts["stage"].astype("str").where(mixed.attempts["seq"] < 20, "late")
    two = changed(mixed, scheduled("steady 10s 2/s, late 10s 2/s"), stage=stage)
    steady, late = by_stage(two.run, two.requests).to_dict("records")
    assert (steady["stage"], steady["planned"], steady["requests"], steady["ok"]) == ("steady", 20, 20, 20)
    assert steady["throughput_per_s"] == pytest.approx(20 / 12.5)
    assert (late["stage"], late["planned"], late["requests"], late["ok"], late["throughput_per_s"]) == ("late", 20, 19, 0, 0.0)


def test_a_stage_without_a_row_is_told(mixed):
    found = by_stage(changed(mixed, scheduled("steady 20s 2/s, never 5")).run, mixed.requests)
    assert found.iloc[1][["stage", "planned", "requests"]].to_list() == ["never", 5, 0]


def test_queue_execution_and_events(burst, mixed):
    found = burst.queue_and_execution
    assert found["execution time"].at(50).value == 1.0
    assert (found["queue delay"].n, found["queue delay"].maximum) == (30, 7.0)
    assert mixed.queue_and_execution == {}  # only its queue_timeouts tell one
    known = [{"kind": "cold_start", "count": 2, "total_s": 1.5, "longest_s": 0.8}]
    assert events(burst.run).to_dict("records") == known


def test_a_run_without_a_row_has_empty_tables(burst):
    empty = Tables(replace(burst.run, attempts=burst.attempts.iloc[:0]))
    assert str(empty.ledger) == "30 planned = 30 missing"
    assert (empty.response["ok"].n, empty.throughput.per_s, empty.audio) == (0, None, None)
    assert by_outcome(empty.attempts).empty


def test_locusts_totals_become_seconds():
    run = load(RUNS / "locust" / "plain")
    row = locust_csv.aggregated(run.totals)
    assert (row["requests"], row["failures"], row["p95_s"], row["max_s"]) == (100, 7, 1.0, 5.023)
    history = locust_csv.history(run.totals)
    assert (history["at_s"].to_list(), history["users"].unique().tolist()) == (list(range(10)), [8.0])
    assert isinstance(history, pd.DataFrame)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (float("nan"), "–"), (0.0, "0 s"), (0.0004, "0.400 ms"), (0.0321, "32.1 ms"), (0.32, "320 ms"), (5.123, "5.12 s"),
     (0.9999, "1.00 s"), (15.04, "15.0 s"), (1234.5, "1,234 s"), (-0.0021, "-2.10 ms"), (4e-7, "0.0004 ms"),
     (10.3 - 10.1 - 0.2, "0 ms"), (-7e-16, "0 ms")],
)  # fmt: skip
def test_seconds_read_well(value, text):
    assert number_format.seconds(value) == text


@pytest.mark.parametrize(("share", "text"), [(0.5, "50 %"), (1.0, "100 %"), (0.9999, "> 99.9 %"), (0.0001, "< 0.1 %"), (0.0, "0 %"),
                                               (9.99, "999 %"), (9.999, "1,000 %"), (12.5, "1,250 %")])  # fmt: skip
def test_a_part_is_never_rounded_to_the_whole(share, text):
    assert number_format.percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(31.24, "31.2"), (5.0, "5"), (999.4, "999"), (999.6, "1,000"), (-1519.6, "-1,520"), (None, "–")]
)
def test_a_brief_number_has_no_exponent(value, text):
    assert number_format.brief(value) == text


def test_the_headline_is_the_finding(burst, mixed):
    assert headline(burst) == (
        "30 requests, at most 15 in flight: 30 of 30 ok; half answered within 8.00 s, 95 % within 15.0 s (the next such burst: 15.0 s)."
    )
    assert headline(mixed).startswith("40 requests (steady 20s 2/s): 20 of 40 ok, 18 at the first try (5 failed, 2 queue_timeout,")
    assert "no response time, because no request was answered ok" in headline(changed(burst, outcome="failed"))
