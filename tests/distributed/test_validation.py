"""What the master checks in generators' rows: everything that a generator can write passes, and nothing else."""

import csv
import zlib
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.distributed.assignment import BLOCK, SLOTS
from coldburst.distributed.validation import PAGE_BITS, RowChecker, SequenceNumbers
from coldburst.record.attempt import OUTCOMES, Attempt, row_line
from coldburst.record.batches import Batch
from coldburst.schedule.stages import parse

NUMBERS = st.none() | st.floats()
TEXT, BOOL = st.text(), st.booleans()
KINDS = {
    "int | None": st.none() | st.integers(0, 10**12),
    "float | None": NUMBERS,
    "bool | None": st.none() | st.booleans(),
    "str": st.text(),
}
ROW = Attempt(0, 1, "steady", 0.1, "ok", generator="g1")


def batch(*rows, **counts):
    """A batch with these rows, and the counts that go with them if they are first attempts with the outcome ok."""
    text = "".join(row if isinstance(row, str) else row_line(row) for row in rows)
    right = {"requests": {"ok": len(rows)}, "attempts": {"ok": len(rows)}}
    return Batch(1, {"attempts": zlib.compress(text.encode())}, right | counts)


def checker():
    return RowChecker(parse("steady 10s 1/s"), 1)


@pytest.mark.slow
@given(st.data(), st.integers(0, 9), st.floats(-1e9, 1e9), st.sampled_from(sorted(OUTCOMES)))
def test_each_row_that_can_be_written_passes(data, seq, at_s, outcome):
    free = [one for one in fields(Attempt) if one.name not in ("seq", "attempt", "scheduled_s", "outcome", "generator")]
    values = {one.name: data.draw(KINDS[str(one.type)]) for one in free}
    row = Attempt(**{**values, "seq": seq, "attempt": 1, "scheduled_s": at_s, "outcome": outcome, "generator": "g1"})
    checker().check(batch(row, requests={outcome: 1}, attempts={outcome: 1}), "g1")
    assert len(next(csv.reader([row_line(row)]))) == len(fields(Attempt))


def test_each_request_is_counted_once():
    one = checker()
    one.check(batch(ROW, replace(ROW, seq=9)), "g1")
    one.check(batch(replace(ROW, attempt=2), requests={"ok": 0}), "g1")
    with pytest.raises(ValueError, match="counted twice"):
        one.check(batch(ROW), "g1")
    with pytest.raises(ValueError, match="counted twice"):
        one.check(batch(replace(ROW, seq=1), replace(ROW, seq=1)), "g1")
    with pytest.raises(ValueError, match="first attempt is missing"):
        one.check(batch(replace(ROW, seq=2, attempt=2), requests={"ok": 0}), "g1")
    one.check(batch(replace(ROW, seq=1)), "g1")


@pytest.mark.parametrize(
    "wrong",
    [
        batch(replace(ROW, seq=10)),
        batch(replace(ROW, generator="g2")),
        batch(ROW, requests={"ok": 2}),
        batch(ROW, requests={"ok": -1}),
        batch(ROW, requests={"ok": 1.0}),
        batch(ROW, attempts={"failed": 1}),
        batch(ROW, others={"ok": 1}),
        batch(row_line(ROW).replace("ok", "fine")),
        batch(row_line(ROW).replace("0.1", "nan")),
        batch(row_line(ROW).rstrip("\n")),
        batch('"' + row_line(ROW)),
        batch("a line\n"),
        Batch(1, {"../x": b""}, {}),
    ],
)
def test_what_no_generator_can_have_written_is_refused(wrong):
    with pytest.raises(ValueError, match=r"."):
        checker().check(wrong, "g1")


@pytest.mark.slow
def test_a_batch_that_grows_without_end_is_refused():
    with pytest.raises(ValueError, match="more than 20,000,000 bytes"):
        checker().check(Batch(1, {"attempts": zlib.compress(bytes(50_000_000))}, {}), "g1")


def test_a_closed_loop_with_a_duration_may_send_more_than_a_generators_ten_thousand_requests():
    """Generators' numbers are SLOTS apart; those of a million requests fit into little memory, once each."""
    one = RowChecker(parse("level 10s 8 at a time"), 1)
    one.check(batch(replace(ROW, seq=9_999 * SLOTS), replace(ROW, seq=10_000 * SLOTS), replace(ROW, seq=99_999_999 * SLOTS + 1)), "g1")
    with pytest.raises(ValueError, match="counted twice"):
        one.check(batch(replace(ROW, seq=10_000 * SLOTS)), "g1")
    with pytest.raises(ValueError, match="not planned"):
        one.check(batch(replace(ROW, seq=BLOCK)), "g1")


@given(st.lists(st.integers(0, 3 * PAGE_BITS).map(lambda number: number * SLOTS) | st.integers(0, BLOCK - 1), max_size=50))
def test_sequence_numbers_are_a_set(numbers):
    found = SequenceNumbers()
    for place, number in enumerate(numbers):
        assert (number in found) == (number in numbers[:place])
        found.update([number])
    assert all(number in found for number in numbers)
