"""Which endpoints can scale to zero, and the stages of a cold-start test."""

import pytest

from coldburst.load.scale_to_zero import OPTIONS, stages
from coldburst.option import OptionError, attribute

DEFAULTS = {attribute(option): option.default for option in OPTIONS} | {"sample": 2.0}
RUNPOD, PLAIN = "http://127.0.0.1:9/v2/demo", "http://127.0.0.1:9"


def names(host, target="auto"):
    return [stage.name for stage in stages(DEFAULTS | {"host": host, "target": target, "times": 2})]


@pytest.mark.parametrize(
    ("host", "target"),
    [
        (RUNPOD, "auto"),
        (f"{RUNPOD}/openai/v1", "auto"),
        ("http://127.0.0.1:9/lb/demo", "auto"),
        ("", "auto"),
        ("", "balancer"),
        ("", "chat"),
    ],
)
def test_endpoints_of_runpod_and_the_emulator_scale_to_zero(host, target):
    assert names(host, target) == ["cold-1", "warm-1", "cold-2", "warm-2"]


@pytest.mark.parametrize(
    ("host", "target"),
    [(PLAIN, "auto"), (f"{PLAIN}/v1/chat/completions", "auto"), (f"{PLAIN}/v1/videos", "auto"), ("", "transcription"), ("", "video")],
)
def test_a_plain_service_does_not(host, target):
    with pytest.raises(OptionError, match="a plain service does not scale to zero"):
        names(host, target)
