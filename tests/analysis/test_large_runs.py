"""Runs of many rows: the same figures as plain Python makes of them, whatever the order of the rows, in bounded memory."""

import csv
import errno
import math
import os
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.report import report
from analysis.report.metrics_json import metrics
from analysis.runs import csv_columns, disk_columns, parquet_copy
from analysis.runs.load import ATTEMPTS, SMALL, UNREAD, RunError, load, sorting_places
from analysis.tables.run_tables import Tables, attempts_sent, first_attempt_values, last_attempts
from analysis.verdict.verdict import judge
from bench.analysis import cost, write
from coldburst.record.attempt import HEADER

N = 50_000
HANG_S, MOST_BYTES = 900, 1e9


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of N rows, its metrics, and its requests: a list of attempts for each seq, as plain Python reads them."""
    run = tmp_path_factory.mktemp("scale") / "run"
    write(run, N)
    of = Tables(load(run))
    requests = defaultdict(list)
    with (run / "attempts.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            requests[int(row["seq"])].append(row)
    return metrics(of, judge(of.run, of)), [sorted(requests[seq], key=lambda row: int(row["attempt"])) for seq in sorted(requests)]


def number(row, name):
    return float(row[name]) if row[name] else None


def less(above, *below):
    return None if above is None or None in below else above - math.fsum(below)


def end(row):
    return None if row["outcome"] == "unfinished" else number(row, "done_s")


def response(tries):
    return less(end(tries[-1]), number(tries[0], "scheduled_s"))


def service(tries):
    return less(end(tries[-1]), number(tries[-1], "sent_s"))


def sampled(values):
    """What metrics.json says of a sample, without its intervals."""
    known = sorted(value for value in values if value is not None)
    found = {f"p{p}": round(known[max(-(-len(known) * p // 100), 1) - 1], 9) for p in (50, 90, 95, 99)}
    return {"n": len(known), **found, "max": round(known[-1], 9), "mean": pytest.approx(math.fsum(known) / len(known), abs=2e-9)}


def said(sample):
    return {name: value for name, value in sample.items() if name not in ("intervals", "left_out")}


def ok(requests):
    return [tries for tries in requests if tries[-1]["outcome"] == "ok"]


@pytest.mark.slow
def test_the_ledger_of_many_rows_is_that_of_plain_python(made):
    found, requests = made
    counts = dict(Counter(tries[-1]["outcome"] for tries in requests))
    assert sum(map(len, requests)) == N
    assert (found["ledger"]["counts"], found["ledger"]["missing"]) == (counts, 0)
    assert found["ledger"]["ok_share"] == round(counts["ok"] / len(requests), 9)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "value"), [("response_time_s", response), ("service_time_s", service)])
def test_times_of_many_rows_are_those_of_plain_python(made, table, value):
    found, requests = made
    assert said(found[table]["ok"]) == sampled(map(value, ok(requests)))
    assert said(found[table]["ended"]) == sampled(map(value, requests))


@pytest.mark.slow
def test_lateness_is_that_of_the_first_attempts(made):
    found, requests = made
    late = sampled(number(a, "sent_s") - number(a, "scheduled_s") - number(a, "held_s") for a, *_ in requests)
    assert {name: found["lateness_s"][name] for name in late} == late
    assert found["lateness_s"]["held"] == sum(number(tries[0], "held_s") > 0 for tries in requests)


@pytest.mark.slow
def test_what_the_endpoint_told_of_many_rows(made):
    found, requests = made
    assert said(found["endpoint"]["queue_delay_s"]) == sampled(number(tries[-1], "queue_s") for tries in ok(requests))
    assert said(found["endpoint"]["execution_time_s"]) == sampled(number(tries[-1], "execution_s") for tries in ok(requests))
    attempts = [row for tries in requests for row in tries]
    late = [less(number(row, "seen_s"), number(row, "done_s")) for row in attempts]
    assert said(found["endpoint"]["polling"]["late_s"]) == sampled(late)
    again = sum((number(tries[-1], "platform_retries") or 0) > 0 for tries in requests)
    assert found["endpoint"]["dispatched_again"] == again > 0


@pytest.mark.slow
def test_stages_of_many_rows(made):
    found, requests = made
    stages = defaultdict(list)
    for tries in requests:
        stages[tries[-1]["stage"]].append(tries)
    assert [stage["stage"] for stage in found["stages"]] == list(stages)
    for stage in found["stages"]:
        its = stages[stage["stage"]]
        times, ends = sampled(map(response, ok(its))), [done for tries in its if (done := end(tries[-1])) is not None]
        wall_s = max(ends) - min(number(tries[0], "scheduled_s") for tries in its)
        assert (stage["requests"], stage["ok"], stage["p50_s"], stage["p95_s"]) == (len(its), times["n"], times["p50"], times["p95"])
        assert stage["throughput_per_s"] == round(times["n"] / wall_s, 9)


@pytest.mark.slow
def test_tries_of_many_rows(made):
    found, requests = made
    attempts = Counter(row["outcome"] for tries in requests for row in tries)
    ended = Counter(tries[-1]["outcome"] for tries in requests)
    shown = {row["outcome"]: (row["requests"], row["attempts"]) for row in found["tries"]["outcomes"]}
    assert shown == {name: (ended[name], n) for name, n in attempts.items()}
    assert (found["tries"]["amplification"], found["tries"]["attempts"]) == (round(N / len(requests), 9), N)
    first, second = found["tries"]["success"]
    assert (first["ok"], second["ok"]) == tuple(sum(len(tries) == k for tries in ok(requests)) for k in (1, 2))


@pytest.mark.slow
def test_a_worker_that_came_back_makes_cold_starts(made):
    """One of the twenty becomes ready within these 50 s; the three requests that wait for it are sent four seconds before."""
    found, requests = made
    waited = [tries for tries in requests[26_000:26_003] if tries[-1]["worker_id"] == "worker00000001"]
    assert (found["cold"]["starts"], found["cold"]["by"]["worker_list"]) == (1, len(waited))
    assert waited


some = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3), st.booleans()), min_size=1, max_size=14)


@pytest.mark.slow
@given(some)
def test_requests_are_the_last_attempts_in_whatever_order_the_rows_stand(drawn):
    seq, attempt, sent = zip(*drawn, strict=True)
    due = [place + 0.5 for place in range(len(drawn))]
    table = pd.DataFrame({"seq": seq, "attempt": attempt, "sent_s": np.where(sent, 1.0, np.nan), "due": due})
    by_seq = {
        one: sorted((row for row in zip(seq, attempt, due, sent, strict=True) if row[0] == one), key=lambda row: row[1]) for one in seq
    }
    places = sorting_places(table["seq"], table["attempt"])
    for rows_ in (table, table if places is None else table.take(places)):  # as they came, and as they stand in a Run
        last, tried = last_attempts(rows_)
        assert last["seq"].to_list() == sorted(set(seq))
        assert last["due"].to_list() == [by_seq[one][-1][2] for one in sorted(by_seq)]
        assert first_attempt_values(last, tried, "due").tolist() == [by_seq[one][0][2] for one in sorted(by_seq)]
        assert attempts_sent(last, tried).tolist() == [sum(row[3] for row in by_seq[one]) for one in sorted(by_seq)]
        assert len(tried) == len(table) - len(last)
    assert places is None or sorting_places(table["seq"].take(places), table["attempt"].take(places)) is None


@pytest.mark.slow
def test_rows_that_stand_in_order_are_not_copied(made):
    attempts = pd.DataFrame({"seq": [3, 1, 2, 3], "attempt": [1, 1, 1, 2], "sent_s": [0.0, 1.0, 2.0, 3.0]})
    last, tried = last_attempts(attempts)
    assert (last["sent_s"].to_list(), tried["sent_s"].to_list()) == ([1.0, 2.0, 3.0], [0.0])
    assert np.shares_memory(last["sent_s"].to_numpy(), attempts["sent_s"].to_numpy())


DTYPES = {"seq": "Int64", "attempt": "Int32", "sent_s": "float64", "cold": "boolean", "outcome": "category", "stage": "str"}
LINE = "%d,1,0.5,true,ok,steady\n"


def columns_of(path, end):
    return dict(csv_columns.read_columns(path, end, DTYPES))


def both(path, monkeypatch):
    """The rows from a Parquet copy, which pandas filled seven rows at a time if DuckDB refuses the file, and all at once."""
    end, _ = csv_columns.whole_lines(path)
    whole = pd.DataFrame(columns_of(path, end))
    monkeypatch.setattr(parquet_copy, "ROWS", 7)
    monkeypatch.setattr(parquet_copy, "LARGE", 0)
    return pd.DataFrame(columns_of(path, end)), whole


@pytest.mark.parametrize(
    "odd",
    [
        b'1000,1,,,failed,"two\nlines, and ""quotes"""\n',
        b"1000,1,-1e-05,false,failed,\xff\xfe broken \xf0\x9f\x98\n",
        b"1000,1,,,failed,\n\n1001,2,7,True,ok,\xf0\x9f\x98\x80\r\n",
        b'1000,1,"","",failed,NA\n1001,1, 2.5,0,failed,"\xe4\xb8\xad"\n',
        b"1000,1,0.1,,=cmd|' /C calc'!A0,nan\n1001,1,0.",
    ],
    ids=["quoted newline", "no UTF-8", "line ends", "quoted and empty", "formula, torn"],
)
def test_a_parquet_copy_has_the_cells_of_the_file(tmp_path, monkeypatch, odd):
    path, lines = tmp_path / "attempts.csv", [(LINE % seq).encode() for seq in range(100)]
    path.write_bytes(
        b"seq,attempt,sent_s,cold,outcome,stage\n" + b"".join([*lines[:50], odd, *([] if b"\n1001,1,0." in odd else lines[50:])])
    )
    blocks, whole = both(path, monkeypatch)
    pd.testing.assert_frame_equal(blocks, whole, check_exact=True)
    assert len(blocks) > 50
    assert list(blocks["sent_s"].iloc[:50]) == [0.5] * 50
    assert path.with_suffix(".parquet").is_file()


@pytest.mark.parametrize(
    ("odd", "known"),
    [
        ("1,1", math.nan),
        ("+1,1,1.5,true,ok,x", 1.5),
        ("1,1,2.5,true,ok,x,more,cells", 2.5),
        ("1,1,nan,,ok,x", "cannot"),
        ("1.5,1,,,ok,x", "cannot"),
        ("99999999999999999999,1,,,ok,x", "invalid|large|integer|cannot"),
        ('1,1,,,ok,"x', "EOF"),
    ],
)
@pytest.mark.parametrize("large", [0, 10**9])
def test_odd_rows_are_read_or_refused(tmp_path, monkeypatch, odd, known, large):
    monkeypatch.setattr(parquet_copy, "LARGE", large)
    path = tmp_path / "attempts.csv"
    path.write_text(f"seq,attempt,sent_s,cold,outcome,stage\n0,1,0.0,,ok,\n{odd}\n", encoding="utf-8")
    if isinstance(known, str):
        with pytest.raises((ValueError, TypeError, ArithmeticError), match=known):
            columns_of(path, path.stat().st_size)
    else:
        rows = pd.DataFrame(columns_of(path, path.stat().st_size))
        assert rows["sent_s"].iloc[1] == pytest.approx(known, nan_ok=True)
        assert not rows[["outcome", "stage"]].isna().any(axis=None)


@pytest.mark.parametrize(("content", "known"), [("", 0), ("torn", 0), ("a\nb\n", 4), ("a\n" + "x" * 999, 2), ("a\n\n", 3)])
def test_the_torn_tail_is_found_from_the_end(tmp_path, monkeypatch, content, known):
    monkeypatch.setattr(csv_columns, "BLOCK", 64)
    path = tmp_path / "rows.csv"
    path.write_text(content, encoding="utf-8")
    end, told = csv_columns.whole_lines(path)
    assert end == known
    assert told == (f"rows.csv: the last line is incomplete ({len(content) - end} characters) and was left out"
                    if len(content) > end else "")  # fmt: skip


@pytest.mark.slow
def test_a_run_keeps_every_column_that_a_table_uses(made, tmp_path):
    (tmp_path / "run.json").write_text('{"format": 1}', encoding="utf-8")
    (tmp_path / "attempts.csv").write_text(HEADER, encoding="utf-8")
    attempts = load(tmp_path).attempts
    assert set(attempts.columns) == set(ATTEMPTS) - set(UNREAD)
    assert {str(attempts[name].dtype) for name in SMALL} == {"Int32"}


@pytest.mark.nightly
def test_a_million_rows_take_no_more_than_their_memory(tmp_path):
    write(tmp_path / "run", 1_000_000)
    wall_s, _, memory = cost("-m", "analysis", "report", str(tmp_path / "run"), "--quiet")
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    assert memory < MOST_BYTES
    assert wall_s < HANG_S
    (tmp_path / "run" / "attempts.csv").unlink()


@pytest.mark.slow
def test_a_large_run_gives_the_same_report(tmp_path, monkeypatch):
    """Every file of the report is the same: as pandas reads the rows, from DuckDB, and from the copy, with each column in a file."""
    write(tmp_path / "run", 6_000)
    said = []
    for large, rows in ((10**9, 10**9), (0, 500), (0, 500)):
        monkeypatch.setattr(parquet_copy, "LARGE", large)
        monkeypatch.setattr(disk_columns, "ROWS_IN_MEMORY", rows)
        folder = tmp_path / f"report-{len(said)}"
        report.write(report.report(load(tmp_path / "run")), folder, figures=False)
        said.append({path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()})
    assert set(said[0]) >= {"metrics.json", "index.html", "report.md", "cold.csv"}
    assert said[1] == said[0]
    assert said[2] == said[0]


def copied(path, monkeypatch, **changes):
    for name, value in changes.items():
        monkeypatch.setattr(parquet_copy, name, value)
    columns_of(path, csv_columns.whole_lines(path)[0])
    return path.with_suffix(".parquet")


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A file of three rows, and its copy."""
    path = tmp_path / "attempts.csv"
    path.write_text("seq,attempt,sent_s,cold,outcome,stage\n" + "".join(LINE % seq for seq in range(3)), encoding="utf-8")
    return path, copied(path, monkeypatch, LARGE=0)


def test_a_copy_is_read_in_place_of_its_file(few, monkeypatch):
    path, copy = few
    before = copy.stat()
    monkeypatch.setattr(parquet_copy, "_make", None)
    assert copied(path, monkeypatch).stat() == before


@pytest.mark.parametrize("change", ["rows", "time", "copy"])
def test_a_copy_of_another_state_is_replaced(few, monkeypatch, change):
    path, copy = few
    if change == "rows":
        path.write_text(path.read_text(encoding="utf-8") + LINE % 3, encoding="utf-8")
    elif change == "time":
        os.utime(path, ns=(1, 1))
    else:
        copy.write_bytes(copy.read_bytes()[:99])
    columns = columns_of(path, path.stat().st_size)
    assert columns["seq"].tolist() == list(range(4 if change == "rows" else 3))
    monkeypatch.setattr(parquet_copy, "_make", None)
    assert columns_of(path, path.stat().st_size)["seq"].tolist() == columns["seq"].tolist()


def test_a_directory_that_cannot_be_written_gets_no_copy(few, monkeypatch):
    path, copy = few
    copy.unlink()
    monkeypatch.setattr(parquet_copy.os, "access", lambda *_: False)
    assert not copied(path, monkeypatch).exists()
    assert [one.name for one in path.parent.iterdir()] == ["attempts.csv"]


@pytest.mark.slow
def test_columns_of_a_large_run_are_mapped_from_files(tmp_path, monkeypatch):
    write(tmp_path / "run", 3_000)
    monkeypatch.setattr(disk_columns, "ROWS_IN_MEMORY", 500)
    requests = Tables(load(tmp_path / "run")).requests
    held = {name: disk_columns.is_mapped(requests[name].to_numpy()) for name in requests if requests[name].dtype == np.float64}
    assert len(held) > len(ATTEMPTS) / 2
    assert [name for name, on_disk in held.items() if not on_disk] == []


@pytest.mark.slow
def test_a_full_disk_says_where_room_is_needed(tmp_path, monkeypatch):
    class Full:
        def write(self, block):
            raise OSError(errno.ENOSPC, "No space left on device")

    write(tmp_path / "run", 1_000)
    monkeypatch.setattr(disk_columns, "ROWS_IN_MEMORY", 500)
    monkeypatch.setattr(disk_columns.tempfile, "TemporaryFile", Full)
    with pytest.raises(RunError, match=r"No space left on device in .*: set TMPDIR to a directory with room"):
        load(tmp_path / "run")
