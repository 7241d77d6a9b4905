"""Answers as servers really send them: pipelined, cut, endless, early, streamed; and connections that close."""

import threading

import gevent
import pytest

from coldburst.targets import connection
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from tests.support.needs import needs_linux
from tests.support.scripted import OK, says, scripted

LONG = Timeouts(connect_s=10, first_byte_s=10, total_s=10)
SHORT = Timeouts(connect_s=10, first_byte_s=0.3, total_s=0.6)


def send(client, method="POST", body=b"", **headers):
    exchange = Exchange()
    client.send(exchange, method, "/", body, headers)
    return exchange


@pytest.fixture
def client_of():
    clients = []

    def make(server, limits=LONG, **how):
        clients.append(HttpClient(server.url.replace("localhost", "127.0.0.1"), limits, **how))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_two_answers_in_one_packet_are_one_answer_and_the_end_of_the_connection(client_of):
    other = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"
    with scripted(says(OK + other)) as server:
        client = client_of(server)
        assert [(got.status, got.body) for got in (send(client), send(client))] == [(200, b"ok")] * 2
        assert server.connections == 2


@pytest.mark.parametrize("rest", [b"\x00\x01garbage", b"HTTP/1.1 500 Oops\r\n", b"x"])
def test_what_follows_an_answer_belongs_to_no_request(client_of, rest):
    with scripted(says(OK + rest)) as server:
        client = client_of(server)
        assert [(got.status, got.body, got.fault) for got in (send(client), send(client))] == [(200, b"ok", "")] * 2
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", 200, b""),
        (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nConnection: close\r\n\r\n", 304, b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n", 200, b"abcde"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nbytes", 101, b""),
    ],
)
def test_each_way_to_end_an_answer(client_of, answer, status, body):
    with scripted(says(answer, goes_on=False)) as server:
        got = send(client_of(server))
    assert (got.status, got.body, got.fault) == (status, body, "")
    assert "x-trailer" not in got.headers


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 9999 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000,
    ],
    ids=["two lengths", "negative length", "bad chunk", "cut chunk", "bad status", "endless headers"],
)
def test_an_answer_that_is_not_http_is_a_broken_exchange(client_of, answer):
    with scripted(says(answer, goes_on=False)) as server:
        got = send(client_of(server))
    assert (got.fault, got.status) == ("reset", None)
    assert got.error


def test_the_answer_to_head_has_no_body(client_of):
    with scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")) as server:
        got = send(client_of(server), "HEAD")
    assert (got.status, got.body, got.fault) == (200, b"", "")


def closing_race(method, reads):
    """What becomes of a second request whose connection closes after the client has looked; ``reads``: the server takes it first."""
    looked, closed = threading.Event(), threading.Event()

    def answer(sock, _request):
        if len(server.requests) == 1:
            sock.sendall(OK)
            if reads:
                return True
            looked.wait(60)
            sock.close()
            closed.set()
            return False
        if reads and len(server.requests) == 2:
            return False
        sock.sendall(OK)
        return True

    def quiet(_connection):
        looked.set()
        return closed.wait(60)

    with scripted(answer) as server:
        client = HttpClient(server.url.replace("localhost", "127.0.0.1"), LONG)
        assert send(client).status == 200
        with pytest.MonkeyPatch.context() as patched:
            if not reads:
                patched.setattr(connection.Connection, "is_quiet", quiet)
            got = send(client, method)
        client.close()
        return got, len(server.requests)


@needs_linux
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_that_reached_a_closed_connection_goes_out_on_a_fresh_one(method):
    got, requests = closing_race(method, reads=False)
    assert (got.status, got.fault, got.reconnects, requests) == (200, "", 1, 2)


def test_a_request_that_somebody_took_and_did_not_answer_is_not_sent_again():
    got, requests = closing_race("POST", reads=True)
    assert (got.fault, got.reconnects, requests) == ("reset", 0, 2)
    got, requests = closing_race("GET", reads=True)
    assert (got.fault, got.reconnects, requests) == ("reset", 0, 2)


def test_a_body_that_is_too_long_is_counted_and_dropped(client_of, monkeypatch):
    monkeypatch.setattr(connection, "KEEP_BYTES", 1000)
    length = 5_000_000
    with scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length)) as server:
        got = send(client_of(server))
    assert (got.status, got.body, got.received) == (200, b"", length)


@pytest.mark.slow
def test_a_body_without_end_stops_at_the_deadline_and_leaves_turns_to_others(client_of):
    over = threading.Event()

    def flood(sock, _request):
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            sock.sendall(b"x" * 65536)
        return False

    turns = 0

    def others():
        nonlocal turns
        while True:
            gevent.sleep(0.001)
            turns += 1

    with scripted(flood) as server:
        beside = gevent.spawn(others)
        got = send(client_of(server, Timeouts(5, 5, 0.5)))
        beside.kill()
        over.set()
    assert (got.fault, got.error) == ("deadline", "not done within 0.5 s")
    assert got.received > 0
    assert turns > 2


def test_an_early_answer_stops_an_upload_that_the_server_does_not_read(client_of):
    with scripted(says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"), bodies=False) as server:
        client = client_of(server)
        got = send(client, body=b"x" * 50_000_000)
        assert (send(client).status, client.opened) == (413, 2)
    assert (got.status, got.fault) == (413, "")


def test_each_piece_of_a_body_is_handed_on_as_it_comes(client_of):
    pieces, seen = [], threading.Semaphore(0)

    def stream(sock, _request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            sock.sendall(b"7\r\ndata: %d\r\n" % number)
            assert seen.acquire(timeout=60)  # the next one only when this one was handed on
        sock.sendall(b"0\r\n\r\n")
        return True

    def take(data, at):
        pieces.append((data, at))
        seen.release()

    with scripted(stream) as server:
        exchange = Exchange()
        client_of(server).send(exchange, "GET", "/", on_body=take)
    assert b"".join(data for data, _ in pieces) == exchange.body == b"".join(b"data: %d" % number for number in range(5))
    assert exchange.first <= pieces[0][1] < pieces[-1][1] <= exchange.done


@pytest.mark.slow
def test_a_server_that_closes_soon_after_each_answer_costs_hardly_a_request(client_of):
    pauses = iter([number % 6 / 1000 for number in range(1000)])

    def answer(sock, _request):
        sock.sendall(OK)
        gevent.monkey.get_original("time", "sleep")(next(pauses))
        return False

    with scripted(answer) as server:
        client = client_of(server)
        got = [send(client, body=b"x" * 100) for _ in range(300)]
        answered = sum(one.status == 200 for one in got)
        assert answered >= 295
        assert len(server.requests) == answered  # none was sent twice
