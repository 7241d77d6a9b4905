"""Rows that travel as lines: the same rows, parsed when they are looked at."""

from coldburst.record.attempt import Attempt, line, row_line
from coldburst.record.batches import RowBatch, read_events

ROWS = [Attempt(seq, 1, "burst", 0.5, "ok", error='a, "b"\nc', done_s=float(seq)) for seq in range(5)]


def test_a_batch_has_the_rows_that_were_written_in_their_order():
    batch = RowBatch("".join(row_line(row) for row in ROWS))
    assert len(batch) == 5
    assert [row.seq for row in batch] == [0, 1, 2, 3, 4]
    assert [row.seq for row in batch[-2:]] == [3, 4]
    assert (batch[3].done_s, batch[3].error) == (3.0, 'a, "b" c')


def test_a_batch_without_rows_is_empty():
    assert (len(RowBatch("")), list(RowBatch(""))) == (0, [])


def test_rows_are_parsed_only_when_they_are_looked_at():
    batch = RowBatch("not a row\n" + row_line(ROWS[4]))
    assert [row.seq for row in batch[1:]] == [4]


def test_events_have_their_types_and_what_merely_waited_is_left_out():
    told = [1.5, "failed", 7, 1, "burst", "", 0.25, "service_error", "it was ,queued, before", "g1"]
    waited = [1.6, "queued", 8, 1, "burst", "w1", 0.25, "", "", "g1"]
    (row,) = read_events(line(told) + line(waited))
    assert (row["at_s"], row["seq"], row["worker_id"], row["detail"]) == (1.5, 7, "", "it was ,queued, before")
