"""Settings are restored until they hold; 409, which RunPod answers for minutes after a change, is waited for."""

import json

import pytest

from coldburst.control import rest, rest_calls
from coldburst.control.choice import ControlError, DesiredState
from coldburst.control.restore import standing_cost
from coldburst.targets.quota import rate_window
from tests.support.scripted import replies, reply, scripted

ENDPOINT = {"workers": {"min": 0, "max": 3}, "scaling": {"type": "REQUEST_COUNT", "requestCount": 4}, "env": {}}
OK = reply(200, ENDPOINT)
BEFORE = {"workers": {"min": 0, "max": 3}, "scaling": ENDPOINT["scaling"], "concurrency": {"variable": "CONCURRENCY", "value": None}}


def bodies(server):
    """The PATCHes that reached a scripted server."""
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests if request.startswith(b"PATCH")]


def test_what_cannot_be_put_back_is_told(rest_of, monkeypatch):
    monkeypatch.setattr(rest_calls.gevent, "sleep", lambda s: None)
    now = ENDPOINT | {"workers": {"min": 2, "max": 2}, "env": {"CONCURRENCY": "2"}}
    merged = ENDPOINT | {"env": {"CONCURRENCY": "2"}}  # as where a PATCH can add to the environment and take nothing away
    with scripted(replies(reply(200, now), reply(200, merged))) as server:
        with pytest.raises(
            ControlError, match=r"does not show the restored env: in the console, set workers 0 to 3, .*, CONCURRENCY not set"
        ):
            rest_of(server).restore(BEFORE)
        assert bodies(server) == [{"workers": {"min": 0, "max": 3}}, *[{"env": {}}] * rest.RESTORE_ROUNDS]


def test_a_restore_is_read_back_and_tried_until_it_holds(rest_of, monkeypatch):
    monkeypatch.setattr(rest_calls.gevent, "sleep", lambda s: None)
    pinned = reply(200, ENDPOINT | {"workers": {"min": 2, "max": 2}})
    # The first PATCH is accepted and shown, and does not hold.
    with scripted(replies(pinned, OK, pinned, OK, OK)) as server:
        assert rest_of(server).restore(BEFORE).endswith("restored (workers)")
        assert bodies(server) == [{"workers": {"min": 0, "max": 3}}] * 2


def test_409_is_tried_again_for_minutes_and_counts_as_no_failure(rest_of, monkeypatch):
    pauses = []
    monkeypatch.setattr(rest_calls.gevent, "sleep", pauses.append)
    changing, trouble = reply(409, {"detail": "being updated"}), reply(503, {})
    with scripted(replies(*[changing] * 20, *[trouble] * 4, changing, trouble, OK)) as server:
        assert rest_of(server).settings()["workers"] == ENDPOINT["workers"]
    assert max(pauses[:20]) == rest_calls.LONGEST_PAUSE_OF_409_S


def test_409_for_ever_ends_with_an_error(rest_of, monkeypatch):
    monkeypatch.setattr(rest_calls, "RECONFIGURING_S", 0.0)
    told = r"is being changed \(409 being updated\), for 0 s: try again later"
    with scripted(replies(reply(409, {"detail": "being updated"}))) as server, pytest.raises(ControlError, match=told):
        rest_of(server).settings()


def test_the_idle_timeout_is_not_sent_where_rest_v2_rejects_it(rest_of):
    now = ENDPOINT | {"type": "QUEUE", "workers": {"min": 2, "max": 2, "idleTimeout": 10}}
    before = BEFORE | {"workers": {"min": 0, "max": 3, "idleTimeout": 5}}
    after = reply(200, now | {"workers": {"min": 0, "max": 3, "idleTimeout": 10}})
    with scripted(replies(reply(200, now), after)) as server:
        rest_of(server).restore(before)
        assert bodies(server) == [{"workers": {"min": 0, "max": 3}}]


@pytest.mark.parametrize(
    ("limits", "window"),
    [
        ('"minute";r=42;t=17', (42, 17)),
        ('"minute";r=176, "hour";r=7193', (7193, 3600)),
        ('"minute";r=3, "hour";r=7193', (3, 60)),
        ('"month";r=3', None),
    ],
)
def test_the_tightest_window_of_the_rate_limit_counts(limits, window):
    assert rate_window({"x-ratelimit": limits}) == rate_window({"ratelimit": limits}) == window


def test_one_answer_of_health_is_not_believed(rest_of):
    """The list shows workers that FlashBoot keeps; /health tells them apart, and may lie once."""
    kept = {"workers": [{"id": name, "status": "IDLE", "version": 1} for name in "abc"]}
    running = iter([1, 3, 1, 1])

    def answer(sock, request):
        health = b"/health" in request.partition(b"\r\n")[0]
        listed = kept if b"/workers" in request.partition(b"\r\n")[0] else ENDPOINT | {"flashboot": "FLASHBOOT"}
        sock.sendall(reply(200, {"workers": {"running": next(running)}} if health else listed))
        return True

    with scripted(answer) as server:
        control = rest_of(server)
        control.settings()
        assert [control.observe(DesiredState(workers=1)).ready for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("workers", "usd", "told"),
    [
        (0, 1.5, ""),
        (None, 1.5, ""),
        (1, 1.5, "Until then the minimum of 1 worker is billed: 1.50 USD an hour."),
        (3, 1.116, "Until then the minimum of 3 workers is billed: 3.35 USD an hour."),
        (3, None, "Until then the minimum of 3 workers is billed; --price shows what that costs."),
    ],
)
def test_what_an_endpoint_costs_until_it_is_restored(workers, usd, told):
    assert standing_cost(workers, usd) == told
