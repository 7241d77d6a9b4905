"""When pieces of an answer arrive: by the kernel, and not when a busy process comes to read them."""

import socket
import struct
import sys
import threading
import time

import pytest

from coldburst.targets.http import Exchange, HttpClient, Timeouts
from coldburst.targets.socket_state import APART_S, MOST_AGE_S, STAMP_BYTES, arrived_at, stamp_arrivals
from tests.support.scripted import scripted

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NO STAMPS: only Linux notes when a packet arrives")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@linux
def test_a_piece_that_is_read_late_has_the_time_of_its_arrival():
    wanted, sent = threading.Event(), threading.Event()

    def answer(sock, _request):
        sock.sendall(HEAD + b"a")
        wanted.wait(60)
        sock.sendall(b"b")
        sent.set()
        return False

    found = []

    def hold_everything_up(piece, at_s):
        found.append((piece, at_s))
        if piece == b"a":
            wanted.set()
            assert sent.wait(60)
            found.append(("read after", time.perf_counter()))

    with scripted(answer) as server:
        client, exchange = HttpClient(f"http://127.0.0.1:{server.port}", Timeouts(2, 5, 5)), Exchange()
        client.send(exchange, "GET", "/", on_body=hold_everything_up)
        client.close()
    (_, first), (_, read_after), (piece, second) = found
    assert piece == b"b"
    assert exchange.sent < first < second < read_after + APART_S
    assert read_after < exchange.done


@linux
def test_the_kernel_stamps_what_a_socket_receives():
    near, far = socket.socketpair()
    with near, far:
        assert stamp_arrivals(near) is True


def stamp(age_s):
    seconds, rest = divmod(time.time() - age_s, 1)
    return [(socket.SOL_SOCKET, 35, struct.pack("qq", int(seconds), int(rest * 1e9)))]


def test_a_stamp_is_an_age_and_odd_ones_are_now():
    assert len(stamp(0)[0][2]) <= STAMP_BYTES
    now = time.perf_counter()
    assert arrived_at(stamp(2.0)) < now - 1.0
    for odd in ([], stamp(-5.0), stamp(2 * MOST_AGE_S), [(socket.SOL_SOCKET, 35, b"")], [(0, 1, b"x" * 16)]):
        assert arrived_at(odd) >= now
