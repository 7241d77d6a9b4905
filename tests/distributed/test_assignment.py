"""Shares, clocks and batches of a distributed run, from known answers."""

import random

import pytest

from coldburst.distributed.assignment import BLOCK, Assignment, Assignments, LeasedNumbers, SequencePool, bases
from coldburst.distributed.clock_sync import ClockOffset, ClockReading
from coldburst.record.batches import Batch, Inbox, Outbox
from coldburst.schedule.stages import parse


def test_each_arrival_has_one_owner_and_a_new_deal_holds_from_its_instant_on():
    assignments = Assignments([Assignment(0.0, ("a", "b", "c")), Assignment(10.0, ("a", "c"))])
    assert [assignments.owner(seq, 1.0) for seq in range(6)] == ["a", "b", "c", "a", "b", "c"]
    assert [assignments.owner(seq, 10.0) for seq in range(4)] == ["a", "c", "a", "c"]
    assert assignments.owner(7, 9.999) == "b"
    assert assignments.owner(0, -1.0) == "a"


def test_a_deal_needs_members_and_comes_after_the_one_before():
    with pytest.raises(ValueError, match="needs members"):
        Assignments([Assignment(0.0, ())])
    with pytest.raises(ValueError, match="after the one before"):
        Assignments([Assignment(5.0, ("a",)), Assignment(4.0, ("a",))])


def test_places_of_a_closed_loop_are_dealt_out_whole():
    assignments = Assignments([Assignment(0.0, ("a", "b", "c")), Assignment(10.0, ("b", "c"))])
    assert [list(assignments.places(name, 0.0, 7)) for name in "abc"] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [list(assignments.places(name, 10.0, 7)) for name in "abc"] == [[], [0, 1, 2, 3], [4, 5, 6]]
    assert [list(assignments.places(name, 0.0, 1)) for name in "abc"] == [[0], [], []]


def test_deals_travel_as_plain_lists():
    assignments = Assignments([Assignment(0.0, ("a", "b")), Assignment(2.5, ("b",))])
    assert Assignments.read(assignments.plain()).plain() == [[0.0, ["a", "b"]], [2.5, ["b"]]]


def test_numbers_of_stages_are_the_same_for_everyone():
    stages = parse("burst 30, level 10s 4 at a time, steady 10s 2/s")
    assert bases(stages, [30, None, 20]) == [0, 30, 30 + BLOCK]


def test_the_shortest_round_trip_tells_the_offset():
    """The other clock is 5 s ahead; the way there takes 10 ms, the way back 10 to 90 ms."""
    offset, rng = ClockOffset(), random.Random(1)
    for number in range(8):
        asked_s = float(number)
        back_s = 0.01 + (0.0 if number == 5 else rng.uniform(0.01, 0.08))
        offset.add(ClockReading(asked_s, asked_s + 0.01 + 5.0, asked_s + 0.01 + back_s))
    assert offset.best.offset_s == pytest.approx(5.0)
    assert offset.best.round_trip_s == pytest.approx(0.02)


def ship(outbox, inbox, lost=()):
    """Sends what is due; batches with a number in ``lost`` do not arrive. What arrived, by line."""
    came = []
    for batch in outbox.due():
        if batch.number not in lost and inbox.takes(Batch.read(batch.plain())):
            came += batch.lines("attempts").splitlines()
    outbox.acknowledged(inbox.number)
    return came


def test_batches_that_are_lost_come_again_in_order_and_none_twice():
    outbox, inbox = Outbox(), Inbox()
    outbox.add("attempts", "one\n", {"requests": {"ok": 1}})
    assert ship(outbox, inbox, lost={1}) == []
    outbox.add("attempts", "two\n", {"requests": {"ok": 1}})
    assert ship(outbox, inbox, lost={1}) == []  # the second came after a gap and is not taken
    assert ship(outbox, inbox) == ["one", "two"]
    assert outbox.empty
    assert ship(outbox, inbox) == []


def test_an_acknowledgement_that_is_lost_brings_nothing_twice():
    outbox, inbox = Outbox(), Inbox()
    outbox.add("attempts", "one\n")
    (batch,) = outbox.due()
    assert inbox.takes(batch)
    (again,) = outbox.due()
    assert again.number == 1
    assert not inbox.takes(again)
    outbox.acknowledged(inbox.number)
    assert outbox.empty


def test_counts_travel_with_the_rows_that_made_them():
    outbox = Outbox()
    outbox.add("attempts", "a\n", {"requests": {"throttled": 1}})
    outbox.add("attempts", "b\n", {"requests": {"throttled": -1, "ok": 1}, "attempts": {"ok": 1}})
    outbox.add("events", "c\n")
    (batch,) = outbox.due()
    assert (batch.counts, batch.lines("events"), batch.lines("generator")) == (
        {"requests": {"throttled": 0, "ok": 1}, "attempts": {"ok": 1}},
        "c\n",
        "",
    )


def test_a_backlog_goes_in_several_batches():
    outbox = Outbox()
    for _ in range(50):
        outbox.add("attempts", "x" * 99_999 + "\n")
    assert outbox.last == 1
    assert len(outbox.due()) == 2


def reported(pool, name, numbers, stage=0):
    """The master's word on the pool to ``name``, which hears it."""
    numbers.receive(stage, *pool.after(name, numbers.got), pool.dry)


def taken(numbers, most, stage=0):
    """Up to so many numbers, as a generator takes them."""
    found = [numbers.take(stage) for _ in range(most)]
    return [number for number in found if number is not None]


def test_numbers_of_a_pool_are_given_once_and_those_of_the_lost_alone_are_missing():
    pool, one, two = SequencePool(range(100, 120)), LeasedNumbers(), LeasedNumbers()
    for name, numbers in (("one", one), ("two", two)):
        pool.give(name, 4)
        reported(pool, name, numbers)
    assert taken(one, 3) == [100, 101, 102]
    assert taken(two, 9) == [104, 105, 106, 107]
    assert one.left(0) == 1
    # ``one`` is lost here: of what it was given, 103 was never sent
    pool.give("two", 100)
    reported(pool, "two", two)
    assert pool.dry
    assert two.dry(0)
    assert taken(two, 100) == list(range(108, 120))


def test_words_about_the_pool_may_come_twice_or_not_at_all():
    pool, numbers = SequencePool(range(10)), LeasedNumbers()
    pool.give("one", 2)
    pool.give("one", 2)  # asked twice for the same
    word = pool.after("one", 0)
    pool.give("one", 5)
    reported(pool, "one", numbers)
    numbers.receive(0, *word, False)  # an older word that comes late
    reported(pool, "one", numbers)
    assert taken(numbers, 9) == [0, 1, 2, 3, 4]
    pool.give("one", 7)  # its word is lost
    pool.give("one", 8)
    reported(pool, "one", numbers)
    assert taken(numbers, 9) == [5, 6, 7]
    pool.rest("one")
    reported(pool, "one", numbers)
    assert (taken(numbers, 9), numbers.dry(0)) == ([8, 9], True)


def test_with_the_next_stage_the_one_before_is_over():
    pool, numbers = SequencePool(range(10)), LeasedNumbers()
    pool.give("one", 4)
    reported(pool, "one", numbers, stage=2)
    assert (numbers.dry(1), numbers.dry(2), numbers.dry(3)) == (True, False, False)
    assert (numbers.take(1), numbers.take(3), numbers.take(2)) == (None, None, 0)
    numbers.receive(1, 0, [[50, 60]], False)
    assert taken(numbers, 9, stage=2) == [1, 2, 3]


def test_every_number_is_sent_once_whatever_the_messages_do():
    """Three generators, words that are lost, repeated or late: nothing twice, nothing left but what a lost one was given."""
    for seed in range(50):
        rng, pool = random.Random(seed), SequencePool(range(200))
        crew = {name: LeasedNumbers() for name in "abc"}
        late, used = [], []
        while not pool.dry:
            name = rng.choice("abc" if len(used) < 80 else "bc")  # a is lost
            numbers = crew[name]
            pool.give(name, numbers.taken + rng.randrange(1, 9))
            late.append((numbers, pool.after(name, numbers.got)))
            for heard, word in [late.pop(rng.randrange(len(late)))] * rng.randrange(3):
                heard.receive(0, *word, pool.dry)
            used += taken(numbers, rng.randrange(5))
        for name in "bc":
            reported(pool, name, crew[name])
            used += taken(crew[name], 200)
        assert len(used) == len(set(used))
        assert 200 - len(used) <= 8  # what a was given at most, ahead of what it had taken
