"""Server-sent events come out whole, however their bytes were cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.targets.event_stream import MAX_EVENT_BYTES, EventStream


def events(*pieces):
    stream = EventStream()
    return [event for piece in pieces for event in stream.feed(piece)] + list(stream.end())


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b": ping\n\n: ping\n\ndata: a\n\n", [b"a"]),
        (b"event: x\nid: 7\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"data\n\n", [b""]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: [DONE]", [b"[DONE]"]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_the_events_of_a_body(text, data):
    assert events(text) == data
    assert events(*(bytes([byte]) for byte in text)) == data


@given(st.lists(st.text("ab é€", min_size=1), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 200)))
def test_cuts_anywhere_change_nothing(texts, end, cuts):
    body = "".join(f": keep-alive{end}data: {text}{end}{end}" for text in texts).encode()
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    assert events(*(body[start:stop] for start, stop in itertools.pairwise(edges))) == [text.encode() for text in texts]


def test_an_endless_line_is_dropped_and_noticed():
    stream = EventStream()
    piece = b"data: " + b"x" * 2**20
    for _ in range(MAX_EVENT_BYTES // len(piece) + 2):
        assert list(stream.feed(piece)) == []
    assert stream.overflow
    assert list(stream.feed(b"\n\ndata: a\n\n"))[-1] == b"a"
