"""Runs in which another try helps: all is well in the end, and an endpoint is not asked before the time that it names."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tests.support.locusts import PLAIN, locust
from tests.support.scripted import scripted

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"text": "hi"}'
AFTER_S = 3
FAST = ("--schedule", "burst 1", "--max-wer", "off", "--backoff", "0.01", "--retries", "1", "--target", "transcription")


def once_busy(headers=""):
    """A service that is busy once and then answers; ``headers`` are made when it is asked."""
    asked = []

    def answer(sock, _request):
        asked.append(time.time())
        later = f"HTTP/1.1 429 No\r\n{headers() if callable(headers) else headers}Content-Length: 0\r\n\r\n".encode()
        sock.sendall(later if len(asked) == 1 else GOOD)
        return True

    return answer, asked


@pytest.mark.slow
def test_a_run_whose_requests_were_all_ok_in_the_end_is_a_success():
    answer, _ = once_busy()
    with scripted(answer) as server, locust("--host", server.url, *FAST, *PLAIN) as run:
        code = run.wait()
        assert str(run.ledger) == "1 planned = 1 ok"
        assert code == 0, run.output


@pytest.mark.slow
def test_a_retry_after_that_is_a_date_is_waited_for():
    def date():
        return f"Retry-After: {format_datetime(datetime.now(UTC) + timedelta(seconds=AFTER_S), usegmt=True)}\r\n"

    answer, asked = once_busy(date)
    with scripted(answer) as server, locust("--host", server.url, *FAST, *PLAIN) as run:
        run.wait()
        assert str(run.ledger) == "1 planned = 1 ok"
    assert asked[1] - asked[0] >= AFTER_S - 1.0, "dates have whole seconds"
