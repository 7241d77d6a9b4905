"""Jobs and polls of a queue endpoint whose answers tell a rate limit: none is answered 429."""

import gevent
import pytest

from coldburst.targets.exchange import Exchange
from coldburst.targets.rate_limiter import SubmissionLimit
from tests.support.emulators import MODELLED, emulator
from tests.support.locusts import locust

NONE_LEFT = {"ratelimit": '"window";r=0;t=60'}
SOME_LEFT = {"ratelimit": '"window";r=9;t=60'}


@pytest.mark.slow
def test_submissions_wait_while_none_is_left_and_go_on_in_order_when_an_answer_allows_more():
    limit, went = SubmissionLimit(), []
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
    limit, exchange = SubmissionLimit(), Exchange()
    for number in range(1, 100):
        assert limit.enter(exchange) == number
        limit.hear(number, {"content-type": "application/json"})
    assert exchange.held_s == 0


def test_generators_share_the_limit():
    limit = SubmissionLimit()
    limit.share(3)
    limit.hear(limit.enter(Exchange()), SOME_LEFT)
    for _ in range(3):
        limit.enter(Exchange())
    with gevent.Timeout(0.01, False):
        limit.enter(Exchange())
        pytest.fail("a fourth of nine among three")


@pytest.mark.slow
def test_a_run_against_a_small_quota_meets_no_429():
    """24 jobs at 4/s where 12 are allowed in 4 s, polls too: the emulator counts, and the rows tell who waited."""
    quota = ("--platform", "quota=12", "--platform", "window_s=4")
    with (
        emulator(*MODELLED, *quota) as platform,
        locust(
            "--host", f"{platform.url}/v2/demo", "--schedule", "steady 6s 4/s", "--poll", "status", file="locustfiles/sustained.py"
        ) as run,
    ):
        run.wait(120)
        assert {row.outcome for row in run.rows} == {"ok"}
        assert len(run.rows) == 24
        held = [row for row in run.rows if row.held_s]
        assert held
        assert "allow no further job" in run.output
        refused = platform.inside("demo")["refused"]
    assert refused == {}
