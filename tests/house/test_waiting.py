"""What tests wait for, and ports that they keep: a wait ends as soon as nothing can come of it, and says why."""

import errno
import socket

import pytest

from tests.support.serving import reserved
from tests.support.transcribers import until
from tests.support.web import WebUi

pytestmark = pytest.mark.slow


def test_what_is_not_there_or_not_whole_is_waited_for():
    looks = iter([FileNotFoundError("attempts.csv"), ValueError("half a line"), 0, 7])

    def look():
        seen = next(looks)
        if isinstance(seen, Exception):
            raise seen
        return seen

    assert until(look, "seven") == 7


def test_a_wait_in_vain_says_what_stood_in_the_way():
    with pytest.raises(AssertionError, match=r"^no table within 0 s \(.*attempts.csv'\)$"):
        until(lambda: open("/nowhere/attempts.csv"), "table", 0)  # noqa: PTH123, SIM115


def test_where_whoever_is_waited_for_has_ended_there_is_one_last_look():
    looks = iter([0, 7])
    assert until(lambda: next(looks), "seven", gone=iter([False, True]).__next__) == 7
    with pytest.raises(AssertionError, match=r"^no eight and its process has ended$"):
        until(lambda: 0, "eight", gone=lambda: True)


def test_a_locust_that_ends_at_its_start_is_told_with_what_it_said():
    with pytest.raises(AssertionError, match=r"its process has ended:\n(.*\n)*.*--no-such-option"), WebUi("--no-such-option"):
        pass


def test_a_reserved_port_is_free_for_who_is_told_and_for_nobody_else():
    with reserved() as port:
        with socket.socket() as other, pytest.raises(OSError) as refused:
            other.bind(("127.0.0.1", port))
        assert refused.value.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.1", port)):  # says SO_REUSEADDR
            assert socket.create_connection(("127.0.0.1", port)).close() is None
