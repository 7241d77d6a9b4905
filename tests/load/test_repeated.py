"""A burst that is repeated in one run: its stages, and the pause between them."""

from collections import namedtuple

import pytest

from coldburst.load.repeated import OPTIONS, hooks, stages
from coldburst.option import OptionError, attribute

Plan, Context = namedtuple("Plan", "options"), namedtuple("Context", "rest")
DEFAULTS = {attribute(option): option.default for option in OPTIONS} | {"schedule": "burst 30"}


def test_one_burst_is_the_schedule_itself_without_hooks():
    assert [str(stage) for stage in stages(DEFAULTS)] == ["burst 30"]
    assert hooks(Plan(DEFAULTS), "") is None


def test_a_repeated_burst_has_a_stage_for_each():
    assert [str(stage) for stage in stages(DEFAULTS | {"repeats": 3})] == ["burst-1 30", "burst-2 30", "burst-3 30"]


def test_there_is_a_pause_before_each_but_the_first():
    rests = []
    made = hooks(Plan(DEFAULTS | {"repeats": 3, "pause": 4.0}), "")
    made.begin(Context(rests.append))
    assert [made.before(stage) for stage in stages(DEFAULTS | {"repeats": 3})] == [True] * 3
    assert (rests, made.about()) == ([4.0, 4.0], {"repeats": 3})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"repeats": 0}, "--repeats 0 is not between"),
        ({"repeats": 2, "schedule": "steady 60s 3/s"}, "repeats a single burst"),
        ({"repeats": 2, "schedule": "burst 3, rest 2s 0/s"}, "repeats a single burst"),
        ({"pause": -1.0}, "--pause -1 must be"),
    ],
)
def test_what_cannot_be_repeated_is_refused_with_an_example(changed, said):
    with pytest.raises(OptionError, match=said) as refused:
        stages(DEFAULTS | changed)
    assert "as in" in str(refused.value)
