"""Jobs whose output is read from /stream: chunks, tokens and times, against what the platform said."""

import json

import pytest

from coldburst.targets.http import Exchange, Timeouts
from coldburst.targets.job_stream import JobStream, asks_for_tokens
from coldburst.targets.outcome import decide
from coldburst.targets.payload import Payload
from coldburst.targets.queue import QueueTarget
from coldburst.targets.queue_options import QueueOptions
from tests.support.platform import DONE, platform

LIMITS = Timeouts(2, 10, 10)
ASKS = {"openai_route": "/v1/chat/completions", "openai_input": {"messages": [], "stream": True}}


def event(text="", finish=None, **more):
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}, 'finish_reason': finish}]} | more)}\n\n"


def said(status, *chunks):
    return {"status": status, "stream": [{"output": chunk} for chunk in chunks]}


def run(server, job_input=ASKS, poll="auto"):
    target = QueueTarget(server.url, Payload({"input": job_input}, ()), QueueOptions(poll=poll, poll_s=0.05), LIMITS)
    exchange = Exchange()
    evidence = target.send(0, "t", exchange)
    target.close()
    return exchange, evidence.measured, decide(fault=exchange.fault, status=exchange.status, says=evidence.says)


@pytest.mark.slow
def test_chunks_are_read_while_the_job_runs_and_its_times_come_from_status():
    polls = [
        said("IN_QUEUE"),
        said("IN_PROGRESS", event()),
        said("IN_PROGRESS", event("a") + event("b")),
        said("IN_PROGRESS"),
        said("COMPLETED", event("c", usage={"prompt_tokens": 9, "completion_tokens": 4}), "data: [DONE]\n\n"),
    ]
    with platform(DONE | {"output": []}, stream=polls) as server:
        exchange, known, outcome = run(server)
        assert [asked.path.split("/")[3] for asked in server.asked] == ["run", *["stream"] * 5, "status"]
    assert (outcome, known["polls"], known["execution_s"]) == ("ok", 6, 0.06)
    assert (known["tokens_in"], known["tokens_out"], known["tokens_from"]) == (9, 4, "usage")
    # Text came in the third and in the fifth poll, so there is one time between chunks.
    assert 0 < known["ttft_s"] < exchange.seen - exchange.sent
    assert known["itl_p50_s"] == known["itl_p95_s"] == known["itl_max_s"]
    assert known["ttft_s"] + known["itl_max_s"] == pytest.approx(exchange.seen - exchange.sent, abs=0.001)


@pytest.mark.parametrize(
    ("chunks", "outcome", "tokens", "error"),
    [
        ([event("a"), event("b", "stop")], "ok", {"tokens_out": 2, "tokens_from": "chunks"}, ""),
        ([event("é")[:40], event("é")[40:], "data: [DONE]\n\n"], "ok", {"tokens_out": 1, "tokens_from": "chunks"}, ""),
        ([[json.loads(event("a")[6:]), json.loads(event("b")[6:])]], "ok", {"tokens_out": 2, "tokens_from": "chunks"}, ""),
        (
            [{"choices": [{"tokens": ["a"]}], "usage": {"input": 3, "output": 1}}, {"usage": {"input": 3, "output": 2}}],
            "ok",
            {"tokens_in": 3, "tokens_out": 2, "tokens_from": "usage"},
            "",
        ),
        ([{"number": 1}, {"number": 2}], "ok", {}, ""),
        ([event()], "wrong", {}, "the stream has no text"),
        ([event("a"), 'data: {"error": {"message": "engine died"}}\n\n'], "failed", {}, "engine died after 1 chunks"),
        ([{"object": "error", "message": "no such template"}], "failed", {}, "an error inside COMPLETED: no such template"),
        ([], "wrong", {}, "COMPLETED with an empty output"),
    ],
)
def test_each_kind_of_chunk(chunks, outcome, tokens, error):
    with platform(DONE | {"output": []}, stream=[said("COMPLETED", *chunks)]) as server:
        _, known, found = run(server)
    assert (found, known.get("error", "")[: len(error)]) == (outcome, error)
    if outcome == "ok":
        assert {name: value for name, value in known.items() if name.startswith("tokens")} == tokens


@pytest.mark.parametrize(
    ("job_input", "poll", "first"),
    [
        (ASKS, "auto", "stream"),
        ({"prompt": "x", "stream": True}, "auto", "stream"),
        ({"prompt": "x"}, "auto", "status-sync"),
        ({"prompt": "x"}, "stream", "stream"),
        (ASKS, "status", "status"),
    ],
)
def test_the_input_or_the_option_asks_for_the_stream(job_input, poll, first):
    with platform(DONE, long=[DONE], stream=[said("COMPLETED", {"number": 1})]) as server:
        assert run(server, job_input, poll)[2] == "ok"
        assert server.asked[1].path.split("/")[3] == first


def test_a_platform_without_the_route_is_polled_as_usual():
    with platform({"status": "IN_PROGRESS"}, DONE) as server:
        _, known, outcome = run(server)
        assert [asked.path.split("/")[3] for asked in server.asked] == ["run", "stream", "status-sync", "status", "status"]
    assert (outcome, "ttft_s" in known) == ("ok", False)


def test_a_failed_job_keeps_the_times_of_its_chunks():
    failed = {"status": "FAILED", "error": "CUDA out of memory"}
    with platform(failed, stream=[said("IN_PROGRESS", event("a")), said("FAILED")]) as server:
        _, known, outcome = run(server)
    assert (outcome, known["error"], known["tokens_out"]) == ("failed", "CUDA out of memory", 1)
    assert known["ttft_s"] > 0


def test_a_whole_output_has_its_tokens_without_being_streamed():
    output = [{"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}]
    with platform(DONE | {"output": output}) as server:
        _, known, outcome = run(server, {"openai_route": "/v1/chat/completions", "openai_input": {"messages": []}})
    assert (outcome, known["tokens_in"], known["tokens_out"], "ttft_s" in known) == ("ok", 5, 7, False)
    assert JobStream.of({"images": ["x"]}).columns() == {}


def test_what_asks_for_tokens():
    assert asks_for_tokens({"input": ASKS}) == (True, True)
    assert asks_for_tokens({"prompt": "x"}) == (True, False)
    assert asks_for_tokens({"count": 3, "stream": True}) == (False, True)
    assert asks_for_tokens(None) == asks_for_tokens([1]) == asks_for_tokens({"input": "x"}) == (False, False)
