"""OpenAI's interface of a queue endpoint, to the unmodified openai client: modelled workers, and a handler on the real SDK."""

import sys

import pytest

from tests.support.emulators import MODELLED, emulator
from tests.support.transcribers import ROOT, until

HANDLER = f"{sys.executable} {ROOT / 'tests/support/handlers/completions.py'}"


def messages(text):
    return [{"role": "user", "content": text}]


def client(base):
    import openai

    return openai.OpenAI(api_key="any", base_url=f"{base}/v2/demo/openai/v1", max_retries=0)


@pytest.fixture(scope="module")
def modelled():
    with emulator(*MODELLED, "--first-token", "0.01", "--tokens-per-s", "200", "--concurrency", "4", "--workers-min", "1") as running:
        yield running


@pytest.fixture(scope="module")
def own():
    words = ("--worker", "command", "--command", HANDLER, "--start", "0", "--workers-min", "1", "--workers-max", "1", "--ready")
    with emulator(*words) as running:
        yield running


@pytest.mark.slow
def test_a_modelled_worker_answers_the_openai_client(modelled):
    with client(modelled.url) as asked:
        assert [model.id for model in asked.models.list()] == ["modelled"]
        whole = asked.chat.completions.create(model="m", messages=messages("two words"), max_tokens=5)
        assert (whole.choices[0].message.content, whole.usage.completion_tokens) == (" A worker that has scaled", 5)
        text = asked.completions.create(model="m", prompt="two words", max_tokens=2)
        assert (text.choices[0].text, text.usage.completion_tokens) == (" A worker", 2)


@pytest.mark.slow
def test_a_modelled_worker_streams_to_the_openai_client(modelled):
    with client(modelled.url) as asked:
        options = {"stream": True, "max_tokens": 5, "model": "m"}
        chunks = list(asked.chat.completions.create(messages=messages("hi"), stream_options={"include_usage": True}, **options))
        texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
        assert texts == [" A", " worker", " that", " has", " scaled"]
        assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [5]
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
        texts = [chunk.choices[0].text for chunk in asked.completions.create(prompt="hi", **options)]
        assert "".join(texts) == " A worker that has scaled"


def test_what_the_worker_refuses_reaches_the_client_as_the_worker_said_it(modelled):
    answer = modelled.ask("/v2/demo/openai/v1/embeddings", {"input": "x"})
    assert (answer.status, answer.json()["object"], answer.json()["message"]) == (200, "error", "Invalid route")
    answer = modelled.ask("/v2/demo/openai/v1/chat/completions", {"stream": True})
    assert (answer.status, answer.json()["message"]) == (200, "the field 'messages' is missing")


def test_each_request_is_a_job_of_the_queue_and_of_the_rate_limits(modelled):
    before = len(modelled.truth("job"))
    modelled.ask("/v2/demo/openai/v1/chat/completions", {"messages": messages("hi"), "max_tokens": 1})
    (row,) = modelled.truth("job")[before:]
    assert (row["state"], row["id"][:5]) == ("COMPLETED", "sync-")
    modelled.fault("demo", status=429, times=1, operation="openai")
    assert modelled.ask("/v2/demo/openai/v1/models").status == 429


@pytest.mark.parametrize(("method", "path", "status"), [("PUT", "/openai/v1/models", 405), ("GET", "/openai", 404)])
def test_other_requests_are_refused(modelled, method, path, status):
    assert modelled.ask(f"/v2/demo{path}", method=method).status == status


@pytest.mark.slow
def test_a_load_balancer_has_no_such_route():
    with emulator(*MODELLED, "--kind", "balancer") as running:
        answer = running.ask("/v2/demo/openai/v1/models")
        assert (answer.status, answer.json()["error"]) == (400, "not allowed for LB API")


@pytest.mark.slow
def test_a_generator_handler_on_the_real_sdk_answers_the_openai_client(own):
    import openai

    with client(own.url) as asked:
        assert [model.id for model in asked.models.list()] == ["own"]
        whole = asked.chat.completions.create(model="own", messages=messages("one two three"))
        assert (whole.choices[0].message.content, whole.usage.completion_tokens) == ("one two three", 3)
        chunks = list(asked.chat.completions.create(model="own", messages=messages("one two three"), stream=True))
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["one", "two", "three", None]
        with pytest.raises(openai.InternalServerError) as failed:
            asked.chat.completions.create(model="own", messages=messages("raise"))
        assert "CUDA out of memory" in failed.value.response.text
        # The stream ends where the worker failed: no finish reason, no [DONE].
        chunks = list(asked.chat.completions.create(model="own", messages=messages("one raise"), stream=True))
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["one"]
    answer = own.ask("/v2/demo/openai/v1/chat/completions", {"messages": messages("refuse")})
    assert (answer.status, answer.json()["message"]) == (200, "no such template")


@pytest.mark.slow
def test_a_client_that_leaves_does_not_end_its_job(own):
    body = {"messages": messages(" ".join(["word"] * 50)), "stream": True}
    with client(own.url) as asked:
        stream = asked.chat.completions.create(model="own", **body)
        next(iter(stream))
        stream.close()
    until(lambda: own.ask("/v2/demo/health").json()["jobs"]["inProgress"] == 0, "end of the job")
    assert own.truth("job")[-1]["state"] == "COMPLETED"
