"""The dispatcher: who leaves when, what the cap does, and that each arrival ends exactly once."""

import gevent
import pytest
from gevent.event import Event

from coldburst.load.dispatcher import Dispatcher
from coldburst.schedule.stages import arrivals, parse
from tests.support.transcribers import DEADLINE_S


class Book:
    """A target whose requests take ``service_s`` seconds, and what became of every arrival."""

    def __init__(self, schedule, service_s, cap=1000, shed=False):
        self.stages = parse(schedule)
        self.service_s = service_s
        self.sent, self.held, self.refused, self.cut, self.most = {}, {}, [], [], 0
        self.load = Dispatcher(self.stages, 1, self.send, lambda arrival: self.refused.append(arrival.seq), cap=cap, shed=shed)

    def send(self, arrival, held_s):
        self.sent[arrival.seq], self.held[arrival.seq] = self.load.now(), held_s
        self.most = max(self.most, self.load.in_flight)
        try:
            gevent.sleep(self.service_s)
        except gevent.GreenletExit:
            self.cut.append(arrival.seq)
            raise

    def run(self, limit_s=10):
        with gevent.Timeout(limit_s):
            self.load.run()
        return self


@pytest.mark.slow
def test_arrivals_leave_when_they_are_due_whether_or_not_earlier_ones_were_answered():
    book = Book("steady 1s 20/s", service_s=0.5).run()
    due = {arrival.seq: arrival.scheduled_s for arrival in arrivals(book.stages, 1)}
    assert sorted(book.sent) == list(range(20))
    assert all(book.sent[seq] >= due[seq] for seq in due)
    assert book.most >= 5  # a closed loop would never have had more than one
    assert set(book.held.values()) == {0.0}


@pytest.mark.slow
def test_the_cap_makes_arrivals_wait_in_order_and_says_for_how_long():
    book = Book("burst 6", service_s=0.1, cap=2).run()
    assert book.most == 2
    assert list(book.sent) == list(range(6))
    assert book.held[0] == book.held[1] == 0.0
    assert 0.1 <= min(book.held[2], book.held[3]) <= max(book.held[2], book.held[3]) < min(book.held[4], book.held[5])
    assert min(book.held[4], book.held[5]) >= 0.2


def test_the_cap_can_shed_instead():
    book = Book("burst 6", service_s=0.05, cap=2, shed=True).run()
    assert (sorted(book.sent), book.refused) == ([0, 1], [2, 3, 4, 5])


def test_a_closed_loop_has_n_in_flight_and_counts():
    book = Book("level 10 3 at a time", service_s=0.02).run()
    assert (book.most, sorted(book.sent), book.load.dispatched) == (3, list(range(10)), 10)


def test_a_closed_loop_can_run_for_a_time_and_numbers_go_on_after_it():
    book = Book("level 200ms 2 at a time, burst 3", service_s=0.03).run()
    assert sorted(book.sent) == list(range(book.load.dispatched))
    assert book.load.dispatched > 3 + 4


@pytest.mark.slow
def test_a_closed_loop_begins_when_what_was_in_flight_has_ended():
    book = Book("burst 5, level 4 1 at a time", service_s=0.1).run()
    assert min(book.sent[seq] for seq in range(5, 9)) >= 0.1


def test_a_place_of_a_closed_loop_goes_on_after_a_request_that_raised_an_error(capfd):
    sent = []

    def send(arrival, held_s):
        sent.append(arrival.seq)
        raise LookupError(f"request {arrival.seq}")

    load = Dispatcher(parse("level 4 2 at a time"), 1, send, sent.append, cap=9)
    load.run()
    assert (sorted(sent), load.in_flight) == ([0, 1, 2, 3], 0)
    assert capfd.readouterr().err.count("LookupError: request") == 4


def test_requests_that_end_without_a_wait_leave_others_their_turns():
    load = Dispatcher(parse("level 1h 1 at a time"), 1, lambda arrival, held_s: None, lambda arrival: None, cap=9)
    gevent.spawn(load.stop)
    load.run()
    assert load.stopping


@pytest.mark.parametrize(
    ("schedule", "left"), [("level 1h 2 at a time, last 1 1 at a time", 0), ("level 50 2 at a time, last 1 1 at a time", 44)]
)
def test_a_closed_loop_that_ends_early_is_followed_by_the_next_stage(schedule, left):
    """What it does not send is no longer planned, and its pauses end with it."""
    sent = []

    def send(arrival, held_s):
        sent.append((arrival.stage, arrival.seq))
        number = len(sent)
        if number == 6:
            load.end_stage("last")  # not the present one
            load.end_stage("level")
        gevent.sleep(0.01)
        return 3600.0 if number >= 5 else 0.0

    load = Dispatcher(parse(schedule), 1, send, lambda arrival: sent.append("refused"), cap=9)
    gevent.spawn(load.run).get(timeout=DEADLINE_S)
    assert [stage for stage, _ in sent] == ["level"] * 6 + ["last"]
    assert sent[-1][1] == 6
    assert [(stage.name, stage.count) for stage in load.skipped] == ([("level", left)] if left else [])
    assert load.dispatched == 7


@pytest.mark.slow
def test_a_rest_before_a_closed_loop_is_a_rest():
    book = Book("warm 100ms 10/s, rest 200ms 0/s, level 2 1 at a time", service_s=0.01).run()
    assert min(book.sent[seq] for seq in (1, 2)) >= 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule",
    [
        "steady 30s 10/s",
        *(
            pytest.param(more, marks=pytest.mark.nightly)
            for more in ("burst 300", "level 300 2 at a time", "steady 10s 10/s, level 200 2 at a time")
        ),
    ],
)
def test_stopped_half_way_each_arrival_is_sent_or_refused(schedule):
    book = Book(schedule, service_s=0.05, cap=2)
    gevent.spawn_later(0.2, book.load.stop)
    book.run()
    assert sorted([*book.sent, *book.refused]) == list(range(300))
    assert book.sent
    assert book.refused
    assert book.cut == []


def test_stopped_before_it_began_everything_is_refused():
    book = Book("burst 5, steady 10s 10/s, level 20 2 at a time", service_s=1)
    book.load.stop()
    book.run(limit_s=2)
    assert (book.sent, sorted(book.refused)) == ({}, list(range(125)))


@pytest.mark.parametrize("schedule", ["burst 300", "level 300 2 at a time"])
def test_cut_half_way_what_was_in_flight_is_told(schedule):
    book = Book(schedule, service_s=60, cap=2)
    gevent.spawn_later(0.1, book.load.cut)
    book.run()
    assert sorted(book.cut) == [0, 1]
    assert sorted([*book.sent, *book.refused]) == list(range(300))


def test_a_request_that_leaves_in_the_instant_of_the_cut_is_told_too():
    book = Book("burst 5", service_s=60)
    greenlet = gevent.spawn(book.run)
    gevent.sleep(0)  # the burst is launched, and none of it has had its turn
    gevent.spawn(book.load.cut)
    greenlet.get(timeout=60)
    assert sorted([*book.cut, *book.refused]) == list(range(5))


def test_the_last_send_is_known_while_answers_are_awaited():
    answers = [Event(), Event()]
    load = Dispatcher(parse("burst 2"), 1, lambda arrival, held_s: answers[arrival.seq].wait(), lambda arrival: None, cap=1)
    gevent.spawn(load.run)
    assert not load.last_sent.wait(0.05), "the second waits at the cap"
    answers[0].set()
    assert load.last_sent.wait(10) and not load.finished.is_set()
    answers[1].set()
    assert load.finished.wait(10)
