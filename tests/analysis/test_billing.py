"""Billed time from the containers' lives and the jobs on them, against arithmetic; prices of a run; the table of costs."""

from dataclasses import replace

import pandas as pd
import pytest

from analysis.report.cost_sheet import cost_sheets
from analysis.runs.load import load
from analysis.tables.billing import billed_time
from analysis.tables.cost import worker_seconds
from analysis.tables.platform_bill import platform_bill
from analysis.tables.price import other_gpu, worker_price
from analysis.tables.run_tables import Tables
from tests.support.locusts import ROOT

QUEUE = {"type": "QUEUE", "scaler": "QUEUE_DELAY", "workers_min": 0, "workers_max": 3, "idle_timeout_s": 5.0}


def job(worker, begin_s, took_s):
    return {"worker_id": worker, "sent_s": 0.0, "queue_s": begin_s, "execution_s": took_s, "done_s": begin_s + took_s}


def billed(spans, jobs=(), *, elapsed_s=20.0, **settings):
    columns = ("worker_id", "sent_s", "queue_s", "execution_s", "done_s")
    rows = pd.DataFrame(list(jobs), columns=columns).astype(dict.fromkeys(columns[1:], float))
    workers = [{"worker_id": "w", "seen_s": 18.0} | span for span in spans]
    return billed_time({"elapsed_s": elapsed_s, "platform": {"settings": QUEUE | settings, "workers": workers}}, rows)


def parts(found):
    return found.start_s, found.execution_s, found.idle_s, found.total_s


def test_a_start_a_job_and_the_idle_tail_after_the_run():
    """Container at 1, job from 4 to 10, run ends at 11: five more seconds are billed, to 15."""
    found = billed([{"start_s": 1.0, "seen_s": 11.0, "ready_s": 5.0, "busy_s": 9.0}], [job("w", 4.0, 6.0)], elapsed_s=11.0)
    assert parts(found) == (3.0, 6.0, 5.0, 14.0)
    assert found.starts_s == (3.0,)


def test_a_stop_between_two_polls_is_the_idle_timeout_after_the_last_job():
    found = billed([{"start_s": 0.0, "seen_s": 8.0, "ready_s": 2.0, "gone_s": 12.0}], [job("w", 2.0, 2.25)])
    assert found.total_s == 10.0  # 4.25 + 5 = 9.25, in whole seconds
    found = billed([{"start_s": 0.0, "seen_s": 4.5, "ready_s": 2.0, "gone_s": 6.5}], [job("w", 2.0, 2.25)])
    assert found.total_s == 6.0  # it stopped otherwise: the middle of 4.5 and 6.5, which is 5.5


def test_a_worker_that_flashboot_keeps_is_billed_only_with_a_container():
    first = {"start_s": 0.0, "seen_s": 6.0, "ready_s": 3.0, "gone_s": 9.0}
    again = {"start_s": 14.0, "seen_s": 16.0, "ready_s": 14.5}
    found = billed([first, again], [job("w", 3.0, 1.0), job("w", 14.5, 1.5)], flashboot=True)
    assert parts(found) == (3.5, 2.5, 10.0, 16.0)


def test_jobs_at_the_same_time_are_one_second_of_a_worker():
    found = billed([{"start_s": 0.0, "seen_s": 6.0, "ready_s": 1.0}], [job("w", 1.0, 4.0), job("w", 2.0, 3.0), job("w", 5.0, 1.0)])
    assert parts(found) == (1.0, 5.0, 5.0, 11.0)


def test_the_minimum_of_workers_counts_to_the_end_of_the_run_and_from_its_begin():
    found = billed([{"start_s": -100.4, "seen_s": 18.0, "ready_s": 0.1}], [job("w", 5.0, 1.0)], workers_min=1)
    assert (found.start_s, found.total_s, found.starts_s) == (0.0, 20.0, ())


def test_a_worker_that_still_starts_is_expected_to_take_as_long_as_the_others():
    spans = [{"start_s": 0.0, "seen_s": 10.0, "ready_s": 4.0}, {"worker_id": "x", "start_s": 9.0, "seen_s": 10.0}]
    assert billed(spans, [job("w", 4.0, 6.0)]).total_s == 15.0 + 9.0


def test_without_an_idle_timeout_a_worker_counts_as_long_as_one_was_seen_to_stay():
    span = {"start_s": 0.0, "seen_s": 10.0, "ready_s": 4.0}
    assert billed([span], [job("w", 4.0, 6.0)], scaler="REQUEST_COUNT").total_s == 67.0
    assert billed([span], [job("w", 4.0, 6.0)], scaler="REQUEST_COUNT", type="LOAD_BALANCER").total_s == 16.0  # 10.16 + 5


@pytest.mark.parametrize("platform", [None, {}, [], {"settings": {}, "workers": []}, {"settings": QUEUE, "workers": [{"start_s": "x"}]}])
def test_a_run_without_containers_has_no_billed_time(platform):
    assert billed_time({"platform": platform}, pd.DataFrame()) is None


LIVE = {"name": "4090", "usd_per_s": 0.0004, "source": "RunPod's catalogue, read at the start of the run", "date": "2026-11-30"}


@pytest.mark.parametrize(
    ("given", "live", "gpus", "usd_per_s"),
    [
        ("0.0001", LIVE, 1, 0.0001),
        ("4090", LIVE, 1, 0.0004),
        ("", LIVE, 1, 0.0004),
        ("4090", None, 1, 0.00031),
        ("4090", None, 2, 0.00062),
        ("2 x 4090", None, 2, 0.00062),
    ],
)
def test_a_price_by_hand_then_the_catalogues_then_the_tables(given, live, gpus, usd_per_s):
    platform = {"settings": QUEUE, "price": live, "workers": [{"worker_id": "w", "start_s": 0, "seen_s": 1, "gpus": gpus}]}
    assert worker_price({"options": {"price": given}, "platform": platform}).usd_per_s == pytest.approx(usd_per_s)


@pytest.mark.parametrize(
    ("given", "own", "found"),
    [
        ("4090", "NVIDIA RTX A5000", ("4090", "NVIDIA RTX A5000")),
        ("4090", "NVIDIA GeForce RTX 4090", None),
        ("2 x 4090", "NVIDIA GeForce RTX 4090", None),
        ("A5000", "NVIDIA RTX A5000", None),
        ("0.00031", "NVIDIA RTX A5000", None),
        ("", "NVIDIA RTX A5000", None),
        ("4090", "a GPU of tomorrow", None),
    ],
)
def test_a_price_of_another_gpu_than_the_workers_is_told(given, own, found):
    assert other_gpu({"options": {"price": given}, "platform": {"price": LIVE | {"name": own}}}) == found


def test_nothing_tells_the_price():
    assert worker_price({"options": {"price": ""}}) is None


@pytest.mark.parametrize("platform", [{"settings": QUEUE, "workers": []}, None])
@pytest.mark.parametrize(("outcome", "seconds"), [("ok", None), ("queue_timeout", 0.0)])
def test_a_worker_list_without_a_worker_is_unknown_if_something_answered(platform, outcome, seconds):
    """An endpoint that gives no worker costs nothing; one that answers had a worker which the list did not show."""
    run = load(ROOT / "tests" / "runs" / "queue")
    polled = pd.DataFrame({"at_s": [0.0, 5.0], "view": "workers", "error": "", "initializing": 0, "idle": 0, "running": 0})
    run = replace(run, about=run.about | {"platform": platform}, endpoint=polled, attempts=run.attempts.assign(outcome=outcome))
    assert worker_seconds(Tables(run)) == seconds


# 2026-11-30 13:00 UTC.
HOUR = 1_796_043_600
BILL = {
    "from_s": HOUR,
    "to_s": HOUR + 3600,
    "before_usd": 0.01,
    "usd": 0.03,
    "records": 1,
    "read": "2026-11-30T15:10:00+00:00",
    "trouble": "",
}


def costs(bill):
    """The table of costs of a run whose only worker cost 20 s at 0.001 USD, and its remark."""
    run = load(ROOT / "tests" / "runs" / "queue")
    spans = [{"worker_id": "w", "start_s": 0.0, "seen_s": 15.0, "ready_s": 1.0, "busy_s": 15.0}]
    platform = {"settings": QUEUE, "workers": spans, "bill": bill}
    (found,) = cost_sheets(Tables(replace(run, about={**run.about, "options": {"price": "0.001"}, "platform": platform})))
    return {row[0]: row[1:] for row in found.rows}, found.remark


def test_the_platforms_own_figure_stands_beside_the_total():
    rows, remark = costs(BILL)
    assert rows["total"][:2] == ("20.0 s", "0.0200 USD")
    seconds, usd, how = rows["billed by the platform"]
    assert (seconds, usd) == ("", "0.0200 USD")
    assert how == (
        "the billing API on 2026-11-30T15:10: the whole endpoint, 2026-11-30 13:00 to 14:00 UTC, less 0.0100 USD before the run; "
        "+0.0% against the total"
    )
    assert "records may come later: coldburst bill " in remark


def test_without_a_record_the_remark_says_how_to_read_it_later():
    rows, remark = costs({**BILL, "usd": 0.0, "records": 0})
    assert "billed by the platform" not in rows
    assert "The billing API has no record for 2026-11-30 13:00 to 14:00 UTC yet; records may come later: coldburst bill " in remark


@pytest.mark.parametrize(
    "bill", [None, [], {}, {**BILL, "usd": float("nan")}, {**BILL, "to_s": HOUR}, {**BILL, "from_s": -1}, {**BILL, "to_s": 1e30}]
)
def test_a_bill_that_cannot_be_used_is_left_out(bill):
    assert platform_bill({"platform": {"bill": bill}}) is None
    assert "billed by the platform" not in costs(bill)[0]
