"""Requests with an upload and a download, against arithmetic by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.figures.anatomy import burst, phases
from analysis.report.run_sheets import run_sheets
from analysis.runs.load import load
from analysis.tables.run_tables import Tables
from analysis.verdict.verdict import judge
from coldburst.record.attempt import HEADER, Attempt, row_line
from tests.analysis.test_metrics_schema import content, wrong
from tests.support.locusts import ROOT

# Due, upload, sent, done, seen, download.
ROWS = [
    Attempt(0, 1, "burst", 0.0, "ok", held_s=0.5, upload_s=2.0, sent_s=2.51, done_s=5.5, seen_s=6.0, download_s=1.0, status=200),
    # Tried twice: the upload is that of the first try.
    Attempt(1, 1, "burst", 1.0, "busy", held_s=0.0, upload_s=3.0, sent_s=4.0, done_s=4.5, status=503),
    Attempt(1, 2, "burst", 1.0, "ok", upload_s=3.0, sent_s=6.0, done_s=8.0, download_s=0.5, status=200),
    # Its upload failed: nothing reached the endpoint.
    Attempt(2, 1, "burst", 1.0, "failed", held_s=0.0, upload_s=7.0, done_s=8.0, error="upload: SlowDown (503 after 3 tries)"),
    # Without a file.
    Attempt(3, 1, "burst", 2.0, "ok", held_s=0.0, sent_s=2.25, done_s=4.0, status=200),
]
FULL = [f'5.0,object_pool_full,0,1,burst,,,,"pool of 10, {at_once} at once",local' for at_once in (17, 30, 30)]
EVENTS = [
    "at_s,kind,seq,attempt,stage,worker_id,seconds,cause,detail,generator",
    *FULL,
    "6.0,object_retried,2,1,burst,,,,upload: 503 SlowDown,local",
]


@pytest.fixture
def run(tmp_path):
    about = (ROOT / "tests" / "runs" / "burst" / "run.json").read_text(encoding="utf-8")
    (tmp_path / "run.json").write_text(about, encoding="utf-8")
    (tmp_path / "attempts.csv").write_text(HEADER + "".join(row_line(row) for row in ROWS), encoding="utf-8")
    (tmp_path / "events.csv").write_text("\n".join(EVENTS) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def tables(run):
    return Tables(load(run))


def test_a_response_time_begins_when_the_upload_has_ended(tables):
    found = tables.requests["response_s"].to_list()
    assert found[:2] == [5.5 - 0.0 - 2.0, 8.0 - 1.0 - 3.0]
    assert np.isnan(found[2]), "it was not sent"
    assert found[3] == 2.0


def test_the_send_delay_has_neither_the_upload_nor_the_wait_at_the_cap(tables):
    assert tables.requests["lateness_s"].to_list() == pytest.approx([0.01, 0.0, np.nan, 0.25], nan_ok=True)


def test_a_failed_upload_is_a_failed_request_in_a_ledger_that_balances(tables):
    assert dict(tables.ledger.counts) == {"ok": 3, "failed": 1}


def test_the_end_to_end_time_runs_from_due_to_the_result_in_hand(tables):
    found = tables.object_transfers
    assert (found.upload.n, found.upload.maximum, found.upload.mean) == (3, 7.0, 4.0)
    assert (found.download.n, found.download.maximum) == (2, 1.0)
    # 6.0 + 1.0 − 0 by the poll that saw the end; 8.0 + 0.5 − 1.0; 4.0 − 2.0.
    assert (found.end_to_end.n, found.end_to_end.maximum) == (3, 7.5)
    assert found.end_to_end.mean == pytest.approx((7.0 + 7.5 + 2.0) / 3)


def test_discarded_connections_are_counted_with_the_size_to_choose(tables):
    found = tables.object_transfers
    assert (found.retried, found.discarded, found.pool, found.at_once) == (1, 3, 10, 30)
    (sheet,) = (sheet for sheet in run_sheets(tables) if sheet.title == "Object storage")
    assert "use --objects-pool 30" in sheet.remark


def test_the_parts_of_a_bar_add_up_and_begin_after_the_upload(tables):
    rows = tables.requests
    parts = pd.DataFrame(phases(rows)).sum(axis=1).to_numpy()
    assert parts == pytest.approx(rows["response_s"].fillna(0.0).to_numpy())
    data = burst(tables).data
    assert data["from_s"].to_list() == [2.0, 4.0, 2.0]
    ends = data["from_s"].to_numpy() + parts[[0, 1, 3]]
    assert ends == pytest.approx([5.5, 8.0, 4.0])


def test_metrics_json_has_them(run):
    found = content(run)
    assert wrong(found) == []
    assert found["objects"]["end_to_end_s"]["max"] == 7.5
    assert found["objects"]["discarded"] == 3


def test_a_run_without_objects_has_no_table(tables):
    assert Tables(load(ROOT / "tests" / "runs" / "burst")).object_transfers is None


def test_objectives_take_the_phases_and_the_end_to_end_time(run):
    found = content(run, objectives=[{"that": "upload_max < 8 s"}, {"that": "download_max < 1 s"}, {"that": "end_to_end_max < 8 s"}])
    assert [one["state"] for one in found["objectives"]] == ["met", "missed", "met"]


def test_a_run_whose_uploads_all_failed_says_so(tables):
    failed = tables.attempts[tables.attempts["seq"] == 2]
    assert any(
        "1 upload failed, most often with 'upload: SlowDown" in reason
        for reason in judge(tables.run, Tables(replace(tables.run, attempts=failed))).reasons
    )
