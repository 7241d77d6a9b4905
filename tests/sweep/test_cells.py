"""What a sweep is asked for becomes stages, with known answers; wrong options are told in one sentence."""

import pytest

from coldburst.control.desired_state import DesiredState
from coldburst.option import OptionError
from coldburst.record.attempt import Attempt
from coldburst.schedule.stages import text
from coldburst.sweep import settings
from coldburst.sweep.runner import EarlyStop, LevelOutcome


def defaults(options, **changed):
    """The options' values by name, as the command line gives them."""
    return {option.name.removeprefix("--").replace("-", "_"): option.default for option in options} | changed


def schedule(steps):
    return text(step.stage for step in steps)


@pytest.mark.parametrize(
    ("ok", "failed", "ends"),
    [(0, 9, False), (0, 10, True), (6, 4, True), (8, 2, False), (80, 20, True), (90, 10, False), (900, 100, True), (950, 50, False)],
)
def test_a_level_ends_early_once_its_failures_surely_exceed_the_limit(ok, failed, ends):
    """Three standard errors of Wilson's interval: of 100, 20 failures say more than 5 %, and 10 do not."""
    assert EarlyStop(0.05).during(LevelOutcome(ended=ok + failed, ok=ok)) is ends


def test_levels_are_closed_loops_one_after_the_other_each_after_its_warm_up():
    steps = settings.concurrency(defaults(settings.CONCURRENCY, levels="1,2,4", level="30s", warm_up="5s"))
    assert schedule(steps) == (
        "c1-warm 5s 1 at a time, c1 30s 1 at a time, c2-warm 5s 2 at a time, c2 30s 2 at a time, c4-warm 5s 4 at a time, c4 30s 4 at a time"
    )
    assert [(step.phase, step.first) for step in steps[:2]] == [("warm-up", True), ("measure", False)]
    assert {step.cell.wanted for step in steps} == {DesiredState(workers=1)}


def test_a_level_sends_at_least_as_many_requests_as_go_at_a_time():
    steps = settings.concurrency(defaults(settings.CONCURRENCY, levels="1,64", level="40", warm_up="0"))
    assert schedule(steps) == "c1 40 1 at a time, c64 64 64 at a time"
    assert all(step.first for step in steps)


def test_repeats_are_interleaved():
    steps = settings.scaling(defaults(settings.SCALING, workers="1,2", repeats=3, warm_up="0", requests=10, concurrency=2))
    assert schedule(steps) == (
        "w1 10 2 at a time, w2 20 4 at a time, w1-r2 10 2 at a time, w2-r2 20 4 at a time, w1-r3 10 2 at a time, w2-r3 20 4 at a time"
    )
    assert [step.repeat for step in steps] == [1, 1, 2, 2, 3, 3]


def test_scaling_gives_each_worker_the_same_load():
    steps = settings.scaling(defaults(settings.SCALING, workers="1,3", concurrency=4, requests=20, modifier=4, warm_up="8"))
    assert schedule(steps) == "w1-warm 8 4 at a time, w1 20 4 at a time, w3-warm 8 12 at a time, w3 60 12 at a time"
    assert [step.cell.wanted for step in steps if step.phase == "measure"] == [DesiredState(1, 4), DesiredState(3, 4)]
    assert {step.cell.per_worker for step in steps} == {4}


def test_the_matrix_aligns_the_scaler_with_the_concurrency_and_locks_the_workers():
    steps = settings.matrix(defaults(settings.MATRIX, concurrency="1,2,4", workers=5, requests=20, warm_up="0"))
    assert schedule(steps) == "c1 20 5 at a time, c2 20 10 at a time, c4 20 20 at a time"
    assert [step.cell.wanted for step in steps] == [DesiredState(5, 1, 1), DesiredState(5, 2, 2), DesiredState(5, 4, 4)]


@pytest.mark.parametrize(
    ("question", "changed", "word"),
    [
        ("concurrency", {"levels": "1,two"}, "--levels '1,two'"),
        ("concurrency", {"levels": "0,1"}, "--levels '0,1'"),
        ("concurrency", {"levels": "4,4"}, "--levels '4,4' has a number twice"),
        ("concurrency", {"level": "0"}, "--level '0'"),
        ("concurrency", {"level": "fast"}, "--level 'fast'"),
        ("concurrency", {"level": "20s 3/s"}, "--level '20s 3/s'"),
        ("concurrency", {"level": "5, x 3"}, "--level '5, x 3'"),
        ("concurrency", {"warm_up": "-5s"}, "--warm-up '-5s'"),
        ("concurrency", {"modifier": -1}, "--modifier -1"),
        ("scaling", {"requests": 0}, "--requests 0"),
        ("scaling", {"repeats": 0}, "--repeats 0"),
        ("scaling", {"workers": ""}, "--workers ''"),
        ("matrix", {"workers": 0}, "--workers 0"),
        ("matrix", {"concurrency": "1;2"}, "--concurrency '1;2'"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_option_and_a_right_value(question, changed, word):
    options = getattr(settings, question.upper())
    with pytest.raises(OptionError) as told:
        getattr(settings, question)(defaults(options, **changed))
    assert word in str(told.value)
    assert "as in" in str(told.value)


def test_the_card_is_three_numbers():
    assert settings.memory({"memory": "", "headroom": 1.0}) is None
    card = settings.memory({"memory": "24,3.4,3.3", "headroom": 0.9})
    assert card == {"vram_gb": 24.0, "shared_gb": 3.4, "per_worker_gb": 3.3, "headroom": 0.9}


@pytest.mark.parametrize(("memory", "headroom"), [("24,3.4", 1.0), ("24,x,1", 1.0), ("24,3,0", 1.0), ("nan,1,1", 1.0), ("24,3,3", 1.5)])
def test_a_card_that_is_none_is_told(memory, headroom):
    with pytest.raises(OptionError, match="--memory"):
        settings.memory({"memory": memory, "headroom": headroom})


def tally(ok, wall_s, failed=0):
    found = LevelOutcome()
    for number in range(ok + failed):
        outcome = "ok" if number < ok else "failed"
        found.add(Attempt(number, 1, "c1", 0.0, outcome, sent_s=10.0, done_s=10.0 + wall_s))
    found.add(Attempt(99, 1, "c1", 0.0, "not_sent"))
    return found


def test_a_tally_counts_ok_answers_over_the_wall_time_of_what_was_sent():
    assert tally(ok=8, wall_s=4.0, failed=2).per_s == 2.0
    assert LevelOutcome().per_s == 0.0


def test_two_levels_in_a_row_without_a_gain_end_the_climb():
    rule = EarlyStop(0.05)
    walls = [("c1", 10.0, ""), ("c2", 5.0, ""), ("c4", 4.9, ""), ("c8", 4.6, ""), ("c16", 4.5, ""), ("c32", 4.45, "up to c32")]
    for cell, wall_s, why in walls:
        said = rule.after(cell, int(cell[1:]), tally(10, wall_s))
        assert (why in said) if why else said == ""


def test_too_many_failures_end_the_climb_at_once():
    assert "8% of c2 did not end ok, more than 5%" in EarlyStop(0.05).after("c2", 2, tally(23, 1.0, failed=2))
    assert EarlyStop(0.10).after("c2", 2, tally(23, 1.0, failed=2)) == ""
    assert EarlyStop(0.05).after("c2", 2, LevelOutcome()) != ""


def test_levels_on_the_way_down_are_no_levels_without_a_gain():
    rule = EarlyStop(0.05)
    assert [rule.after(f"c{level}", level, tally(10, wall_s)) for level, wall_s in ((8, 1.0), (4, 1.0), (2, 2.0), (1, 4.0))] == [""] * 4
    assert rule.after("c16", 16, tally(10, 1.0)) == ""
    assert "up to c32" in rule.after("c32", 32, tally(10, 1.0))


def test_further_tries_at_a_request_are_no_further_requests():
    """Ten requests, each turned away once and then answered: ten have ended, none of them badly."""
    found = LevelOutcome()
    for number in range(10):
        found.add(Attempt(number, 1, "c1", 0.0, "busy", sent_s=1.0, done_s=1.1))
        found.add(Attempt(number, 2, "c1", 0.0, "ok", sent_s=2.0, done_s=3.0))
    assert (found.ended, found.ok, found.unfinished) == (10, 10, 0)
    assert EarlyStop(0.05).after("c1", 1, found) == ""


def test_what_was_in_flight_at_the_cut_has_not_ended():
    found = LevelOutcome()
    found.add(Attempt(0, 1, "c1", 0.0, "ok", sent_s=1.0, done_s=2.0))
    found.add(Attempt(1, 1, "c1", 0.0, "unfinished", sent_s=1.0))
    assert (found.ended, found.unfinished) == (1, 1)


def test_work_that_cannot_fill_the_places_of_a_matrix_is_refused():
    options = {"concurrency": "1,4", "workers": 3, "requests": 11, "repeats": 1, "warm_up": "0"}
    with pytest.raises(OptionError, match=r"--requests 11 cannot fill 3 × 4 places: use 12 or more"):
        settings.matrix(options)
    assert [step.stage.count for step in settings.matrix(options | {"requests": 12})] == [12, 12]
