"""A level of a distributed sweep that ends before its time."""

import pytest

from tests.support.generators import distributed
from tests.support.locusts import PLAIN
from tests.support.transcribers import transcriber


@pytest.mark.slow
@pytest.mark.parametrize("level", ["100000", "1h"])
def test_a_level_that_surely_fails_too_often_ends_early_on_all_generators(level):
    """One slot and nobody waits. The numbers that no generator was given are no longer planned."""
    with transcriber("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "1", "--fail-fast") as service:
        words = ("--host", service.url, "--levels", "4,8", "--level", level, "--warm-up", "0", *PLAIN)
        with distributed(*words, file="locustfiles/concurrency.py") as crew:
            assert crew.master.wait() == 1, crew.master.output
            told = [(row["stage"], row["state"]) for row in crew.master.table("stages.csv")]
            assert told == [("c4", "done"), ("c8", "skipped")]
            assert crew.master.ledger.balanced
            assert {row.outcome for row in crew.master.rows} <= {"ok", "busy"}
            assert {row.generator for row in crew.master.rows} == {"g1", "g2"}
