"""Hooks around stages: one that ends the run does not end the dispatcher."""

from coldburst.load.stage_hooks import EndRunError, StageGate, StageHooks
from coldburst.schedule.stages import parse

(STAGE,) = parse("burst 3")


class Refusing(StageHooks):
    def before(self, stage):
        raise EndRunError("cannot be set", "an endpoint that cannot be set", failed="cannot be set")


class Skipping(StageHooks):
    def before(self, stage):
        return False


def test_a_hook_that_ends_the_run_lets_the_stage_begin_in_a_run_that_is_stopping(caplog):
    ends = []
    assert StageGate(Refusing(), ends.append).before(STAGE) is True
    assert [(end.ended_by, end.failed) for end in ends] == [("an endpoint that cannot be set", "cannot be set")]
    assert "cannot be set" in caplog.text


def test_a_stage_may_be_skipped_and_by_default_begins():
    ends = []
    assert StageGate(Skipping(), ends.append).before(STAGE) is False
    assert StageGate(StageHooks(), ends.append).before(STAGE) is True
    assert ends == []


def test_by_default_hooks_say_nothing_and_nothing_failed():
    hooks = StageHooks()
    assert (hooks.about(), hooks.phase("burst", False), hooks.end()) == ({}, "", "")
