"""One moment of a run, and what a second's memory adds: known answers first."""

import json
from collections import Counter

import pytest

from coldburst.live.history import History, HistoryPoint, Rates, sample
from coldburst.live.recent_rows import LAST, MOST_ROWS, Problem, Quantiles, RecentAnswers, RecentEvents, quantiles
from coldburst.live.run_monitor import RunMonitor, RunMonitors
from coldburst.live.snapshot import due, offered_per_s, snapshot
from coldburst.record.attempt import COLUMNS, EVENTS, Attempt, line
from coldburst.record.batches import RowBatch
from coldburst.record.ledger import Ledger
from coldburst.schedule.stages import Stage, arrivals, parse
from tests.support.run_views import CONTAINERS, HEALTH, LISTED, Load, listed, plan_of, run_of


@pytest.mark.parametrize(
    ("schedule", "at_s", "rate"),
    [
        ("steady 60s 3/s", 0.0, 3.0),
        ("steady 60s 3/s poisson", 59.9, 3.0),
        ("steady 60s 3/s", 60.0, 0.0),
        ("climb 10s 1/s..11/s", 2.5, 3.5),
        ("fall 10s 10/s..0/s", 9.0, 1.0),
        ("slow 10s 1/s, rest 10s 0/s, quick 10s 90/min", 9.99, 1.0),
        ("slow 10s 1/s, rest 10s 0/s, quick 10s 90/min", 15.0, 0.0),
        ("slow 10s 1/s, rest 10s 0/s, quick 10s 90/min", 20.0, 1.5),
        ("burst 30", 0.0, 0.0),
        ("burst 30, steady 10s 2/s", 0.0, 2.0),
        ("warm 10s 2/s, level 10s 4 at a time, steady 10s 2/s", 9.0, 2.0),
        ("warm 10s 2/s, level 10s 4 at a time, steady 10s 2/s", 10.0, None),
        ("warm 10s 2/s, level 10s 4 at a time, steady 10s 2/s", 25.0, None),
    ],
)
def test_the_offered_rate_is_the_schedules_own(schedule, at_s, rate):
    assert offered_per_s(parse(schedule), at_s) == (rate if rate is None else pytest.approx(rate))


def test_recorded_arrivals_are_counted_over_the_second_before():
    stage = Stage("replay", duration_s=3.0, at=(0.0, 0.5, 0.6, 1.55, 3.0))
    assert [offered_per_s([stage], at_s) for at_s in (0.0, 0.9, 1.2, 1.55, 2.9)] == [1.0, 3.0, 2.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("schedule", "at_s", "arrived"),
    [
        ("steady 60s 3/s", 0.0, 0.0),
        ("steady 60s 3/s", 10.0, 30.0),
        ("steady 60s 3/s", 99.0, 180.0),
        ("burst 30", 0.0, 30.0),
        ("burst 30, steady 10s 2/s", 4.0, 38.0),
        ("steady 10s 2/s, burst 30", 9.9, 19.8),
        ("steady 10s 2/s, burst 30", 10.0, 50.0),
        ("climb 10s 0/s..10/s", 5.0, 12.5),  # the triangle below the ramp
        ("fall 10s 10/s..0/s, rest 5s 0/s, steady 5s 2/s", 17.0, 54.0),
        ("level 60s 4 at a time", 1.0, None),
    ],
)
def test_what_is_due_is_the_integral_of_the_law(schedule, at_s, arrived):
    assert due(parse(schedule), at_s) == (arrived if arrived is None else pytest.approx(arrived))


def test_what_is_due_counts_recorded_arrivals_and_ends_with_the_number_planned():
    assert [due([Stage("replay", duration_s=3.0, at=(0.0, 0.5, 2.0))], at_s) for at_s in (0.0, 1.0, 9.0)] == [1, 2, 3]
    stages = parse("warm 5s 2/s, climb 10s 2/s..8/s, burst 7")
    assert due(stages, 99.0) == len(list(arrivals(stages, seed=1)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "left_s"),
    [
        ("steady 60s 4/s", 49.5),
        ("burst 5, steady 20s 4/s", 9.5),
        ("level 60s 4 at a time", 49.5),
        ("steady 10s 4/s", None),  # over: the last answers decide
        ("burst 5", None),
        ("level 100 4 at a time", None),
        ("warm 30s 1/s, level 60s 4 at a time", None),  # begins when the last answer of the first is there
    ],
)
def test_time_left_is_told_where_the_schedule_knows_it(schedule, left_s):
    assert snapshot(run_of(schedule)).left_s == left_s
    stopping = run_of(schedule)
    stopping.load.stopping = True
    assert snapshot(stopping).left_s is None
    assert snapshot(run_of(schedule, hooks=object())).left_s is None


@pytest.mark.slow
def test_a_snapshot_is_the_runs_own_figures():
    run = run_of("warm 5s 2/s, steady 60s 4/s")
    run.samples.add({"at_s": 10.0, **HEALTH})
    listed(run, 10.0)
    now = snapshot(run)
    assert (now.stage, now.place, now.stages) == ("steady", 2, 2)
    assert (now.ok, now.not_ok, sum(now.attempts.values())) == (4, 1, 6)
    assert (now.offered_per_s, now.due, now.usd_per_s, now.generators) == (4.0, 32.0, None, 1)
    assert now.workers == {"health": {"idle": 1, "ready": 2}, "workers": {"idle": 0, "running": 2}}
    assert (now.view, now.paid_workers, now.jobs) == ("workers", 2, {"in_queue": 3, "in_progress": 2})
    assert not now.finished
    assert snapshot(run_of(generators=3)).generators == 3


def test_a_worker_that_flashboot_keeps_costs_nothing():
    """It is idle in the list, without a container."""
    run = run_of()
    run.samples.add({"at_s": 10.0, **LISTED, "idle": 1})
    run.samples.spans.see([*CONTAINERS, {"id": "w3", "status": "IDLE", "startedAt": None}], 10.0)
    assert snapshot(run).paid_workers == 2


def test_what_the_gauge_says_is_no_number_of_workers_that_cost():
    run = run_of()
    run.samples.add({"at_s": 10.0, **HEALTH})
    assert (snapshot(run).view, snapshot(run).paid_workers) == ("health", None)  # its states overlap


def test_arrivals_that_never_left_are_no_answers():
    run = run_of()
    run.recorder.counts = Counter(ok=3, failed=2, not_sent=90)
    assert snapshot(run).not_ok == 2


def test_an_ended_run_has_no_present():
    run = run_of(ledger=Ledger(5, {"ok": 5}))
    run.samples.add({"at_s": 10.0, **HEALTH})
    now = snapshot(run)
    assert (now.finished, now.ended_by, now.ledger) == (True, "schedule", "5 planned = 5 ok")
    assert (now.workers, now.jobs, now.paid_workers, now.left_s) == ({}, {}, None, None)


def test_percentiles_are_nearest_rank():
    assert quantiles([]) == Quantiles(0, None, None)
    assert quantiles([3.0, 1.0, 2.0]) == Quantiles(3, 2.0, 3.0)
    assert quantiles([float(value) for value in range(200, 0, -1)]) == Quantiles(200, 100.0, 190.0)


def written(columns, *rows):
    """Lines of a table: each row a dict of what is not empty."""
    return "".join(line(row.get(column.name, "") for column in columns) for row in rows)


def table(path, columns, *rows):
    path.write_text(line(column.name for column in columns) + written(columns, *rows), encoding="utf-8")
    return path


def test_the_last_answers_ok_are_what_percentiles_are_of():
    def ended(outcome, response_s, queue_s=None):
        return Attempt(0, 1, "burst", 10.0, outcome, sent_s=10.0, done_s=10.0 + response_s, queue_s=queue_s)

    answers = RecentAnswers()
    answers.update()
    assert answers.response_s.n == 0
    for row in (ended("ok", 1.0, 0.25), ended("failed", 50.0), Attempt(0, 1, "burst", 3.0, "not_sent")):
        answers.add((row,))
    answers.update()
    assert (answers.response_s, answers.queue_s) == (Quantiles(1, 1.0, 1.0), Quantiles(1, 0.25, 0.25))
    answers.add([ended("ok", 2.0)] * LAST)
    answers.update()
    assert answers.response_s == Quantiles(LAST, 2.0, 2.0)


def test_of_many_rows_that_came_together_only_the_last_are_looked_at():
    text = written(
        COLUMNS, *({"seq": n, "attempt": 1, "scheduled_s": 1.0, "outcome": "ok", "sent_s": 1.0, "done_s": 1.0 + n} for n in range(9))
    )
    first, last = RowBatch("no row, and nobody reads it\n"), RowBatch(text * (MOST_ROWS // 9 + 1))
    answers = RecentAnswers()
    answers.add(first)
    answers.add(last)
    answers.update()
    assert answers.response_s.n == LAST
    assert answers.response_s.p50_s == 4.0


def test_problems_are_counted_by_outcome_and_cause():
    told = {"kind": "queue_timeout", "cause": "no capacity"}
    events = RecentEvents()
    for row in (
        {"kind": "cold_start", "at_s": 1.5, "worker_id": "w1", "seconds": 1.25},
        {"kind": "queued", "at_s": 2, "seconds": 1},
        {**told, "at_s": 120.0, "detail": "first"},
        {**told, "at_s": 121.0, "detail": "second"},
        {"kind": "refused", "cause": "bad request", "at_s": 3.0, "detail": "400: no"},
        {"kind": "worker_ready", "at_s": 4},
        {"kind": "cold_start", "at_s": 5, "worker_id": "w1", "seconds": 3.5},  # another generator's first answer of it
    ):
        events.add(dict.fromkeys((column.name for column in EVENTS), "") | row)
    assert [(row["worker_id"], row["seconds"]) for row in events.cold_starts] == [("w1", 1.25)]
    assert list(events.problems.values()) == [
        Problem("queue_timeout", "no capacity", 2, 120.0, 121.0, "second"),
        Problem("refused", "bad request", 1, 3.0, 3.0, "400: no"),
    ]


def test_rates_are_differences_of_totals():
    history = History()
    for second in (1, 2, 4):
        history.add(HistoryPoint(at_s=float(second), due=3.0 * second, sent=3 * second, ok=second**2, not_ok=second))
    assert history.last_second == Rates(3.0, 3.0, 6.0, 1.0)
    assert history.overall == Rates(3.0, 3.0, 4.0, 1.0)
    columns = history.columns()
    assert columns["at_s"] == [1.0, 2.0, 4.0]
    assert columns["ok_per_s"] == [1.0, 3.0, 6.0]
    assert history.columns(since_s=2.0)["ok_per_s"] == [6.0]
    assert history.columns(since_s=4.0)["at_s"] == []


def test_a_clock_that_begins_again_and_an_end_soon_after_make_no_absurd_rate():
    history = History()
    history.add(HistoryPoint(at_s=1.0, ok=5))
    history.add(HistoryPoint(at_s=0.9, ok=6))
    assert history.columns()["ok_per_s"] == [5.0]
    history.end(HistoryPoint(at_s=1.25, ok=10, lateness_s=0.5))
    assert (history.columns()["at_s"], history.columns()["ok_per_s"]) == ([1.25], [8.0])
    history.end(HistoryPoint(at_s=2.25, ok=11))
    assert history.columns()["ok_per_s"] == [8.0, 1.0]


def test_a_long_run_keeps_few_samples_and_loses_nothing():
    history, seconds = History(kept=20), 1000
    for second in range(1, seconds + 1):
        history.add(HistoryPoint(at_s=float(second), sent=2 * second, lateness_s=9.0 if second == 333 else 0.001))
    columns = history.columns()
    assert 10 <= len(columns["at_s"]) <= 20
    assert set(columns["sent_per_s"]) == {2.0}
    assert max(columns["lateness_s"]) == 9.0
    assert columns["at_s"] == sorted(columns["at_s"])
    assert (history.last.sent, history.last_second.sent) == (2 * seconds, 2.0)


def test_a_runs_end_is_told_also_where_only_every_second_sample_is_kept():
    history = History(kept=4)
    for second in range(1, 7):
        history.add(HistoryPoint(at_s=float(second), sent=second))
    assert history.columns()["at_s"] == [2.0, 4.0, 6.0]
    history.end(HistoryPoint(at_s=6.9, sent=6, lateness_s=0.5))
    columns = history.columns()
    assert (columns["at_s"], columns["sent_per_s"], columns["lateness_s"]) == ([2.0, 4.0, 6.0, 6.9], [1, 1, 1, 0], [0, 0, 0, 0.5])


def test_what_is_left_out_when_a_run_is_stopped_was_not_offered():
    run = run_of("steady 60s 4/s", load=Load(at_s=20.0))
    before = HistoryPoint(at_s=10.0, due=40.0)
    assert sample(snapshot(run), quantiles([]), before).due == 80.0
    run.load.stopping = True
    assert sample(snapshot(run), quantiles([]), before).due == 40.0


@pytest.fixture
def monitor(tmp_path):
    """A feed of a run whose clock ``at`` sets, and one second of which ``tick`` takes."""
    run = run_of(price="0.01")
    run.recorder.folder = tmp_path
    made = RunMonitor(run)

    def tick(at_s, **workers):
        run.load.at_s = at_s
        run.samples.add({"at_s": at_s, "view": "workers", "error": "", **workers})
        status = [state.upper() for state, count in workers.items() for _ in range(count)]
        run.samples.spans.see([{"id": f"w{n}", "status": one, "startedAt": "2026-11-21T12:00:00Z"} for n, one in enumerate(status)], at_s)
        made.add_point()

    yield run, made, tick
    made.stop()


def test_spend_is_worker_seconds_at_the_price(monitor):
    _, made, tick = monitor
    assert (made.live_rates.worker_s, made.live_rates.usd) == (None, None)
    tick(1.0, running=1, initializing=1, throttled=5)
    tick(3.0, running=2, idle=1, initializing=0)
    assert (made.live_rates.worker_s, made.live_rates.usd) == (2 * 1.0 + 3 * 2.0, pytest.approx(0.08))


@pytest.mark.slow
def test_spend_is_not_told_without_a_price_or_without_a_word_of_workers(monitor):
    run, made, tick = monitor
    run.plan = plan_of(schedule="steady 60s 4/s")
    tick(1.0, running=2)
    assert (made.snapshot.usd_per_s, made.live_rates.worker_s, made.live_rates.usd) == (None, 2.0, None)


def test_an_ended_run_is_let_go_and_stays_as_it_ended(monitor, tmp_path):
    run, made, tick = monitor
    tick(1.0, running=1)
    run.load.at_s = 9.0
    run.ledger = Ledger(6, {"ok": 5, "queue_timeout": 1})
    (tmp_path / "run.json").write_text(json.dumps({"elapsed_s": 2.5}), encoding="utf-8")
    now = made.snapshot
    run.load.at_s = 99.0
    assert made.snapshot == now
    assert (now.elapsed_s, now.finished, now.ledger) == (2.5, True, "6 planned = 5 ok + 1 queue_timeout")
    assert made.history.last.at_s == 2.5


@pytest.mark.slow
def test_the_runs_of_a_process_newest_first(tmp_path):
    monitors = RunMonitors()
    monitors.begin(None)
    assert (monitors.latest, list(monitors.runs)) == (None, [])
    for name in ("first", "second"):
        run = run_of(ledger=Ledger(1, {"ok": 1}))
        run.recorder.id, run.recorder.folder = name, tmp_path / name
        monitors.begin(run)
    assert [one.id for one in monitors.runs] == ["second", "first"]
    monitors.begin(None)
    assert monitors.latest.snapshot.id == "second"
    monitors.latest.stop()
