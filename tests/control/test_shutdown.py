"""Stopping an endpoint's workers, in every case that was thought of, without a wait: a scripted control and its clock."""

from dataclasses import replace

import pytest

from coldburst.control import shutdown
from coldburst.control.desired_state import ControlError
from coldburst.control.restore import load
from coldburst.control.shutdown import PATIENCE_S, ShutdownSequence

# An hour of 2026, in seconds since 1970.
BEGAN_S = 1_780_000_000 // 3600 * 3600
BILLED = "the billing API has 0.25 USD for 2026-05-28 20:00 to 21:00 UTC"
BEFORE = {"workers": {"min": 0, "max": 3, "idleTimeout": 5}, "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4}}
HOUR_USD = 1.1


class Endpoint:
    """A control whose workers stop when a test says so; its clock goes on with each pause.

    Args:
        gone_s: when the workers stop by themselves; None: never.
        stopped_s: how long they need after the maximum was set to 0; None: they do not stop.
        refused_s: a change is refused (409) until then.
        listed: whether the worker list can be read.
    """

    way, where, harmless, every_s = "rest", "endpoint 'demo' at http://127.0.0.1:9/v2", True, 2.0

    def __init__(self, gone_s=None, stopped_s=6.0, refused_s=0.0, listed=True, least=0, queued=(4, 1)):
        self.now, self.done, self._purges = 0.0, [], list(queued)
        self._gone_s, self._stopped_s, self._refused_s, self._listed, self._least = gone_s, stopped_s, refused_s, listed, least
        self._zero_s = None
        self.restoring_fails = False

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        return True

    def containers(self):
        if not self._listed:
            return None
        ends = [self._gone_s, None if self._zero_s is None or self._stopped_s is None else self._zero_s + self._stopped_s]
        return self._least if any(end is not None and self.now >= end for end in ends) else 3

    def billed(self, of):
        assert of.from_s == BEGAN_S
        return replace(of, to_s=BEGAN_S + 3600, records=1, usd=0.25)

    def purge(self):
        self.done.append("purge")
        return self._purges.pop(0)

    def begin(self, _folder, pause):
        self._pause = pause

    def change(self, wanted):
        while self.now < self._refused_s:
            if not self._pause(15.0):
                raise ControlError("409; the run has ended")
        assert wanted.workers == 0
        self._zero_s = self.now
        self.done.append("zero")

    def restore(self, before):
        assert before is BEFORE or before["workers"]["min"] == self._least
        if self.restoring_fails:
            raise ControlError("409, for 600 s: try again later")
        self.done.append("restore")
        return "restored"

    def standing_workers(self):
        return self._least


@pytest.fixture
def stopped(monkeypatch, tmp_path):
    """Shuts an endpoint down, and returns how it went."""

    def run(endpoint, *, drained, queue=True, before=BEFORE):
        monkeypatch.setattr(shutdown, "sleep", endpoint.sleep)
        monkeypatch.setattr(shutdown, "time", endpoint)
        sequence = ShutdownSequence(endpoint, before, tmp_path, HOUR_USD, BEGAN_S)
        if queue:
            sequence.purge()
        return sequence.stop(drained=drained)

    return run


def test_workers_that_only_idle_stop_by_themselves(stopped, tmp_path):
    endpoint = Endpoint(gone_s=30.0)
    shut = stopped(endpoint, drained=True)
    assert (shut.workers, shut.purged, shut.settings, shut.failed) == (0, 4, "unchanged", "")
    assert endpoint.done == ["purge"] and endpoint.now == pytest.approx(30.0, abs=2.0)
    assert list(tmp_path.iterdir()) == []


def test_hung_jobs_are_not_waited_for(stopped, tmp_path):
    """The maximum of workers is 0 until none runs; jobs that a stopped worker leaves are purged before it is raised again."""
    endpoint = Endpoint()
    shut = stopped(endpoint, drained=False)
    assert (shut.workers, shut.purged, shut.settings, shut.failed) == (0, 5, "set to 0 workers and back", "")
    assert endpoint.done == ["purge", "zero", "purge", "restore"]
    assert endpoint.now <= 10.0
    assert load(tmp_path).restored is True


def test_idle_workers_that_stay_are_stopped_in_the_end(stopped):
    endpoint = Endpoint()
    shut = stopped(endpoint, drained=True)
    assert shut.settings == "set to 0 workers and back" and shut.failed == ""
    assert endpoint.now >= PATIENCE_S


def test_a_long_idle_timeout_is_not_waited_for(stopped):
    endpoint = Endpoint()
    stopped(endpoint, drained=True, before=BEFORE | {"workers": {"min": 0, "max": 3, "idleTimeout": 3600}})
    assert endpoint.now <= 10.0


def test_a_change_that_is_refused_is_tried_until_it_is_needless(stopped):
    """409 for ten minutes, but the workers stop after one."""
    endpoint = Endpoint(gone_s=60.0, refused_s=600.0)
    shut = stopped(endpoint, drained=False)
    assert shut.settings == "unchanged: the workers stopped while a change was refused"
    assert (shut.workers, shut.failed) == (0, "")
    assert endpoint.now == pytest.approx(60.0, abs=3.0)
    assert "zero" not in endpoint.done and endpoint.done[-1] == "restore"


def test_a_change_that_is_refused_for_a_while_is_made(stopped):
    endpoint = Endpoint(refused_s=120.0)
    shut = stopped(endpoint, drained=False)
    assert (shut.settings, shut.failed) == ("set to 0 workers and back", "")
    assert 120.0 <= endpoint.now <= 150.0


def test_workers_that_do_not_stop_are_said(stopped):
    endpoint = Endpoint(stopped_s=None)
    shut = stopped(endpoint, drained=False)
    assert shut.workers == 3
    assert shut.failed == "3 workers still run at endpoint 'demo' at http://127.0.0.1:9/v2, whose minimum is 0: stop them in the console"
    assert endpoint.done[-1] == "restore"


def test_a_worker_list_that_cannot_be_read_proves_nothing(stopped):
    shut = stopped(Endpoint(listed=False), drained=True)
    assert shut.workers is None
    assert "it is not known how many workers run" in shut.failed


def test_settings_that_cannot_be_restored_are_said_with_the_command(stopped, tmp_path):
    endpoint = Endpoint()
    endpoint.restoring_fails = True
    shut = stopped(endpoint, drained=False)
    assert shut.settings == "not restored"
    assert f"coldburst restore {tmp_path}" in shut.failed
    assert load(tmp_path).restored is False and load(tmp_path).before == BEFORE


def test_the_minimum_of_workers_stays(stopped):
    endpoint = Endpoint(gone_s=0.0, least=1)
    shut = stopped(endpoint, drained=True, queue=False, before=BEFORE | {"workers": {"min": 1, "max": 3, "idleTimeout": 5}})
    assert (shut.workers, shut.minimum, shut.settings, shut.purged, shut.failed) == (1, 1, "unchanged", None, "")
    assert endpoint.done == []


def test_what_was_done_is_one_line(stopped):
    said = stopped(Endpoint(gone_s=0.0), drained=True).text
    assert said == "4 waiting jobs removed; workers: 0 running by the worker list (minimum 0); settings unchanged; " + BILLED
