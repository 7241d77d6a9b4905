"""Streams of chat as servers really write them, byte for byte on a socket: each gets its outcome, its chunks and its tokens."""

import json

import pytest

from coldburst.targets.chat import ChatOptions, ChatTarget
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from tests.support.scripted import scripted

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED, CLOSE = HEAD + b"Transfer-Encoding: chunked\r\n\r\n", HEAD + b"Connection: close\r\n\r\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}


def chunk(text="", finish=None, **more):
    return json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]} | more, ensure_ascii=False)


A, B, STOP = chunk("é1"), chunk("ü2"), chunk("", "stop")
DONE = "data: [DONE]\n\n"


def events(*contents, end="\n", prefix="data: "):
    return "".join(f"{prefix}{content}{end}{end}" for content in contents)


BODIES = {
    "usual": (events(A, B, STOP) + DONE, "ok", 2, ""),
    "no [DONE]": (events(A, B, STOP), "ok", 2, ""),
    "no finish reason": (events(A, B) + DONE, "ok", 2, ""),
    "no empty line at the end": (events(A, B, STOP) + "data: [DONE]", "ok", 2, ""),
    "CRLF": (events(A, B, STOP, end="\r\n"), "ok", 2, ""),
    "CR": (events(A, B, STOP, end="\r"), "ok", 2, ""),
    "no space": (events(A, B, STOP, prefix="data:"), "ok", 2, ""),
    "comments and keep-alives": (": hi\n\n" + events(A) + ":\n:\n\n\n\n" + events(B) + ": PROCESSING\n\n" + events(STOP), "ok", 2, ""),
    "other fields": ("retry: 9\nid: 1\nevent: chunk\n" + events(A, B, STOP), "ok", 2, ""),
    "several data lines": ("data: " + json.dumps(json.loads(A), indent=1).replace("\n", "\ndata: ") + "\n\n" + events(STOP), "ok", 1, ""),
    "byte order mark": ("\ufeff" + events(A, STOP), "ok", 1, ""),
    "null choices": (events(A, '{"choices": null}', STOP), "ok", 1, ""),
    "role alone": (events('{"choices": [{"delta": {"role": "assistant"}}]}', A, STOP), "ok", 1, ""),
    "reasoning": (events('{"choices": [{"delta": {"reasoning_content": "hm"}}]}', A, STOP), "ok", 2, ""),
    "tool call": (events('{"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}', STOP), "ok", 1, ""),
    "no text": (events(STOP) + DONE, "wrong", 0, "the stream has no text"),
    "nothing": ("", "failed", 0, "the stream ended after 0 chunks, without a finish reason"),
    "ended early": (events(A, B), "failed", 2, "the stream ended after 2 chunks, without a finish reason"),
    "cut in an event": (events(A) + f"data: {B[:20]}", "failed", 1, "a chunk that is not a JSON object"),
    "error": (events(A, '{"error": {"message": "engine died", "code": 500}}'), "failed", 1, "engine died after 1 chunks"),
    "error as an event of its own": (events(A) + 'event: error\ndata: {"message": "no", "object": "error"}\n\n', "failed", 1, "no after 1"),
    "page": ("<html>proxy</html>\n\n", "failed", 0, "the stream ended after 0 chunks"),
    "not JSON": (events(A, "{oops}", STOP), "failed", 1, "a chunk that is not a JSON object: {oops} after 1 chunks"),
}  # fmt: skip


def ask(url):
    target = ChatTarget(url, Payload(None, ()), ChatOptions(), Timeouts(2, 10, 10))
    exchange = Exchange()
    evidence = target.send(0, "t", exchange)
    target.close()
    return evidence.measured, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


def sending(pieces, chunked):
    """An answer whose body is these pieces, each sent on its own."""

    def answer(sock, _request):
        sock.sendall(CHUNKED if chunked else CLOSE)
        for piece in pieces:
            sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        sock.sendall(b"0\r\n\r\n" if chunked else b"")
        return chunked

    return answer


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "closed"])
@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize("name", BODIES)
def test_a_stream_however_it_is_cut_into_pieces(name, size, chunked):
    text, outcome, chunks, error = BODIES[name]
    body = text.encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    with scripted(sending(pieces, chunked)) as server:
        known, found = ask(server.url)
    assert (found, known.get("error", "")[: len(error)]) == (outcome, error)
    assert known.get("tokens_out", 0) == chunks
    assert ("ttft_s" in known, "itl_max_s" in known) == (chunks > 0, chunks > 1)


def test_usage_counts_before_chunks():
    body = events(A, B, STOP, json.dumps({"choices": [], "usage": USAGE})).encode()
    with scripted(sending([body], chunked=True)) as server:
        known, outcome = ask(server.url)
    assert (outcome, known["tokens_in"], known["tokens_out"], known["tokens_from"]) == ("ok", 3, 8, "usage")


def test_a_connection_that_breaks_says_how_far_the_stream_came():
    def answer(sock, _request):
        body = events(A, B).encode()
        sock.sendall(CHUNKED + b"%x\r\n%s\r\n" % (len(body), body))
        return False

    with scripted(answer) as server:
        known, outcome = ask(server.url)
    said = "the stream ended after 2 chunks, without a finish reason: the connection closed before the answer was complete"
    assert (outcome, known["error"], known["tokens_out"]) == ("failed", said, 2)
