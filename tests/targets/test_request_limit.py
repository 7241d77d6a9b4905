"""Jobs, polls and chat of a queue endpoint whose answers tell a rate limit: none is answered 429."""

import gevent
import pytest

from coldburst.targets.chat import ChatOptions, ChatTarget
from coldburst.targets.exchange import Exchange, Timeouts
from coldburst.targets.payload import Payload
from coldburst.targets.rate_limiter import RequestLimit
from tests.support.emulators import MODELLED, emulator
from tests.support.locusts import locust

NONE_LEFT = {"ratelimit": '"window";r=0;t=60'}
SOME_LEFT = {"ratelimit": '"window";r=9;t=60'}


@pytest.mark.slow
def test_submissions_wait_while_none_is_left_and_go_on_in_order_when_an_answer_allows_more():
    limit, went = RequestLimit(), []
    first = Exchange()
    limit.hear(limit.enter(first), NONE_LEFT)
    assert first.held_s == 0

    def submit(name):
        exchange = Exchange()
        turn = limit.enter(exchange)
        went.append((name, exchange.held_s > 0, turn))

    waiting = [gevent.spawn(submit, name) for name in "abc"]
    gevent.sleep(0)
    assert went == []
    limit.hear(1, SOME_LEFT)
    gevent.joinall(waiting, timeout=60, raise_error=True)
    assert went == [("a", True, 2), ("b", True, 3), ("c", True, 4)]


def test_a_service_without_the_headers_gets_every_request_at_once():
    limit, exchange = RequestLimit(), Exchange()
    for number in range(1, 100):
        assert limit.enter(exchange) == number
        limit.hear(number, {"content-type": "application/json"})
    assert exchange.held_s == 0


def test_generators_share_the_limit():
    limit = RequestLimit()
    limit.share(3)
    limit.hear(limit.enter(Exchange()), SOME_LEFT)
    for _ in range(3):
        limit.enter(Exchange())
    with gevent.Timeout(0.01, False):
        limit.enter(Exchange())
        pytest.fail("a fourth of nine among three")


def test_chat_obeys_the_limit_of_runpods_route_only(monkeypatch):
    """Behind a balancer or elsewhere the header is of the worker that answered, and others may have room."""
    hosts = {"https://api.runpod.ai/v2/ep/openai/v1": True, "https://ep.api.runpod.ai": False, "https://api.openai.com/v1": False}
    for host, obeyed in hosts.items():
        target = ChatTarget(host, Payload(None, ()), ChatOptions(), Timeouts(1, 1, 1))
        asked = []

        def send(exchange, *_, asked=asked, **__):
            asked.append(exchange)
            exchange.headers = NONE_LEFT

        monkeypatch.setattr(target.client, "send", send)
        with gevent.Timeout(0.01, False):
            for seq in range(2):
                target.send(seq, f"run-{seq}", Exchange())
        assert len(asked) == (1 if obeyed else 2), host


@pytest.mark.slow
@pytest.mark.parametrize("below", ["", "/openai/v1"])
def test_a_run_against_a_small_quota_meets_no_429(below):
    """24 jobs or chats at 4/s where 12 are allowed in 4 s, polls too: the emulator counts, and the rows tell who waited."""
    quota = ("--tokens-per-s", "10000", "--platform", "quota=12", "--platform", "window_s=4")
    with (
        emulator(*MODELLED, *quota) as platform,
        locust(
            "--host", f"{platform.url}/v2/demo{below}", "--schedule", "steady 6s 4/s", "--poll", "status", file="locustfiles/sustained.py"
        ) as run,
    ):
        run.wait(120)
        assert {row.outcome for row in run.rows} == {"ok"}
        assert len(run.rows) == 24
        held = [row for row in run.rows if row.held_s]
        assert held
        assert "allow no further request" in run.output
        refused = platform.inside("demo")["refused"]
    assert refused == {}
