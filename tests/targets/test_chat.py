"""Chat completions: every kind of answer, whole and streamed, from a real server over a real socket."""

import itertools
import json

import pytest

from coldburst.targets.chat import ChatOptions, ChatTarget, chat_payload
from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from tests.support.chat_server import chat_server, chunks_written

KEY = "sk-0123456789abcdef"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("chat") / "chunks.jsonl"
    with chat_server(log) as url:
        yield url, log


def ask(url, model, path="/v1/chat/completions", limit_s=10.0, key="", tree=None):
    target = ChatTarget(url, Payload(tree, ()), ChatOptions(path, model, "OPENAI_API_KEY"), Timeouts(2, limit_s, limit_s), key)
    exchange = Exchange()
    evidence = target.send(0, f"test-{model}", exchange)
    target.close()
    return exchange, evidence, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


@pytest.mark.parametrize(
    ("model", "outcome", "error"),
    [
        ("whole", "ok", ""),
        ("empty", "wrong", "the answer has no text"),
        ("soft", "failed", "an error inside a 200: CUDA out of memory"),
        ("missing", "refused", "404: The model `missing` does not exist. (does the service have the model named by --model?)"),
        ("busy", "busy", "503: the queue is full"),
        ("stream:5:0.01", "ok", ""),
        ("stream:5:0.01:nodone", "ok", ""),
        ("stream:5:0.01:split", "ok", ""),
        ("stream:5:0.01:comments", "ok", ""),
        ("stream:5:0.01:cut=3", "failed", "the stream ended after 3 chunks, without a finish reason: "),
        ("stream:5:0.01:cut=0", "failed", "the stream ended after 0 chunks"),
        ("stream:5:0.01:error=2", "failed", "engine died after 2 chunks"),
        ("stream:0:0", "wrong", "the stream has no text"),
    ],
)
def test_an_answer_gets_its_outcome(server, model, outcome, error):
    exchange, evidence, found = ask(server[0], model)
    assert (found, evidence.measured.get("error", "")[: len(error)]) == (outcome, error)
    assert evidence.measured["bytes_out"] > 100
    assert exchange.fault == ""


@pytest.mark.parametrize(("how", "source", "tokens"), [("", "usage", 7), (":nousage", "chunks", 7)])
def test_tokens_and_times_of_a_stream_are_those_of_the_servers_log(server, how, source, tokens):
    url, log = server
    model = f"stream:7:0.02{how}"
    exchange, evidence, _ = ask(url, model)
    known, written = evidence.measured, chunks_written(log)[f"test-{model}"]
    assert (known["tokens_out"], known["tokens_from"]) == (tokens, source)
    assert known.get("tokens_in") == (11 if source == "usage" else None)
    gaps = sorted(later - before for before, later in itertools.pairwise(written))
    # A chunk cannot arrive before it is written, and the last one arrives before the answer is done.
    assert exchange.sent + known["ttft_s"] >= written[0]
    assert known["itl_max_s"] >= gaps[0]
    assert known["itl_p50_s"] <= known["itl_max_s"] <= exchange.done - exchange.sent - known["ttft_s"]
    assert known["worker_id"] == "w1"


@pytest.mark.slow
def test_a_deadline_in_a_stream_keeps_what_arrived(server):
    exchange, evidence, outcome = ask(server[0], "stream:1000:0.01", limit_s=0.5)
    assert (outcome, exchange.fault) == ("abandoned", "deadline")
    assert "chunks so far" in evidence.measured["error"]
    assert evidence.measured["tokens_out"] >= 1
    assert evidence.measured["tokens_from"] == "chunks"


@pytest.mark.parametrize("base", ["", "/v1", "/v1/chat/completions"])
def test_a_base_url_of_an_openai_client_works(server, base):
    assert ask(server[0] + base, "whole")[2] == "ok"


def test_a_key_that_the_service_repeats_is_masked(server):
    _, evidence, outcome = ask(server[0], "loud", key=KEY)
    assert outcome == "failed"
    assert KEY not in json.dumps(dict(evidence.measured))


@pytest.mark.slow
def test_a_template_keeps_its_own_model():
    assert chat_payload(Payload({"model": "own", "messages": []}, ()), "other").tree == {"model": "own", "messages": []}
    assert chat_payload(Payload({"prompt": "x"}, ()), "m").tree == {"model": "m", "prompt": "x"}
    assert chat_payload(Payload(None, ()), "").tree["stream"] is True
    assert "model" not in chat_payload(Payload(None, ()), "").tree
