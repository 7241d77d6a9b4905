"""Locust's own options that mean nothing to a schedule are refused at the start, with what to use instead."""

import pytest

from tests.commands.test_api import NOWHERE, refused
from tests.support.locusts import PLAIN, locust

LOCUSTS_OWN = [
    (("--users", "7"), "--users has no effect here: load is arrivals, not users: use --schedule"),
    (("--spawn-rate", "7"), "--spawn-rate has no effect here"),
    (("--tags", "a"), "--tags has no effect here: a test has no tasks to choose from"),
    (("--exclude-tags", "a"), "--exclude-tags has no effect here"),
    (("--stop-timeout", "5"), "--stop-timeout has no effect here: use --drain-timeout"),
    (("--reset-stats",), "--reset-stats has no effect here"),
    (("--config-users", '{"user_class_name": "Burst", "schedule": "burst 2"}'), "--config-users has no effect here"),
    (("--equal-weights",), "--equal-weights has no effect here"),
    (("--enable-rebalancing",), "--enable-rebalancing has no effect here"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(words, sentence, id=words[0], marks=() if words[0] == "--tags" else pytest.mark.nightly)
        for words, sentence in LOCUSTS_OWN
    ],
)
def test_an_option_of_locusts_that_means_nothing_is_refused(words, sentence):
    """``--tags a`` left the user without a task: Locust logged 40 MB in ten seconds, and no SIGTERM ended it."""
    with locust("--host", NOWHERE, *PLAIN, *words) as run:
        assert refused(run).startswith(sentence)
        assert len(run.output) < 1000


@pytest.mark.slow
def test_it_is_refused_from_the_environment_a_file_and_in_the_web_ui_too(tmp_path):
    with locust("--host", NOWHERE, *PLAIN, LOCUST_TAGS="a") as run:
        assert refused(run).startswith("--tags (set by LOCUST_TAGS) has no effect here")
    settings = tmp_path / "locust.conf"
    settings.write_text("users = 5\n", encoding="utf-8")
    with locust("--host", NOWHERE, *PLAIN, "--config", str(settings)) as run:
        assert refused(run).startswith("--users has no effect here")
    with locust("--users", "3", "--web-host", "127.0.0.1", "--web-port", "0", headless=False) as run:
        assert refused(run).startswith("--users has no effect here")
