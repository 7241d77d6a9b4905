"""The HTTP client against real sockets: what it must do where the libraries below it would not, or not any more."""

import os
import resource
import socket
import ssl
import subprocess
import sys
import threading

import gevent
import pytest
import trustme

from coldburst.targets import http
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from tests.support.scripted import OK, closed_by, says, scripted
from tests.support.transcribers import until

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


def test_an_answer_comes_back_with_its_instants(client_of):
    with scripted(says(b"HTTP/1.1 201 Created\r\nX-Worker-Id: w1\r\nContent-Length: 5\r\n\r\nhello")) as server:
        got = send(client_of(server, headers={"User-Agent": "test"}), body=b"abc", **{"X-Request-ID": "r-1"})
    assert (got.status, got.body, got.fault, got.headers["x-worker-id"]) == (201, b"hello", "", "w1")
    assert got.sent <= got.first <= got.done
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST / HTTP/1.1"
    assert {f"Host: 127.0.0.1:{server.port}".encode(), b"User-Agent: test", b"X-Request-ID: r-1", b"Content-Length: 3"} <= set(
        head.split(b"\r\n")
    )
    assert body == b"abc"


def test_a_connection_is_kept_beyond_file_descriptor_1024(client_of):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    null = os.open(os.devnull, os.O_RDONLY)
    ballast = [os.dup(null) for _ in range(1100)]
    try:
        assert max(ballast) > 1024
        with scripted(says(OK)) as server:
            client = client_of(server)
            assert [send(client).status for _ in range(20)] == [200] * 20
            assert (server.connections, client.opened) == (1, 1)
    finally:
        for number in (null, *ballast):
            os.close(number)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_nothing_is_sent_twice_when_the_server_closes(client_of, method):
    with scripted(lambda sock, request: False) as server:
        got = send(client_of(server), method)
    assert (got.fault, len(server.requests)) == ("reset", 1)
    assert got.error


def test_a_connection_that_the_server_closed_while_idle_is_not_used(client_of):
    with scripted(says(OK, goes_on=False)) as server:
        client = client_of(server)
        for _ in range(3):
            assert send(client).status == 200
            until(lambda: closed_by(server.port), "the server's end of the connection")
        assert server.connections == 3


def test_a_connection_idle_for_too_long_is_not_used(client_of, monkeypatch):
    monkeypatch.setattr(http, "KEEP_S", 0.0)
    with scripted(says(OK)) as server:
        client = client_of(server)
        assert [send(client).status for _ in range(3)] == [200] * 3
        assert server.connections == 3


def test_nobody_listening_is_a_fault_of_connecting():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        got = send(HttpClient(f"http://127.0.0.1:{free.getsockname()[1]}", SHORT))
    assert (got.fault, got.status) == ("connect", None)
    assert "refused" in got.error.lower()
    assert got.done >= got.sent


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_cannot_be_looked_up_is_a_fault_of_connecting(name):
    got = send(HttpClient(f"http://{name}:1", LONG))
    assert (got.fault, bool(got.error)) == ("connect", True)


def test_connecting_has_a_time_limit():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))  # fills the backlog: the next one gets no answer
        got = send(HttpClient(f"http://127.0.0.1:{port}", Timeouts(connect_s=0.2, first_byte_s=5, total_s=5)))
        for sock in waiting:
            sock.close()
    assert (got.fault, got.error) == ("connect", "timed out")


@pytest.mark.slow
def test_the_first_byte_has_a_time_limit(client_of):
    with scripted(lambda sock, request: True) as server:
        got = send(client_of(server, SHORT))
    assert (got.fault, got.error, got.first) == ("deadline", "no first byte within 0.3 s", None)


@pytest.mark.slow
def test_the_whole_answer_has_a_time_limit_even_if_bytes_keep_coming(client_of):
    def dribble(sock, _request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            sock.sendall(b".")
            gevent.monkey.get_original("time", "sleep")(0.05)
        return False

    with scripted(dribble) as server:
        got = send(client_of(server, SHORT))
    assert (got.fault, got.error) == ("deadline", "not done within 0.6 s")
    assert got.first is not None
    assert got.status is None


@pytest.mark.slow
def test_a_request_can_have_limits_of_its_own(client_of):
    with scripted(lambda sock, request: True) as server:
        client, exchange = client_of(server, LONG), Exchange()
        client.send(exchange, "GET", "/", limits=SHORT)
    assert (exchange.fault, exchange.error) == ("deadline", "no first byte within 0.3 s")


@pytest.mark.slow
def test_each_request_on_a_kept_connection_has_its_own_time_limit(client_of):
    """One timer watches all of them: it has to hold after requests that ended in time, and for shorter limits than those before."""
    answers = iter((b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",) * 3)

    def answer(sock, _request):
        if block := next(answers, b""):
            sock.sendall(block)
        return True

    with scripted(answer) as server:
        client = client_of(server, SHORT)
        assert [send(client).status for _ in range(2)] == [200, 200]
        # The timer of the first request ends meanwhile, and then that of the second.
        gevent.sleep(0.4)
        exchange = Exchange()
        client.send(exchange, "POST", "/", limits=LONG)
        late = Exchange()
        client.send(late, "POST", "/", limits=Timeouts(10, 0.1, 0.2))
    assert (exchange.status, client.opened) == (200, 1)
    assert (late.fault, late.error) == ("deadline", "no first byte within 0.1 s")
    assert 0.1 <= late.done - late.sent < 5


def test_a_body_that_breaks_off_is_a_broken_exchange(client_of):
    with scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", goes_on=False)) as server:
        got = send(client_of(server))
    assert (got.fault, got.status) == ("reset", None)


def test_an_interim_answer_that_comes_alone_keeps_its_connection(client_of):
    seen = threading.Event()

    def answer(sock, _request):
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        seen.wait(0.05)  # the interim answer travels alone; nothing tells when the client has read it
        sock.sendall(OK)
        return True

    with scripted(answer) as server:
        client = client_of(server)
        exchanges = [Exchange() for _ in range(6)]
        gevent.joinall([gevent.spawn(client.send, exchange, "POST", "/") for exchange in exchanges[:3]])
        for exchange in exchanges[3:]:
            client.send(exchange, "POST", "/")
        assert [(exchange.status, exchange.body, exchange.fault) for exchange in exchanges] == [(200, b"ok", "")] * 6
        assert server.connections == 3


def test_what_is_no_http_is_a_broken_exchange(client_of):
    with scripted(says(b"SSH-2.0-OpenSSH_9.2\r\n", goes_on=False)) as server:
        assert send(client_of(server)).fault == "reset"


def test_an_answer_before_the_body_is_read_counts(client_of):
    with scripted(says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), bodies=False) as server:
        got = send(client_of(server), body=b"x" * 1000)
    assert got.status == 413


def test_a_request_that_is_killed_takes_its_connection_with_it(client_of):
    def answer(sock, _request):
        if len(server.requests) > 1:
            sock.sendall(OK)
        return True

    with scripted(answer) as server:
        client = client_of(server, Timeouts(5, 5, 5))
        exchange = Exchange()
        greenlet = gevent.spawn(client.send, exchange, "POST", "/")
        while not server.requests:
            gevent.sleep(0.001)
        greenlet.kill()
        assert (send(client).status, client.opened) == (200, 2)
    assert exchange.sent is not None
    assert exchange.status is None


@pytest.mark.slow
def test_tls_is_verified(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trust = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trust))
    code = (
        "from gevent import monkey; monkey.patch_all(); "  # as under Locust: only then are TLS sockets gevent's
        "import sys; from coldburst.targets.http import *; e = Exchange(); c = HttpClient(sys.argv[1], Timeouts(5, 5, 5)); "
        "c.send(e, 'GET', '/'); print(e.status, e.fault, e.error); "
        "[c.send(e, 'POST', '/', b'x' * 200_000) for _ in range(3)]; print(e.status, 'over', c.opened)"
    )
    with scripted(says(OK), tls=context) as server:
        ask = [sys.executable, "-c", code]
        strange = subprocess.run([*ask, server.url], capture_output=True, text=True, check=True)
        known = subprocess.run([*ask, server.url], env={"SSL_CERT_FILE": str(trust)}, capture_output=True, text=True, check=True)
        wrong_name = server.url.replace("localhost", "127.0.0.1")
        other = subprocess.run([*ask, wrong_name], env={"SSL_CERT_FILE": str(trust)}, capture_output=True, text=True, check=True)
    assert strange.stdout.startswith("None connect")
    assert "could not be verified (unable to get local issuer certificate), and nothing was sent: trust its authority by" in strange.stdout
    assert known.stdout.splitlines() == ["200  ", "200 over 1"]  # and the connection is kept
    assert other.stdout.startswith("None connect")
    assert "use a name that it is valid for" in other.stdout


def test_a_port_without_tls_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        got = send(HttpClient(f"https://127.0.0.1:{listener.getsockname()[1]}", LONG))
    assert (got.fault, got.error) == ("connect", "the server does not speak TLS at that port: should the address begin with http:// ?")


def test_a_header_cannot_smuggle_a_line():
    with pytest.raises(ValueError, match="line break"):
        HttpClient("http://127.0.0.1:1", SHORT, {"X-API-Key": "a\r\nX-Evil: 1"})
