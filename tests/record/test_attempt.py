"""The record: outcomes decided in one place, rows that survive any text, a ledger that tells what is missing."""

import csv
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.lines import one_line
from coldburst.record.attempt import COLUMNS, HEADER, OUTCOMES, Attempt, read_rows, row_line
from coldburst.record.ledger import Ledger
from coldburst.targets.outcome import FAULTS, WORDS, decide
from tests.support.attempt_rows import ledger

TEXTS = st.text(st.characters(), max_size=300)
NUMBERS = st.none() | st.floats(0, 1e6).map(lambda value: round(value, 6))
ROWS = st.builds(
    Attempt,
    seq=st.integers(0, 10**9),
    attempt=st.integers(1, 9),
    stage=st.sampled_from(["burst", "steady"]),
    scheduled_s=st.floats(0, 1e6).map(lambda value: round(value, 6)),
    outcome=st.sampled_from(list(OUTCOMES)),
    sent_s=NUMBERS,
    status=st.none() | st.integers(100, 599),
    cold=st.none() | st.booleans(),
    worker_id=TEXTS,
    error=TEXTS,
)


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        ({"status": 200}, "ok"),
        ({"status": 204}, "ok"),
        ({"status": 200, "says": "error"}, "failed"),
        ({"status": 200, "says": "wrong"}, "wrong"),
        ({"status": 302}, "wrong"),
        ({"status": 500}, "failed"),
        ({"status": 503, "says": "busy"}, "busy"),
        ({"status": 503}, "failed"),
        ({"status": 502}, "unreachable"),
        ({"status": 524}, "timed_out"),
        ({"status": 429}, "throttled"),
        ({"status": 400}, "refused"),
        ({"status": 401}, "refused"),
        ({"status": 400, "says": "gave_up_waiting"}, "queue_timeout"),
        ({"status": 200, "says": "out_of_time"}, "timed_out"),
        ({"fault": "connect"}, "unreachable"),
        ({"fault": "reset"}, "unreachable"),
        ({"fault": "deadline"}, "abandoned"),
        ({"cut": True}, "unfinished"),
        ({"sent": False}, "not_sent"),
        ({"sent": False, "cut": True}, "not_sent"),
    ],
)
def test_the_outcome_follows_from_the_evidence(evidence, outcome):
    assert decide(**evidence) == outcome


def test_every_evidence_has_an_outcome_of_the_closed_set_and_every_outcome_its_evidence():
    whole = {decide(status=status, says=says) for status, says in itertools.product(range(100, 1000), ("", *WORDS))}
    broken = {decide(fault=fault) for fault in FAULTS} | {decide(cut=True), decide(sent=False)}
    assert whole | broken == set(OUTCOMES)


def test_evidence_outside_the_closed_sets_is_an_error():
    for evidence in ({}, {"fault": "gremlin"}, {"status": 200, "says": "maybe"}):
        with pytest.raises(ValueError, match=r"evidence|status"):
            decide(**evidence)


@pytest.mark.slow
@given(st.lists(ROWS, max_size=5))
def test_rows_read_back_and_each_is_one_line(rows):
    content = "".join(row_line(row) for row in rows)
    assert len(content.splitlines()) == len(rows)
    back = list(read_rows(content))
    assert [(row.seq, row.sent_s, row.status, row.cold) for row in back] == [(row.seq, row.sent_s, row.status, row.cold) for row in rows]
    for row, text in zip(back, (row.error for row in rows), strict=True):
        assert row.error in (text, one_line(text))
        assert len(row.error) <= 200


def test_a_row_has_microseconds_one_line_a_text_and_empty_cells_for_what_was_not_measured():
    row = Attempt(7, 1, "a,b", 0.1234567, "failed", sent_s=2.0, status=500, cold=False, wer=1e-7, error='says "no"\nand ends')
    cells = row_line(row).removesuffix("\n").split(",")
    assert cells[:5] == ["7", "1", '"a', 'b"', "0.123457"]
    assert cells[-1] == '"says ""no"" and ends"'
    assert len(next(csv.reader([row_line(row)]))) == len(COLUMNS)
    assert {"2.000000", "500", "false", "0.000000"} <= set(cells)


def test_values_of_another_type_than_their_column_are_written_too():
    row = Attempt(0, 1, "burst", 1, "ok", polls=2.5, worker_id=["w"], queue_s=True, tokens_in=float("nan"))
    (read,) = csv.DictReader([HEADER, row_line(row)])
    assert (read["scheduled_s"], read["polls"], read["worker_id"], read["queue_s"]) == ("1", "2.5", "['w']", "true")
    assert read["tokens_in"] == ""


def test_a_row_is_small_and_holds_no_infinity():
    row = Attempt(1, 1, "burst", 0.1, "failed", wer=float("nan"), queue_s=float("inf"), error="<" * 10_000)
    assert len(row_line(row)) < 500
    assert ",nan" not in row_line(row).lower()
    assert "inf" not in row_line(row)


def test_a_row_that_cannot_be_read_is_named():
    with pytest.raises(ValueError, match=r"attempts\.csv, line 3"):
        list(read_rows(row_line(Attempt(0, 1, "burst", 0.0, "ok")) + "one,1,burst\n"))


def test_the_ledger_counts_requests_not_tries_and_tells_what_is_missing():
    rows = [
        Attempt(0, 1, "burst", 0.0, "busy"),
        Attempt(0, 2, "burst", 0.0, "ok"),
        Attempt(1, 1, "burst", 0.0, "queue_timeout"),
    ]
    found = ledger(3, rows)
    assert (found.counts, found.missing, found.balanced) == ({"ok": 1, "queue_timeout": 1}, 1, False)
    assert str(found) == "3 planned = 1 ok + 1 queue_timeout + 1 missing"
    assert Ledger(2, {"ok": 2}).balanced
    assert str(Ledger(0, {})) == "0 planned = 0"


def test_each_column_says_what_it_holds():
    assert all(column.meaning and column.source for column in COLUMNS)
    assert all(column.unit == "s" for column in COLUMNS if column.name.endswith("_s"))
