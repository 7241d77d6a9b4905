"""`python -m bench.truth`: what it takes for the truth, and that a report which is off is seen."""

import math
from collections import Counter

import pytest

from bench import truth
from bench import truth_server as server
from coldburst.record.attempt import Attempt


@pytest.mark.parametrize(
    ("at_s", "waits_s"),
    [
        (0.0, server.SERVICE_S),
        (server.STALL_AT_S, server.SERVICE_S + server.STALL_S),
        (server.STALL_AT_S + 0.5, server.SERVICE_S + server.STALL_S - 0.5),
        (server.STALL_AT_S - server.SERVICE_S / 2, server.SERVICE_S + server.STALL_S),
        (server.STALL_AT_S + server.STALL_S, server.SERVICE_S),
    ],
)
def test_a_stall_is_waited_for_from_the_arrival_on(at_s, waits_s):
    assert server.waited_s(at_s) == pytest.approx(waits_s)


def test_users_who_arrive_on_schedule_wait_during_a_stall():
    """600 users, a fiftieth of a second apart: 100 arrive during the stall, two more are in service when it begins."""
    waited = truth.truth("stall", [])
    assert len(waited) == 600
    assert sum(one > server.SERVICE_S for one in waited) == 102
    # 570 of 600 wait no longer than the 31st longest: the two in service and the first of the stall wait 2.05 s, then each 0.02 s less.
    assert truth.percentile(waited, 0.95) == pytest.approx(2.05 - 0.02 * (31 - 3))


def scene():
    """Requests 0 to 399 as the server gives them out, with coldburst's ids."""
    faults = server.Faults()
    return [faults.take(f"run-1-{seq}-1", float(seq)) for seq in range(400)]


def row(seq, outcome):
    return Attempt(seq, 1, "steady", seq / 50, outcome, sent_s=seq / 50)


def counted(rows):
    told = truth.Told({}, ok=0, rows=rows)
    return [found.values[0] for found in truth.faults("faults", "coldburst", told, scene())]


def test_each_of_eighty_faults_is_met_once():
    met = Counter(request.met for request in scene())
    assert met == {"ok": 320} | dict.fromkeys(server.FAULTS, 10)


def test_each_fault_must_be_counted_once_as_what_it_was():
    right = [row(seq, truth.OUTCOMES[request.met]) for seq, request in enumerate(scene())]
    assert counted(right) == [80, 1.0]
    first = next(seq for seq, request in enumerate(scene()) if request.met != "ok")
    assert counted([one for one in right if one.seq != first]) == [79, 1.0]
    assert counted([*right, right[first]]) == [79, 1.0]
    assert counted([row(one.seq, "ok") if one.seq == first else one for one in right]) == [79, 1.0]
    assert counted([row(one.seq, "failed") if one.seq == 0 else one for one in right]) == [80, 319 / 320]


def test_a_job_that_is_not_in_the_result_is_lost_and_an_answered_one_is_no_failure():
    requests = [server.Request(f"run-1-{seq}-1", 0.0, 1.0, answered_s=1.0 if seq else None) for seq in range(4)]
    rows = [row(0, "unfinished"), row(1, "ok"), row(2, "failed")]
    lost, unlike = truth.stopped("jobs", "coldburst", truth.Told({}, rows=rows), requests)
    assert (lost.values, unlike.values) == ((25.0,), (2,))
    assert lost.missed and unlike.missed


def test_a_percentile_that_is_off_is_missed():
    requests = [server.Request("", 0.0, answered_s=1.0) for _ in range(100)]
    far, near, none = truth.percentiles("bimodal", "coldburst", truth.Told({0.5: 1.02, 0.95: 1.004}), requests)
    assert math.isclose(far.values[0], 2.0) and far.missed
    assert math.isclose(near.values[0], 0.4) and not near.missed
    assert none.values == () and "does not report it" in none.not_judged


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("HTTPError('500 Server Error: Answer for url: http://127.0.0.1:5000/v1')", "500"),
        ("429", "429"),
        ("RetriesExceeded('http://127.0.0.1/', 1, original=timed out)", "time-out"),
        ('Post "http://127.0.0.1:5000/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)', "time-out"),
        ("ConnectionResetError(104, 'Connection reset by peer')", "broken"),
        ("unexpected EOF", "broken"),
        ("something else", "other"),
    ],
)
def test_errors_of_others_are_sorted_by_what_they_say(text, kind):
    assert truth.kinds({text: 3}) == {kind: 3}
