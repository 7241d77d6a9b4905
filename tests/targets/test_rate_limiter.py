"""The rate limit of polls: never exceeded, first come, first served, slower after a 429 and back again."""

import itertools

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.targets.rate_limiter import RateLimit, RateLimiter, TokenBucket

LIBERAL = RateLimit(1_000_000, 1, share=1.0)


def goes(pace, now, until):
    """The instants at which requests go that are asked for as fast as can be."""
    found = []
    while now < until:
        wait_s = pace.wait_s(now)
        now += wait_s
        if wait_s == 0:
            pace.take(now)
            found.append(now)
    return found


def test_the_documented_limits_make_160_polls_a_second_and_320_at_a_time():
    limit = RateLimit(2000, 400, share=0.8)
    assert (limit.rate, limit.places) == (160.0, 320)
    assert RateLimit(2000, 400, share=0.0001).places == 1
    for share in (0, -1, 1.1):
        with pytest.raises(ValueError, match=r"give one above 0 and at most 1, as in 0\.8"):
            RateLimit(1, 1, share=share)


def test_a_pace_lets_its_rate_go_and_no_window_holds_more_than_that_and_the_burst():
    found = goes(TokenBucket(160, burst=8, window_s=10, now=100.0), 100.0, 130.0)
    assert len(found) == pytest.approx(8 + 160 * 30, abs=1)
    for first, after in zip(found, found[160 * 10 + 8 + 1 :], strict=False):
        assert after - first > 10


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.5, 50), st.floats(1, 20))
def test_no_irregular_asking_gets_more_out_of_a_pace(rests, rate, burst):
    pace, now, found = TokenBucket(rate, burst, 10, 0.0), 0.0, []
    for rest in rests:
        now += rest
        if pace.wait_s(now) == 0:
            pace.take(now)
            found.append(now)
    for start, end in itertools.combinations(range(len(found)), 2):
        assert end - start + 1 <= burst + rate * (found[end] - found[start]) + 1e-6


def test_a_429_halves_the_rate_for_a_window_and_then_it_doubles():
    pace = TokenBucket(100, burst=1, window_s=10, now=0.0)
    goes(pace, 0.0, 1.0)
    pace.slow(1.0, sent=0.9)
    assert len(goes(pace, 1.0, 11.0)) == pytest.approx(500, abs=2)
    assert len(goes(pace, 11.0, 21.0)) == pytest.approx(1000, abs=2)


def test_a_rate_can_be_changed_and_what_was_saved_up_is_not_more_than_the_new_one_saves():
    pace = TokenBucket(100, burst=10, window_s=10, now=0.0)
    pace.change(20, burst=2, now=1.0)
    assert len(goes(pace, 1.0, 11.0)) == pytest.approx(2 + 200, abs=1)
    pace.slow(11.0, sent=10.9)
    pace.change(40, burst=2, now=11.0)
    assert len(goes(pace, 11.0, 21.0)) == pytest.approx(200, abs=2)  # a 429 goes on to halve it


def test_a_limit_that_grows_lets_in_who_waited_and_one_that_shrinks_takes_no_turn_back():
    limiter = RateLimiter(LIBERAL)
    assert limiter.enter(1)
    waiting = gevent.spawn(limiter.enter, 5)
    gevent.sleep(0)
    limiter.change(RateLimit(1_000_000, 2, share=1.0))
    assert waiting.get(timeout=60)
    limiter.change(LIBERAL)
    assert (limiter.places, limiter.open) == (1, 2)
    limiter.leave()
    assert not limiter.enter(0.001)
    limiter.change(RateLimit(1, 400, share=1.0, window_s=1e6))  # the turn that was saved up, and none for eleven days
    assert limiter.enter(1)
    assert not limiter.enter(0.001)


def test_429s_of_requests_that_were_under_way_together_count_once():
    pace = TokenBucket(100, burst=1, window_s=10, now=0.0)
    pace.slow(1.0, sent=0.9)
    pace.slow(1.1, sent=0.95)  # sent before the first one was heard
    assert len(goes(pace, 1.1, 6.1)) == pytest.approx(250, abs=2)
    pace.slow(6.1, sent=6.0)
    assert len(goes(pace, 6.1, 16.1)) == pytest.approx(250, abs=2)
    assert len(goes(pace, 16.1, 26.1)) == pytest.approx(500, abs=2)  # back step by step
    assert len(goes(pace, 26.1, 36.1)) == pytest.approx(1000, abs=2)


def test_a_rate_never_falls_to_nothing():
    pace = TokenBucket(64, burst=1, window_s=10, now=0.0)
    for number in range(100):
        pace.slow(number, sent=number)
    assert len(goes(pace, 99.0, 109.0)) == pytest.approx(10, abs=1)


def test_turns_come_in_the_order_of_asking_and_the_urgent_go_first():
    limiter, order = RateLimiter(LIBERAL), []
    assert limiter.enter(1)

    def ask(name, **how):
        assert limiter.enter(5, **how)
        order.append(name)
        limiter.leave()

    greenlets = []
    for name, how in (("a", {}), ("b", {}), ("now", {"urgent": True}), ("c", {})):
        greenlets.append(gevent.spawn(ask, name, **how))
        gevent.sleep(0)
    assert (limiter.waiting, order) == (4, [])
    limiter.leave()
    gevent.joinall(greenlets, timeout=60, raise_error=True)
    assert order == ["now", "a", "b", "c"]
    assert (limiter.open, limiter.waiting) == (0, 0)


def test_a_turn_that_does_not_come_in_time_is_not_waited_for_any_more():
    limiter = RateLimiter(LIBERAL)
    assert limiter.enter(1)
    assert not limiter.enter(0.01)
    assert (limiter.open, limiter.waiting) == (1, 0)


def test_a_greenlet_that_is_killed_in_line_or_with_its_turn_just_given_takes_none_with_it():
    limiter = RateLimiter(LIBERAL)
    assert limiter.enter(1)
    in_line, given_its_turn, next_one = (gevent.spawn(limiter.enter, 5) for _ in range(3))
    gevent.sleep(0)
    in_line.kill()
    assert limiter.waiting == 2
    given_its_turn.kill(block=False)  # will strike before it can notice
    limiter.leave()
    assert (limiter.open, limiter.waiting) == (1, 1)
    assert next_one.get(timeout=60)
    assert isinstance(given_its_turn.value, gevent.GreenletExit)
    assert (limiter.open, limiter.waiting) == (1, 0)


def test_a_line_moves_at_the_pace_of_the_allowance():
    limiter, count = RateLimiter(RateLimit(1000, 400, share=1.0, window_s=10.0), burst=1), 21  # 100 a second
    seen = []
    for _ in range(count):
        assert limiter.enter(5)
        seen.append(gevent.get_hub().loop.now())
        limiter.leave()
    assert seen[-1] - seen[0] > 0.17  # 20 gaps of 10 ms, but for the loop's own clock, which stands still within a turn
    limiter.slow(sent=1e12)
    assert not limiter.enter(0.001)
