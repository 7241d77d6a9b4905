"""One endpoint of the emulator in this process, by a clock that the test sets."""

import asyncio

import pytest

from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.settings.fault_notation import parse_fault
from coldburst.emulator.settings.parsing import parse
from coldburst.emulator.truth_log import TruthLog, WallClock
from coldburst.emulator.webhooks import Webhooks
from coldburst.emulator.workers.modelled_backend import ModelledBackend


class ManualClock(WallClock):
    """A clock that the test sets."""

    def __init__(self):
        self.zero_s = self.at_s = 0.0

    def now(self):
        return self.at_s


def hosted_endpoint(*words):
    prompt = ("--platform", "report_s=0", "--platform", "hand_over_s=0")
    options, (spec,) = parse(["--worker", "modelled", "--start", "0", "--load", "0", *prompt, *words])
    made = HostedEndpoint(spec, options, ManualClock(), TruthLog(None, 0.0), Webhooks((), 1.0))
    made.backend = ModelledBackend(made)
    made.pump()
    return made


def played(play):
    """Runs ``play`` where there is an event loop, whose own timers never come to anything here."""

    async def within():
        play()

    asyncio.run(within())


def test_what_is_due_at_the_instant_of_a_request_comes_before_it():
    """A job of 2 s, taken at 5.05 and picked up at 5.1, ends at 7.1; its worker is killed at that very instant."""

    def play():
        endpoint = hosted_endpoint("--workers-min", "1", "--workers-max", "1", "--service-time", "2")
        endpoint.clock.at_s = 5.05
        job = endpoint.core.submit({"input": {"a": 1}}, endpoint.now())
        endpoint.pump()
        while endpoint.backend.wake_s() < 7.1 - 1e-6:
            endpoint.clock.at_s = endpoint.backend.wake_s()
            endpoint.pump()
        assert (job.state, endpoint.backend.wake_s()) == ("IN_PROGRESS", pytest.approx(7.1))
        endpoint.clock.at_s = endpoint.backend.wake_s()
        endpoint.faults.inject(parse_fault({"kill": "all"}))
        assert (job.state, job.finished_s) == ("COMPLETED", endpoint.clock.at_s)

    played(play)


def test_a_job_that_is_done_does_not_keep_its_input_and_one_that_failed_does():
    def play():
        endpoint = hosted_endpoint("--workers-min", "1", "--workers-max", "1", "--service-time", "1", "--concurrency", "3")
        done = endpoint.core.submit({"input": {"audio": "x" * 100}}, 1.0)
        cut = endpoint.core.submit({"input": {"sleep_s": 60}, "policy": {"executionTimeout": 5000}}, 1.0)
        endpoint.clock.at_s = 10.0
        endpoint.pump()
        assert (done.state, done.input) == ("COMPLETED", {"input": None})
        assert (cut.state, cut.payload()["input"]) == ("TIMED_OUT", {"sleep_s": 60})
        assert endpoint.core.retry(cut.id, endpoint.now()).state == "IN_PROGRESS"

    played(play)


def test_a_rolling_release_makes_the_minimum_up_at_once():
    def play():
        endpoint = hosted_endpoint("--workers-min", "2", "--workers-max", "2")
        endpoint.clock.at_s = 1.25  # between two checks of the scaler
        before = set(endpoint.worker_states)
        endpoint.roll_out(endpoint.backend.spec)
        assert len(endpoint.worker_states) == 2
        assert not before & set(endpoint.worker_states)

    played(play)
