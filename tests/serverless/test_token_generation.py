"""Tokens of a modelled worker, in virtual time: when each chunk is due, and what it holds."""

import itertools
import json

import pytest

from coldburst.randomness import stream
from coldburst.serverless.job import Job
from coldburst.serverless.simulation.modelled_worker import Finished, ModelledWorker, Yielded
from coldburst.serverless.simulation.token_generation import MOST_TOKENS, TOKENS, TokenRate, generation

RATE = TokenRate(first_s=0.5, per_s=10.0)
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**body):
    return {"openai_route": "/v1/chat/completions", "openai_input": {"messages": MESSAGES, **body}}


def events(job_input, until_s=100.0, **settings):
    """(seconds since the job's start, event) of all chunks and the end of one job that is picked up at once."""
    rng = stream(1, "service")
    made = ModelledWorker("w", service=lambda job, rng: 7.0, rng=rng, load_s=0.0, tokens=RATE, **settings)
    made.launch(0.0)
    made.act(0.0)
    made.deliver([Job("j", False, {"input": job_input}, "IN_PROGRESS", 0.0, 0.0, 0.0)], 0.1)
    found = []
    while (wake_s := made.wake_s()) is not None and wake_s <= until_s:
        found += [(wake_s, event) for event in made.act(wake_s) if isinstance(event, Yielded | Finished)]
        if found and isinstance(found[-1][1], Finished):
            break
    # The worker's next look at its queue.
    start_s = 0.2
    return [(round(at_s - start_s, 6), event) for at_s, event in found]


@pytest.mark.slow
def test_the_last_chunk_comes_before_the_end_whenever_the_job_begins():
    """Sums of floating-point numbers differ in their last digit: the end must not come first by that."""
    rng = stream(1, "beginnings")
    for _ in range(1000):
        made = ModelledWorker("w", service=lambda job, rng: 7.0, rng=rng, load_s=0.0, tokens=TokenRate(0.01, 200.0), concurrency=4)
        made.launch(rng.uniform(0, 30))
        found = []
        while not (found and isinstance(found[-1], Finished)):
            wake_s = made.wake_s()
            found += [event for event in made.act(wake_s) if isinstance(event, Yielded | Finished)]
            if not found and made.occupancy == 0:
                made.deliver([Job("j", False, {"input": chat(stream=True, max_tokens=5)}, "IN_PROGRESS", 0.0, 0.0, 0.0)], wake_s)
        assert len(found) == 6


def test_each_token_of_a_stream_is_a_chunk_at_its_instant():
    found = events(chat(stream=True, max_tokens=4))
    assert [at_s for at_s, event in found if isinstance(event, Yielded)] == [0.5, 0.6, 0.7, 0.8]
    assert [(at_s, len(event.body["output"])) for at_s, event in found if isinstance(event, Finished)] == [(0.8, 4)]
    text = "".join(event.chunk for _, event in found if isinstance(event, Yielded))
    assert text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["", " A", " worker", " that", " has", ""]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["length"]


def test_an_answer_in_one_piece_takes_as_long_as_its_stream():
    ((at_s, chunk), (end_s, end)) = events(chat(max_tokens=4))
    assert (at_s, end_s) == (0.8, 0.8)
    assert chunk.chunk["choices"][0]["message"]["content"] == " A worker that has"
    assert chunk.chunk["usage"]["completion_tokens"] == 4
    assert end.body == {"output": [chunk.chunk]}


def test_a_first_job_that_takes_longer_delays_its_first_token():
    found = events(chat(stream=True, max_tokens=2), first_extra_s=1.0)
    assert [at_s for at_s, _ in found] == [1.5, 1.6, 1.6]


def test_the_workers_own_input_streams_tokens_with_their_number():
    found = events({"prompt": "one two three", "stream": True, "sampling_params": {"max_tokens": 2}})
    chunks = [event.chunk for _, event in found if isinstance(event, Yielded)]
    assert chunks == [
        {"choices": [{"tokens": [" A"]}], "usage": {"input": 3, "output": 1}},
        {"choices": [{"tokens": [" worker"]}], "usage": {"input": 3, "output": 2}},
    ]


def test_a_stopped_job_yields_nothing_more():
    made = ModelledWorker("w", service=lambda job, rng: 7.0, rng=stream(1, "service"), load_s=0.0, tokens=RATE)
    made.launch(0.0)
    made.act(0.0)
    made.deliver([Job("j", False, {"input": chat(stream=True, max_tokens=50)}, "IN_PROGRESS", 0.0, 0.0, 0.0)], 0.1)
    for _ in itertools.takewhile(lambda _: made.wake_s() <= 1.0, itertools.count()):
        made.act(made.wake_s())
    made.stop_job("j", 1.0)
    left = []
    while (wake_s := made.wake_s()) is not None and wake_s <= 60.0:
        left += made.act(wake_s)
    assert left and not [event for event in left if isinstance(event, Yielded | Finished)]


@pytest.mark.parametrize("job_input", [None, [], {"prompt": "x"}, {"echo": 1}, {"stream": True}, {"prompt": "x", "stream": "yes"}])
def test_other_jobs_ask_for_no_tokens(job_input):
    assert generation(job_input, RATE) is None


@pytest.mark.parametrize(
    ("body", "tokens"), [({}, TOKENS), ({"max_tokens": 3}, 3), ({"max_tokens": 0}, TOKENS), ({"max_completion_tokens": 10**9}, MOST_TOKENS)]
)
def test_the_number_of_tokens_is_the_one_asked_for(body, tokens):
    assert generation(chat(**body), RATE).tokens == tokens


@pytest.mark.parametrize(
    ("job_input", "message"),
    [
        ({"openai_route": "/v1/embeddings", "openai_input": {}}, "Invalid route"),
        ({"openai_route": "/v1/completions", "openai_input": {"messages": MESSAGES}}, "the field 'prompt' is missing"),
        ({"openai_route": "/v1/chat/completions", "openai_input": "x"}, "the field 'messages' is missing"),
    ],
)
def test_what_cannot_be_answered_is_an_error_at_once(job_input, message):
    answer = generation(job_input, RATE)
    assert (answer.took_s, answer.output()[0]["object"], answer.output()[0]["message"]) == (0.0, "error", message)
