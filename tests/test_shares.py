"""Shares, clocks and batches of a distributed run, from known answers."""

import random

import pytest

from rig.batches import Batch, Inbox, Outbox
from rig.clocks import Offset, Reading
from rig.schedule import parse
from rig.shares import BLOCK, Deal, Deals, bases


def test_each_arrival_has_one_owner_and_a_new_deal_holds_from_its_instant_on():
    deals = Deals([Deal(0.0, ("a", "b", "c")), Deal(10.0, ("a", "c"))])
    assert [deals.owner(seq, 1.0) for seq in range(6)] == ["a", "b", "c", "a", "b", "c"]
    assert [deals.owner(seq, 10.0) for seq in range(4)] == ["a", "c", "a", "c"]
    assert deals.owner(7, 9.999) == "b"
    assert deals.owner(0, -1.0) == "a"


def test_a_deal_needs_members_and_comes_after_the_one_before():
    with pytest.raises(ValueError, match="needs members"):
        Deals([Deal(0.0, ())])
    with pytest.raises(ValueError, match="after the one before"):
        Deals([Deal(5.0, ("a",)), Deal(4.0, ("a",))])


def test_places_of_a_closed_loop_are_dealt_out_whole():
    deals = Deals([Deal(0.0, ("a", "b", "c")), Deal(10.0, ("b", "c"))])
    assert [list(deals.places(name, 0.0, 7)) for name in "abc"] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [list(deals.places(name, 10.0, 7)) for name in "abc"] == [[], [0, 1, 2, 3], [4, 5, 6]]
    assert [list(deals.places(name, 0.0, 1)) for name in "abc"] == [[0], [], []]


def test_deals_travel_as_plain_lists():
    deals = Deals([Deal(0.0, ("a", "b")), Deal(2.5, ("b",))])
    assert Deals.read(deals.plain()).plain() == [[0.0, ["a", "b"]], [2.5, ["b"]]]


def test_numbers_of_stages_are_the_same_for_everyone():
    stages = parse("burst 30, level 10s 4 at a time, steady 10s 2/s")
    assert bases(stages, [30, None, 20]) == [0, 30, 30 + BLOCK]


def test_the_shortest_round_trip_tells_the_offset():
    """The other clock is 5 s ahead; the way there takes 10 ms, the way back 10 to 90 ms."""
    offset, rng = Offset(), random.Random(1)
    for number in range(8):
        asked_s = float(number)
        back_s = 0.01 + (0.0 if number == 5 else rng.uniform(0.01, 0.08))
        offset.add(Reading(asked_s, asked_s + 0.01 + 5.0, asked_s + 0.01 + back_s))
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
