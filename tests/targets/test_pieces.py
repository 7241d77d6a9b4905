"""Bodies in pieces: what reaches the server, and what is not copied."""

import random

import pytest

from coldburst.pieces import Pieces
from coldburst.targets.body_template import LARGE_BYTES, MOST_PIECES, BodyTemplate
from coldburst.targets.exchange import Exchange, Timeouts
from coldburst.targets.http import HttpClient
from tests.support.scripted import OK, Scripted


@pytest.fixture
def server():
    found = Scripted(lambda sock, _: sock.sendall(OK) or True)
    yield found
    found.close()


def test_a_large_value_is_in_the_body_as_the_same_object():
    clip = b"A" * LARGE_BYTES
    body = BodyTemplate(None, b'{"a": ', (("clip", True, b', "n": '), ("seq", True, b"}"))).body(7, "x", {"clip": clip})
    assert isinstance(body, Pieces)
    assert any(part is clip for part in body.parts)
    assert bytes(body) == b'{"a": "' + clip + b'", "n": 7}' and len(body) == len(bytes(body))


@pytest.mark.parametrize("size", [LARGE_BYTES - 1, 10])
def test_a_small_body_is_one_piece(size):
    body = BodyTemplate(None, b"", (("clip", False, b""),)).body(0, "x", {"clip": b"A" * size})
    assert body == b"A" * size


def test_a_body_of_more_pieces_than_a_system_call_takes_is_joined():
    slots = tuple(("clip", False, b".") for _ in range(MOST_PIECES))
    assert isinstance(BodyTemplate(None, b"", slots).body(0, "x", {"clip": b"A" * LARGE_BYTES}), bytes)


def test_pieces_of_any_size_arrive_in_order(server):
    """Megabytes too: more than the socket takes at once."""
    draw, client = random.Random(3), HttpClient(server.url, Timeouts(5, 30, 30))
    sent = []
    for sizes in ([1, 0, 2], [300_000, 1, 300_000], [draw.randrange(200_000) for _ in range(40)], [5_000_000]):
        sent.append(Pieces(tuple(draw.randbytes(size) for size in sizes)))
        exchange = Exchange()
        client.send(exchange, "POST", "/", sent[-1])
        assert (exchange.status, exchange.fault) == (200, "")
    client.close()
    assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [bytes(one) for one in sent]
    assert server.connections == 1
