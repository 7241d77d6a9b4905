"""What is tried again, after how long; and in a run: each try a row, the ledger of requests."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from coldburst.record.attempt import OUTCOMES
from coldburst.schedule.retries import AGAIN, LONGEST_ASKED_S, LONGEST_S, Retries, back_off_s
from coldburst.targets.answer import retry_after_s
from tests.support.locusts import PLAIN, locust
from tests.support.scripted import scripted

BUSY = b'HTTP/1.1 503 No\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"error": "full"}'
LATER = b"HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
BAD = b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"
GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"text": "hi"}'
FAST = ("--max-wer", "off", "--backoff", "0.01", "--target", "transcription")


def pauses(retries, outcome, *, retry_after_s=None, seed=1):
    draw = random.Random(seed)
    return [retries.pause_s(outcome, tries, retry_after_s, draw) for tries in range(1, retries.most + 2)]


def test_pauses_double_around_their_mean_and_end():
    *waits, last = pauses(Retries(4, 1.0), "busy")
    assert last is None
    for wait_s, mean_s in zip(waits, (1, 2, 4, 8), strict=True):
        assert mean_s / 2 <= wait_s <= mean_s * 1.5


def test_requests_that_failed_together_do_not_come_back_together():
    assert len({pauses(Retries(1, 1.0), "busy", seed=seed)[0] for seed in range(20)}) == 20


def test_a_named_time_is_waited_for_and_the_pause_has_a_longest():
    assert pauses(Retries(1, 0.01), "throttled", retry_after_s=7.0)[0] == 7.0
    assert max(wait_s for wait_s in pauses(Retries(30, 1.0), "busy") if wait_s) <= LONGEST_S * 1.5


def test_a_time_beyond_all_patience_is_no_pause_but_an_end():
    assert pauses(Retries(1, 0.01), "throttled", retry_after_s=LONGEST_ASKED_S + 1) == [None, None]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("1e3", None),
        ("99999999999999", None),
        ("\u0663", None),
    ],
)
def test_a_retry_after_in_seconds(said, seconds):
    assert retry_after_s({"retry-after": said}) == seconds


def test_a_retry_after_may_be_a_date():
    inside = datetime.now(UTC) + timedelta(seconds=30)
    for text in (format_datetime(inside, usegmt=True), inside.strftime("%a, %d %b %Y %H:%M:%S"), inside.strftime("%a %b %d %H:%M:%S %Y")):
        found = retry_after_s({"retry-after": text})
        assert found is not None
        assert 0 < found <= 30
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after_s({"retry-after": "Wed, 99 Oct 2015 07:28:00 GMT"}) is None
    assert retry_after_s({}) is None


@pytest.mark.parametrize("outcome", sorted(OUTCOMES))
def test_only_what_another_try_may_change_is_tried_again(outcome):
    first = pauses(Retries(3, 1.0), outcome)[0]
    assert (first is not None) == (outcome in ("queue_timeout", "throttled", "busy", "unreachable"))
    assert set(AGAIN) <= set(OUTCOMES)


def test_nothing_is_tried_again_unless_asked_for():
    assert pauses(Retries(), "busy") == [None]


@pytest.mark.slow
def test_each_try_is_a_row_and_the_ledger_counts_requests(tmp_path):
    """Request 0: full, then ok. Request 1: refused, which is final. Request 2: throttled, full, full: given up."""
    script = {"0": [BUSY, GOOD], "1": [BAD], "2": [LATER, BUSY, BUSY]}

    def answer(sock, request):
        name = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"x-request-id"))
        seq, attempt = name.decode().rsplit("-", 2)[1:]
        sock.sendall(script[seq][int(attempt) - 1])
        return True

    asked = ("--schedule", "burst 3", "--max-in-flight", "1", "--retries", "2", *FAST)
    with scripted(answer) as server, locust("--host", server.url, *asked, *PLAIN) as run:
        assert run.wait() == 1, run.output
        rows = [(row["seq"], row["attempt"], row["outcome"]) for row in run.table("attempts.csv")]
        first, again = (float(row["sent_s"]) for row in run.table("attempts.csv") if row["seq"] == "2" and row["attempt"] in "12")
        assert str(run.ledger) == "3 planned = 1 ok + 1 busy + 1 refused"
    assert rows == [
        ("0", "1", "busy"),
        ("0", "2", "ok"),
        ("1", "1", "refused"),
        ("2", "1", "throttled"),
        ("2", "2", "busy"),
        ("2", "3", "busy"),
    ]
    assert again - first >= 1, "Retry-After was not honoured"


@pytest.mark.parametrize(
    ("outcome", "took_s", "asked_s", "pause_s"),
    [
        ("ok", 0.01, 5.0, 0.0),
        ("wrong", 0.01, None, 0.0),
        ("busy", 0.1, None, 0.4),
        ("busy", 0.1, 2.0, 2.0),
        ("throttled", 0.1, 3600.0, 10.0),
        ("failed", 3.0, None, 0.0),
        ("unreachable", 0.0, None, 0.5),
    ],
)
def test_a_place_of_a_closed_loop_does_not_hammer_an_endpoint_that_rejects(outcome, took_s, asked_s, pause_s):
    assert back_off_s(outcome, took_s, asked_s) == pytest.approx(pause_s)
