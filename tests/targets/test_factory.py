"""A host names its endpoint: which kind it is, and where else it can be asked."""

import pytest

from coldburst.targets.address import EndpointAddress, chat_route, infer, without_overlap

API, REST = "https://api.runpod.ai/v2/ab12", "https://api.runpod.io/v2"


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("https://api.runpod.ai/v2/ab12", ("queue", "https://api.runpod.ai/v2/ab12", "ab12", API, REST)),
        ("https://api.runpod.ai/v2/ab12/", ("queue", "https://api.runpod.ai/v2/ab12", "ab12", API, REST)),
        ("https://dev-api.runpod.ai/v2/x", ("queue", "https://dev-api.runpod.ai/v2/x", "x", "https://dev-api.runpod.ai/v2/x", "")),
        ("http://[::1]:8000/v2/x", ("queue", "http://[::1]:8000/v2/x", "x", "http://[::1]:8000/v2/x", "http://[::1]:8000/v2")),
        ("https://ab12.api.runpod.ai", ("balancer", "https://ab12.api.runpod.ai", "ab12", API, REST)),
        ("https://ab12.api.runpod.ai/below", ("balancer", "https://ab12.api.runpod.ai/below", "ab12", API, REST)),
        ("http://host:80/lb/x", ("balancer", "http://host:80/lb/x", "x", "http://host:80/v2/x", "http://host:80/v2")),
        ("https://api.runpod.ai/v2/ab12/openai", ("chat", "https://api.runpod.ai/v2/ab12/openai", "ab12", API, REST)),
        ("https://api.runpod.ai/v2/ab12/openai/v1", ("chat", "https://api.runpod.ai/v2/ab12/openai/v1", "ab12", API, REST)),
        ("http://h/v1/chat/completions/", ("chat", "http://h/v1/chat/completions")),
        ("http://h/v1/audio/speech", ("speech", "http://h/v1/audio/speech")),
        ("https://ab12.api.runpod.ai/v1/audio/speech", ("speech", "https://ab12.api.runpod.ai/v1/audio/speech", "ab12", API, REST)),
        ("https://h/openai/v1/completions", ("chat", "https://h/openai/v1/completions")),
        ("https://ab12.api.runpod.ai/v1/completions", ("chat", "https://ab12.api.runpod.ai/v1/completions", "ab12", API, REST)),
        ("http://127.0.0.1:8083", ("transcription", "http://127.0.0.1:8083")),
        ("https://example.com/v1", ("transcription", "https://example.com/v1")),
        ("https://ab12.api.runpod.ai.example.com", ("transcription", "https://ab12.api.runpod.ai.example.com")),
        ("", ("transcription", "")),
    ],
)
def test_the_kind_is_in_the_address(host, where):
    assert infer(host) == EndpointAddress(*where)


def test_what_is_told_has_the_last_word():
    assert infer("http://127.0.0.1:8000", "balancer") == EndpointAddress("balancer", "http://127.0.0.1:8000")
    assert infer("", "queue") == EndpointAddress("queue", "")
    told = infer("https://ab12.api.runpod.ai", "transcription")
    assert (told.kind, told.api) == ("transcription", "https://api.runpod.ai/v2/ab12")


@pytest.mark.parametrize(
    ("host", "told", "words"),
    [
        (
            "https://api.runpod.ai/v2/ab12/run",
            "auto",
            "ends in '/run': give only the endpoint's address, as in https://api.runpod.ai/v2/ab12",
        ),
        ("http://127.0.0.1:8000/v2/demo/runsync", "queue", "ends in '/runsync'"),
        ("https://api.runpod.ai/v2/ab12/status/job-1", "auto", "ends in '/status/job-1'"),
        ("https://api.runpod.ai", "auto", "has no endpoint id"),
        ("http://127.0.0.1:8000", "queue", "has no endpoint id"),
        (
            "https://ab12.api.runpod.ai",
            "queue",
            "is the address of a load-balancing endpoint: its queue would be https://api.runpod.ai/v2/ab12",
        ),
        (
            "http://127.0.0.1:8000/v2/demo/extra",
            "queue",
            "ends in '/extra': give only the endpoint's address, as in http://127.0.0.1:8000/v2/demo",
        ),
        ("https://api.runpod.ai/v2/ab12/openai/v1", "queue", "ends in '/openai/v1'"),
        ("https://api.runpod.ai/v2/ab12", "balancer", "https://ENDPOINT_ID.api.runpod.ai"),
        ("http://127.0.0.1:8000/v2/demo", "balancer", "http://HOST:PORT/lb/ENDPOINT_ID"),
        ("http://api.runpod.ai/v2/ab12", "auto", "unencrypted"),
        ("http://h/v1/audio/speech", "transcription", "leave out --target, or use --target speech"),
        ("http://h/v1/chat/completions/", "transcription", "is a route for chat, not for audio to transcribe"),
        ("https://h/v1/embeddings", "auto", "is not a route for audio"),
        ("https://ab12.api.runpod.ai/v1/embeddings", "auto", "--host https://ab12.api.runpod.ai --path /v1/embeddings"),
        ("http://127.0.0.1:8000", "pod", "'pod' is not a type of endpoint"),
    ],
)
def test_a_contradiction_is_told_in_one_sentence(host, told, words):
    with pytest.raises(ValueError, match=r"--host|type") as caught:
        infer(host, told)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


ROUTE = "/v1/audio/transcriptions"


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("http://h:80/v1", ROUTE, "http://h:80"),
        ("http://h:80/v1/", ROUTE, "http://h:80"),
        ("https://h/openai/v1", ROUTE, "https://h/openai"),
        ("https://h/v1/audio", ROUTE, "https://h"),
        ("https://h/v1/audio/transcriptions", ROUTE, "https://h"),
        ("https://h/v1/audio/transcriptions/", ROUTE + "?a=v1", "https://h"),
        ("https://h/v1", "/v1?a=b", "https://h"),
        ("https://api.runpod.ai/v2/ab12/openai/v1", ROUTE, "https://api.runpod.ai/v2/ab12/openai"),
        ("https://h", ROUTE, "https://h"),
        ("https://h/", "/", "https://h"),
        ("https://h/base", "/", "https://h/base"),
        ("https://h/av1", ROUTE, "https://h/av1"),
        ("https://h/v1/other", ROUTE, "https://h/v1/other"),
        ("https://h/v1", "/v10/generate", "https://h/v1"),
        ("http://h/lb/generate", "/generate", "http://h/lb/generate"),
        ("http://h/lb/generate/generate", "/generate", "http://h/lb/generate"),
        ("http://h/v2/v1", ROUTE, "http://h/v2/v1"),
    ],
)
def test_what_a_hosts_path_and_the_route_have_in_common_is_taken_once(host, path, expected):
    assert without_overlap(host, path) == expected


def test_the_route_of_a_chat_is_that_of_its_host():
    assert chat_route("http://h/v1/completions") == "/v1/completions"
    assert chat_route("http://h/v1/chat/completions/") == chat_route("http://h:8000") == "/v1/chat/completions"


def test_a_route_for_json_is_a_host_of_a_load_balancer_that_is_told():
    assert infer("http://h/v1/chat/completions", "balancer").kind == "balancer"
