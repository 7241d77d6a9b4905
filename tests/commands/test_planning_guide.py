"""docs/guides/planning.md: each command gives the output that the guide shows, on every machine."""

import pytest

from tests.support.console import blocks, output
from tests.support.locusts import ROOT

GUIDE = ROOT / "docs/guides/planning.md"


@pytest.mark.slow
@pytest.mark.parametrize(("command", "shown"), blocks(GUIDE), ids=lambda value: value.split()[2] if value.startswith("coldburst") else "")
def test_the_guide_shows_what_the_command_prints(command, shown):
    assert output(command) == shown


def test_every_question_is_in_the_guide():
    text = GUIDE.read_text(encoding="utf-8")
    questions = ("predict", "sweep", "recommend", "whatif", "workers", "idle", "calibrate")
    assert all(f"plan {verb}" in text or f"`{verb}`" in text for verb in questions)
