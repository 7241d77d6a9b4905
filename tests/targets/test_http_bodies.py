"""Bodies without an end, very slow ones and very long ones: the deadline holds, memory is bounded, and other requests are sent on time."""

import gzip
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress

import gevent
import pytest
import trustme

from coldburst.targets import answer
from coldburst.targets.http import Exchange, HttpClient, Timeouts
from tests.support.locusts import ROOT
from tests.support.scripted import says, scripted

BLOCK = b"x" * 65536
ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"
# A client of its own process: six requests at once and a timer beside them.
CLIENT = """
from gevent import monkey; monkey.patch_all()
import json, sys, time, gevent, psutil
from coldburst.targets.answer import parse_json
from coldburst.targets.http import Exchange, HttpClient, Timeouts
late, most, deadline_s = [], [0], float(sys.argv[2])
def beside():
    while True:
        # In CPU time, which does not depend on what else the machine does.
        busy_s = time.thread_time()
        gevent.sleep(0.005)
        late.append(time.thread_time() - busy_s)
        if len(late) % 20 == 0:
            most[0] = max(most[0], psutil.Process().memory_info().rss)
gevent.spawn(beside)
client = HttpClient(sys.argv[1], Timeouts(deadline_s, deadline_s, deadline_s))
exchanges = [Exchange() for _ in range(6)]
began = time.perf_counter()
gevent.joinall([gevent.spawn(client.send, exchange, "GET", "/") for exchange in exchanges])
took_s = time.perf_counter() - began
[parse_json(exchange.body) for exchange in exchanges]
late.sort()
print(json.dumps({"took_s": took_s, "done_s": [one.done - one.sent for one in exchanges], "faults": [one.fault for one in exchanges],
    "received": [one.received for one in exchanges], "late_s": late[int(len(late) * 0.99)], "rss": most[0]}))
"""


def sending(head, blocks):
    """Sends ``blocks`` after ``head``, as long as anybody reads them."""

    def answer(sock, _request):
        sock.sendall(head)
        for block in blocks():
            sock.sendall(block)
        return False

    return answer


def forever():
    while True:
        yield BLOCK


def chunks():
    while True:
        yield b"10000\r\n" + BLOCK + b"\r\n"


def json_items():
    """100 MB of small objects, from a body that is read to its end."""
    yield b"[" + b'{"a": 1},' * 11_000_000 + b'{"a": 1234567}]'.ljust(999_999, b" ")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("head", "blocks", "fault"),
    [(ENDLESS, forever, "deadline"), (CHUNKED, chunks, "deadline"), (LARGE, json_items, "")],
    ids=["endless", "chunked", "100 MB"],
)
def test_six_bodies_at_once_keep_to_the_deadline_the_memory_and_the_time_of_others(head, blocks, fault):
    with scripted(sending(head, blocks)) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        command = [sys.executable, "-c", CLIENT, url, "20" if not fault else "2"]
        found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300).stdout)
    assert set(found["faults"]) == {fault}
    assert max(found["done_s"]) <= (20.5 if not fault else 2.5)
    assert found["took_s"] <= (21 if not fault else 2.6)
    assert found["rss"] <= 200_000_000
    assert found["late_s"] <= 0.020


@pytest.mark.slow
def test_a_byte_now_and_then_does_not_extend_the_deadline():
    over = threading.Event()

    def trickle(sock, _request):
        sock.sendall(ENDLESS)
        while not over.wait(0.02):
            sock.sendall(b"x")
        return False

    with scripted(trickle) as server:
        client, exchange = HttpClient(server.url, Timeouts(5, 5, 0.5)), Exchange()
        client.send(exchange, "GET", "/")
        over.set()
    assert (exchange.fault, exchange.error) == ("deadline", "not done within 0.5 s")
    # The bytes would go on for ever.
    assert exchange.done - exchange.sent < 60


SECURE = """
from gevent import monkey; monkey.patch_all()
import sys
from coldburst.targets.http import Exchange, HttpClient, Timeouts
exchange = Exchange()
HttpClient(sys.argv[1], Timeouts(float(sys.argv[2]), 5, 1)).send(exchange, "GET", "/")
print(exchange.fault, exchange.status, round(exchange.done - exchange.sent, 3))
"""


def over_tls(listener, connect_s, trust):
    """How a request to that listener over TLS ends: its fault, its status and how long it took."""
    url = f"https://localhost:{listener.getsockname()[1]}"
    command = [sys.executable, "-c", SECURE, url, str(connect_s)]
    env = {"SSL_CERT_FILE": str(trust)}
    fault, status, took_s = subprocess.run(
        command, cwd=ROOT, env=env, check=True, capture_output=True, text=True, timeout=30
    ).stdout.split()
    return fault, status, float(took_s)


def slow_record(sock, context):
    """Sends the bytes of one TLS record one after the other."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = context.wrap_bio(incoming, outgoing, server_side=True)

    def step(call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))

    step(secure.do_handshake)
    sock.sendall(outgoing.read())
    step(lambda: secure.read(65536))
    secure.write(ENDLESS)
    sock.sendall(outgoing.read())
    secure.write(BLOCK[:16_000])
    for byte in outgoing.read():
        sock.sendall(bytes([byte]))
        time.sleep(0.02)


@pytest.mark.slow
def test_the_bytes_of_a_tls_record_do_not_extend_the_deadline(tmp_path):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def serve():
        sock, _ = listener.accept()
        with sock, suppress(OSError):
            slow_record(sock, context)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        fault, _, took_s = over_tls(listener, 5, tmp_path / "ca.pem")
        serving.join()
    assert fault == "deadline"
    # The record takes 320 s.
    assert took_s < 60


@pytest.mark.slow
def test_a_tls_handshake_that_does_not_come_ends_with_the_time_to_connect(tmp_path):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fault, status, took_s = over_tls(listener, 0.3, tmp_path / "ca.pem")
    assert (fault, status) == ("connect", "None")
    assert took_s < 60


@pytest.mark.slow
def test_a_compressed_body_is_not_decompressed():
    bomb = gzip.compress(bytes(50_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with scripted(says(head + bomb)) as server:
        client, exchange = HttpClient(server.url, Timeouts(5, 5, 5)), Exchange()
        client.send(exchange, "GET", "/")
        client.close()
    assert exchange.body == bomb
    assert answer.excerpt(exchange) == "a compressed body (gzip), though none was requested"


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param([{"a": number, "b": f"x{number}", "c": [1.5, None, True]} for number in range(40_000)], marks=pytest.mark.slow),
        pytest.param(list(range(300_000)), marks=pytest.mark.slow),
        {"output": {"text": "Ünïcode 🔥 " * 50_000}},
    ],
    ids=["objects", "numbers", "text"],
)
def test_a_large_body_is_decoded_in_slices(tree):
    turns = []

    def others():
        while True:
            begun = time.thread_time()
            gevent.sleep(0)
            turns.append(time.thread_time() - begun)

    for body in (json.dumps(tree).encode(), json.dumps(tree, ensure_ascii=False).encode(), json.dumps(tree).encode("utf-16")):
        beside = gevent.spawn(others)
        found = answer.parse_json(body)
        beside.kill()
        assert found == tree
    # In CPU time, which does not depend on what else the machine does.
    assert max(turns) < 0.05


@pytest.mark.parametrize("body", [b"[" * 300_000, b'{"a": ' + b" " * 300_000, b"\xff" * 300_000, b'["' + b"x" * 300_000])
def test_a_large_body_that_is_not_json_is_none(body):
    assert answer.parse_json(body) is None
