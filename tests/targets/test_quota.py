"""A service's own rate limit: read from its answers, never exceeded, and used. In virtual time, against the emulator's own limits."""

import heapq
import itertools
import random

import pytest

from coldburst.emulator.api.responses import rate_limit
from coldburst.serverless.platform_parameters import Platform
from coldburst.serverless.rate_limits import RateLimits
from coldburst.targets.quota import Quota, windows

FULL, WINDOW_S = 20, 10.0
BUSY = {"ratelimit": '"window";r=0;t=4', "ratelimit-policy": '"window";q=20;w=10'}


def headers(limits, now):
    """What an answer at that instant has, with names as the client sees them."""
    return {name.lower(): value for name, value in rate_limit("window", *limits.quota("run", now)).items()}


def offered(per_s, until_s, *, clients=1, spread=False, slowest_s=0.3, seed=1):
    """Clients that want to send ``per_s`` requests a second, with random times on the way; the instants, and how many are refused."""
    draw, order = random.Random(seed), itertools.count()
    limits = RateLimits(Platform(quota=FULL, window_s=WINDOW_S, limits=Platform().limits), lambda: 0, 3.7)
    quotas = [Quota(1 / clients, spread=spread) for _ in range(clients)]
    line = [[] for _ in quotas]
    events = [(n / per_s, next(order), "wanted", n % clients, None) for n in range(int(per_s * until_s))]
    heapq.heapify(events)
    sent, refused = [], 0
    while events:
        now, _, what, client, about = heapq.heappop(events)
        if now > until_s:
            break
        quota = quotas[client]
        if what == "wanted":
            line[client].append(now)
        elif what == "arrives":
            refused += limits.admit("run", now) is not None
            limits.release("run")
            told = headers(limits, now)
            heapq.heappush(events, (now + draw.uniform(0, slowest_s), next(order), "answer", client, (about, told)))
        elif what == "answer":
            quota.hear(*about, now)
        while line[client] and (wait_s := quota.wait_s(now)) <= 1e-9:
            line[client].pop(0)
            sent.append(now)
            heapq.heappush(events, (now + draw.uniform(0, slowest_s), next(order), "arrives", client, quota.take(now)))
        if line[client]:
            heapq.heappush(events, (now + wait_s + 1e-6, next(order), "again", client, None))
    return sent, refused


@pytest.mark.slow
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_no_request_is_refused_and_most_of_the_limit_is_used(spread, clients, seed):
    sent, refused = offered(5.0, 200.0, clients=clients, spread=spread, seed=seed)
    assert refused == 0
    # The last part of a window stays unused, because its end is told in whole seconds.
    assert 0.75 * FULL * 200 / WINDOW_S <= len(sent) <= FULL * (200 / WINDOW_S + 1)


def test_a_load_below_the_limit_is_not_held():
    sent, refused = offered(1.5, 100.0)
    assert (sent, refused) == ([n / 1.5 for n in range(150)], 0)


@pytest.mark.slow
def test_what_is_left_is_spread_over_the_window_or_used_at_once():
    gaps = {}
    for spread in (False, True):
        sent, _ = offered(20.0, 100.0, spread=spread)
        gaps[spread] = sorted(after - before for before, after in itertools.pairwise(sent))[len(sent) // 2]
    assert gaps[False] < 0.06
    assert gaps[True] > 0.3


def test_requests_that_left_after_the_answered_one_are_taken_off():
    quota = Quota()
    assert not quota
    first = quota.take(0.0)
    for _ in range(4):
        quota.take(0.1)
    assert quota.hear(first, {"ratelimit": '"window";r=5;t=9'}, 0.2)
    assert quota
    quota.take(0.3)
    assert quota.wait_s(0.3) == pytest.approx(9.9)


def test_an_older_answer_changes_nothing():
    quota = Quota()
    first, second = quota.take(0.0), quota.take(0.0)
    quota.hear(second, BUSY, 1.0)
    assert not quota.hear(first, {"ratelimit": '"window";r=19;t=9'}, 1.1)
    assert quota.wait_s(1.1) == pytest.approx(4.9)


def test_after_the_window_its_whole_number_is_allowed_again_if_it_is_known():
    known, unknown = Quota(), Quota()
    for quota, told in ((known, BUSY), (unknown, {"ratelimit": BUSY["ratelimit"]})):
        quota.hear(quota.take(0.0), told, 0.0)
        assert quota.wait_s(4.9) > 0
        assert quota.wait_s(5.0) == 0
        quota.take(5.0)
    assert known.wait_s(5.0) == 0
    assert unknown.wait_s(5.0) > 0


def test_the_tightest_of_several_windows_holds():
    quota = Quota()
    quota.hear(quota.take(0.0), {"ratelimit": '"minute";r=176;t=12, "hour";r=0;t=1800'}, 0.0)
    assert quota.wait_s(100.0) == 1701


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"x-ratelimit": '"minute";r=176, "hour";r=7193'}, {"minute": (176, 60, 60, 0), "hour": (7193, 3600, 3600, 0)}),
        ({"ratelimit": '"a";r=3;t=5;pk=:YQ==:', "ratelimit-policy": '"a";q=60;w=30'}, {"a": (3, 5, 30, 60)}),
        ({"ratelimit": '"a";r=3'}, {}),
        ({"ratelimit": '"minute";r=1e999;t=1, "hour";r=-1;t=2'}, {"hour": (0, 2, 3600, 0)}),
        ({}, {}),
    ],
)
def test_headers(told, found):
    assert {name: (one.left, one.ends_s, one.length_s, one.full) for name, one in windows(told).items()} == found
