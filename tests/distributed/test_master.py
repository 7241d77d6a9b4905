"""Who leads whom in a distributed run: the course of the stages, and what master and generator make of each other's words."""

import gevent
import pytest
from gevent.event import Event

from coldburst.distributed.assignment import Assignment, Assignments
from coldburst.distributed.shared_dispatcher import MasterInstructions, SharedDispatcher
from coldburst.distributed.stage_sequencer import LEAD_S, StageSequencer
from coldburst.live.snapshot import snapshot
from coldburst.schedule.stages import parse
from tests.support.leading import reported
from tests.support.run_views import run_of


class Answered:
    """Generators that have all answers, at once."""

    spoken = Event()

    def reported(self, _name):
        return [True]

    def has_ended(self, _place):
        return True

    def has_closed(self):
        return True


def course_of(schedule, gate=None):
    """A course whose generators answer at once, and whose clock ``at`` sets; it stands at 1.0."""
    load = StageSequencer(Answered(), parse(schedule), gate)

    def at(now_s):
        load.now = lambda: now_s
        return load

    return at(1.0), at


def test_stages_that_follow_the_clock_are_present_when_the_clock_says_so():
    load, at = course_of("first 6s 2/s, second 4s 4/s")
    assert load.stage == ""
    load.run()
    begun_s = 1.0 + LEAD_S
    assert load.starts == [begun_s, begun_s + 6]
    assert [at(begun_s + into_s).stage for into_s in (-0.1, 0, 5.9, 6, 99)] == ["", "first", "first", "second", "second"]


def test_a_run_that_is_stopped_drains_in_the_stage_in_which_it_was_stopped():
    load, at = course_of("first 6s 2/s, second 4s 4/s")
    load.run()
    at(1.0 + LEAD_S + 5)
    load.stop()
    assert at(99.0).stage == "first"


def test_a_stage_that_is_prepared_is_the_present_one():
    seen = []

    class Gate:
        def before(self, stage):
            seen.append((stage.name, load.stage))

        def after(self, *_):
            pass

    load, _ = course_of("first 6s 2/s, second 4s 4/s", Gate())
    load.run()
    assert seen == [("first", "first"), ("second", "second")]


def test_a_schedule_is_counted_from_its_own_beginning_on():
    load, at = course_of("burst 5, steady 60s 4/s")
    run = run_of("burst 5, steady 60s 4/s", load=load)
    now = snapshot(run)
    assert (now.due, now.offered_per_s, now.left_s, now.elapsed_s) == (0.0, 0.0, pytest.approx(60 + LEAD_S), 1.0)
    load.run()
    assert snapshot(run).due == 0.0
    at(1.0 + LEAD_S + 10)
    now = snapshot(run)
    assert (now.due, now.offered_per_s, now.left_s) == (pytest.approx(45), 4.0, pytest.approx(50))
    assert now.elapsed_s == 11.0 + LEAD_S


@pytest.mark.parametrize("leaves", [True, False])
@pytest.mark.parametrize("schedule", ["steady 10s 10/s", "level 5 2 at a time", "level 2s 2 at a time, burst 5"])
def test_a_part_that_is_stopped_before_the_masters_first_word_has_nothing_to_send_or_to_tell_of(schedule, leaves):
    told_of = []
    instructions = MasterInstructions()
    load = SharedDispatcher(parse(schedule), 1, told_of.append, told_of.append, cap=5, name="g1", slot=0, instructions=instructions)
    if leaves:
        load.leave(alone=True)
    load.stop()
    load.run()
    assert (told_of, load.dispatched, load.finished.is_set()) == ([], 0, True)


def test_a_leaving_generator_reports_also_what_it_is_given_before_the_master_hears_of_it():
    """Lost for a moment, its share from second 5 on went to another; it was back with a share of seconds 7 to 9 when it left."""
    told_of, instructions = [], MasterInstructions()
    load = SharedDispatcher(
        parse("steady 10s 10/s"), 1, told_of.append, told_of.append, cap=5, name="g1", slot=0, instructions=instructions
    )
    shares = [Assignment(from_s, members) for from_s, members in ((0.0, ("g1", "g2")), (5.0, ("g2",)), (7.0, ("g1", "g2")), (9.0, ("g2",)))]

    def beat(assignments, handed_over):
        plain = Assignments(assignments).plain()
        instructions.update(
            {
                "lease_s": 3.0,
                "assignments": plain,
                "starts": [0.0],
                "numbers": [0, 0, [], True],
                "handed_over": handed_over,
                "ended_early": -1,
            }
        )

    beat(shares[:2], handed_over=False)
    load.leave(alone=False)
    leaving = gevent.spawn(load.run)
    gevent.sleep(0)
    assert not load.finished.is_set()
    beat(shares, handed_over=True)
    leaving.get(timeout=60)
    expected = [seq for seq in range(100) if Assignments(shares).owner(seq, seq / 10) == "g1"]
    assert [arrival.seq for arrival in told_of] == expected
    assert len(expected) == 25 + 10


@pytest.mark.slow
def test_a_run_waits_for_each_generator_that_locust_knows(tmp_path):
    """Locust counts a generator as ready before its first message to the master of the run: a burst would be over by then."""
    assert reported("a generator that has not spoken yet", tmp_path) == [[], ["a", "b"], ["a", "b"]]


@pytest.mark.slow
def test_a_latecomer_that_refuses_keeps_no_run_alive(tmp_path):
    said = reported("a latecomer that refuses", tmp_path)
    assert said == {"before": False, "after": True, "ended_by": "no generator left"}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["leaves", "has sent all"])
def test_a_generator_that_ends_ends_no_run_while_the_other_is_lost_for_a_moment(what, tmp_path):
    assert reported(f"one {what} while the other is lost", tmp_path) == {"closed": [False, False, True], "ended_by": ""}


@pytest.mark.slow
def test_generators_share_the_polls_of_the_run_also_where_one_joins_late(tmp_path):
    whole = int(400 * 0.8)
    assert reported("polls that generators share", tmp_path) == [whole, whole // 2, whole, whole]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["when", "before"])
def test_a_run_that_cannot_be_begun_leaves_nothing_open(when, tmp_path):
    said = reported(f"given up {when} one is ready", tmp_path)
    ended = {"state": "ended", "ended_by": "the run could not begin", "dispatched": 0}
    assert said == {"why": "g2 cannot", "idle": True, "parts": [ended] if when == "when" else [], "master": []}


def test_a_cold_start_that_two_generators_have_seen_is_one(tmp_path):
    said = reported("cold starts that two have seen", tmp_path)
    assert said == {"counts": [[2, 1], [3, 2], [3, 3]], "rows": 7}
