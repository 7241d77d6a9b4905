"""A generator whose clock is not the master's: in a time namespace, where the monotonic clock is far ahead."""

import subprocess

import pytest

from tests.support.generators import distributed
from tests.support.locusts import PLAIN
from tests.support.needs import needs
from tests.support.transcribers import transcriber

AHEAD_S = 1000
ELSEWHEN = ("unshare", "--time", "--monotonic", str(AHEAD_S), "--fork", "--kill-child")
RATE = 20


@pytest.mark.slow
@needs("unshare")
def test_times_of_a_generator_whose_clock_is_far_ahead_are_the_masters():
    tried = subprocess.run([*ELSEWHEN, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"NO TIME NAMESPACE: {tried.stderr.strip()}")
    fixed = ("--engine", "fixed", "--service-time", "0.05", "--max-concurrent", "100", "--queue", "1000")
    with (
        transcriber(*fixed) as service,
        distributed("--host", service.url, "--schedule", f"steady 600s {RATE}/s", *PLAIN, generators=1) as crew,
    ):
        crew.master.until(lambda run: len(run.rows) >= RATE)
        crew.add(before=ELSEWHEN)
        crew.master.until(lambda run: sum(row.generator == "g2" for row in run.rows) > RATE)
        crew.master.interrupt()
        assert crew.master.wait() == 1, crew.master.output
        assert crew.master.ledger.balanced
        assert set(crew.master.ledger.counts) == {"ok", "not_sent"}
        theirs = [row for row in crew.master.rows if row.generator == "g2" and row.sent_s is not None]
        assert all(abs(row.sent_s - row.scheduled_s) < AHEAD_S / 10 for row in theirs)
        assert all(0 <= row.sent_s <= row.done_s <= crew.master.about["elapsed_s"] for row in theirs)
