"""Places and slots: first come, first served, and none lost whoever leaves when."""

import asyncio
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.service.admission import FIRST, Admission, NoRoomError


def opened(slots, places=10, **how):
    admission = Admission(places, **how)
    for slot in range(slots):
        admission.offer(slot)
    return admission


def at_once(scenario):
    async def run():
        scenario()

    asyncio.run(run())


def test_before_a_slot_is_loaded_nobody_comes_in():
    with pytest.raises(NoRoomError, match="loading"):
        Admission(10).enter()


def test_slots_go_to_those_who_wait_in_their_order():
    def scenario():
        admission = opened(1)
        first, second, third = (admission.enter() for _ in range(3))
        assert (first.result(), second.done(), admission.busy, admission.waiting) == (0, False, 1, 2)
        admission.leave(first)
        assert (second.result(), third.done()) == (0, False)
        admission.leave(second)
        assert third.result() == 0

    at_once(scenario)


def test_idle_slots_take_turns():
    def scenario():
        admission = opened(3)
        slots = []
        for _ in range(6):
            place = admission.enter()
            slots.append(place.result())
            admission.leave(place)
        assert slots == [0, 1, 2, 0, 1, 2]

    at_once(scenario)


@pytest.mark.parametrize(("how", "word"), [({"fail_fast": True}, "busy"), ({"places": 0}, "overloaded")])
def test_no_room_has_its_own_word(how, word):
    def scenario():
        admission = opened(1, **how)
        admission.enter()
        with pytest.raises(NoRoomError, match=word):
            admission.enter()

    at_once(scenario)


def test_a_retired_slot_comes_back_only_when_it_is_offered_again():
    def scenario():
        admission = opened(2)
        first = admission.enter()
        admission.retire(0)
        admission.leave(first)
        admission.enter()
        waiter = admission.enter()
        assert (admission.busy, waiter.done()) == (1, False)
        admission.offer(0)
        assert (admission.busy, waiter.result()) == (2, 0)

    at_once(scenario)


@given(slots=st.integers(1, 3), places=st.integers(0, 3), moves=st.lists(st.integers(0, 6), max_size=40))
def test_whatever_happens_the_counts_add_up_and_at_last_all_is_free(slots, places, moves):
    def scenario():
        admission = opened(slots, places)
        inside = []
        for move in moves:
            if move < len(inside):
                admission.leave(inside.pop(move))
            elif len(inside) < slots + places:
                inside.append(admission.enter())
            else:
                with pytest.raises(NoRoomError):
                    admission.enter()
            assert admission.busy == min(len(inside), slots)
            assert admission.waiting == max(0, len(inside) - slots)
            assert [place.done() for place in inside] == [True] * admission.busy + [False] * admission.waiting
        for place in inside:
            admission.leave(place)
        assert sorted(admission.enter().result() for _ in range(slots)) == list(range(slots))

    at_once(scenario)


def test_a_higher_priority_overtakes_those_who_wait_and_nobody_who_has_a_slot():
    def scenario():
        admission = opened(1, places=4)
        running = admission.enter(priority=0)
        low, usual, urgent, again = (admission.enter(priority) for priority in (-1, 0, 5, 5))
        assert running.result() == 0
        left = running
        for expected in (urgent, again, usual, low):
            assert not expected.done()
            admission.leave(left)
            assert expected.result() == 0
            left = expected

    at_once(scenario)


def test_work_that_was_admitted_before_finds_room_in_a_full_queue_and_goes_first():
    def scenario():
        admission = opened(1, places=1)
        lost, waiting = admission.enter(), admission.enter(priority=1000)
        admission.retire(lost.result())
        admission.leave(lost)
        again = admission.enter(FIRST)
        admission.offer(0)
        assert (again.result(), waiting.done()) == (0, False)

    at_once(scenario)


def test_a_slot_that_is_offered_again_before_its_place_has_left_is_given_once():
    def scenario():
        admission = opened(1)
        old = admission.enter()
        admission.retire(0)
        admission.offer(0)
        new = admission.enter()
        admission.leave(old)
        assert (new.result(), admission.enter().done()) == (0, False)

    at_once(scenario)


def test_an_idle_slot_that_is_retired_is_given_to_nobody():
    def scenario():
        admission = opened(1)
        admission.retire(0)
        with pytest.raises(NoRoomError):
            admission.enter()

    at_once(scenario)


def test_the_queue_stays_small_however_many_join_and_leave():
    def scenario():
        admission = opened(1, places=3)
        admission.enter()
        left = []
        for _ in range(10_000):
            place = admission.enter(priority=1)
            left.append(weakref.ref(place))
            admission.leave(place)
        del place
        assert sum(one() is not None for one in left) < 20

    at_once(scenario)
