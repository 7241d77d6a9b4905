"""Waits that end when they are due."""

import re
import sys
import time
from pathlib import Path

import gevent
import pytest

from coldburst.load.alarm import Alarm, LoopAlarm
from coldburst.load.dispatcher import Dispatcher
from coldburst.schedule.stages import arrivals, parse
from tests.support.transcribers import DEADLINE_S

FAR_S = 3600.0004321


@pytest.fixture(params=sorted({Alarm, LoopAlarm}, key=lambda kind: kind.__name__))
def alarm(request):
    alarm = request.param()
    yield alarm
    alarm.close()


def test_a_wait_ends_when_it_is_due_and_not_before(alarm):
    dues = [time.perf_counter() + wait_s for wait_s in (-1.0, 0.0004, 0.002, 0.0021)]
    for due in dues:
        alarm.wait(due)
        assert time.perf_counter() >= due


def test_a_wait_ends_when_the_alarm_rings_and_the_next_one_waits_again(alarm):
    ended = []

    def waits():
        for name in ("first", "second"):
            alarm.wait(time.perf_counter() + FAR_S)
            ended.append(name)

    waiting = gevent.spawn(waits)
    gevent.sleep(0)
    for before in ([], ["first"]):
        assert ended == before
        alarm.ring()
        with gevent.Timeout(DEADLINE_S):
            while ended == before:
                gevent.sleep(0)
    waiting.get(timeout=DEADLINE_S)


def test_an_alarm_that_was_closed_or_never_used_may_ring(alarm):
    alarm.ring()
    alarm.wait(0.0)
    alarm.close()
    alarm.ring()


@pytest.mark.skipif(sys.platform != "linux", reason="it reads the kernel's own record of its timers")
def test_the_kernels_timer_is_set_to_the_nanosecond():
    alarm = Alarm()
    due = time.perf_counter() + FAR_S
    waiting = gevent.spawn(alarm.wait, due)
    gevent.sleep(0)
    before = time.perf_counter()
    left = [
        int(found[1]) + int(found[2]) / 1e9
        for path in Path("/proc/self/fdinfo").iterdir()
        if path.exists() and (found := re.search(r"it_value: \((\d+), (\d+)\)", path.read_text()))
    ]
    after = time.perf_counter()
    alarm.ring()
    waiting.get(timeout=DEADLINE_S)
    alarm.close()
    assert any(due - after - 2e-9 <= one <= due - before + 2e-9 for one in left)


@pytest.mark.parametrize("rate", [50, 200, 1000])
def test_arrivals_are_sent_at_the_instant_of_the_schedule_at_any_rate(monkeypatch, rate):
    """The clock moves only while the dispatcher waits, to the instant that it waits for."""

    class Clock:
        now = 7.0

        def perf_counter(self):
            return self.now

        def wait(self, due):
            gevent.sleep(0)
            self.now = due

        def ring(self):
            pass

        close = ring

    clock, sent = Clock(), {}
    monkeypatch.setattr("coldburst.load.dispatcher.time", clock)
    monkeypatch.setattr("coldburst.load.dispatcher.Alarm", lambda: clock)
    stages = parse(f"steady 200ms {rate}/s, other 100ms {rate}/s poisson")
    load = Dispatcher(stages, 1, lambda arrival, held_s: sent.update({arrival.seq: load.now()}), lambda arrival: None, cap=99)
    load.run()
    assert len(sent) == 0.3 * rate
    assert sent == pytest.approx({arrival.seq: arrival.scheduled_s for arrival in arrivals(stages, 1)}, abs=1e-9)
