"""A level of a concurrency sweep that ends before its time."""

import json

import pytest

from tests.support.locusts import PLAIN, REPORTED, locust
from tests.support.transcribers import transcriber


@pytest.mark.slow
def test_a_level_that_surely_fails_too_often_ends_early():
    """One slot and nobody waits: at 4 at a time most are turned away. The level ends long before its time, and its figures count."""
    args = ("--levels", "4,8", "--level", "1000", "--warm-up", "0", *PLAIN)
    with (
        transcriber("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "1", "--fail-fast") as service,
        locust("--host", service.url, *args, file="locustfiles/concurrency.py", **REPORTED) as run,
    ):
        assert run.wait() == 1, run.output
        told = {row["stage"]: row for row in run.table("stages.csv")}
        assert [(row["stage"], row["state"]) for row in told.values()] == [("c4", "done"), ("c8", "skipped")]
        assert told["c4"]["why"] == "it failed more often than --most-failures allows"
        assert "of c4 did not end ok, more than 5%" in told["c8"]["why"]
        assert 10 <= len(run.rows) < 200
        assert {row.outcome for row in run.rows} <= {"ok", "busy"}
        assert run.ledger.balanced
        found = json.loads((run.folder / "report" / "metrics.json").read_text())
        assert "Ended early, because too many requests failed: c4." in found["sweep"]["notes"]
