"""A host names its endpoint: which kind it is, and where else it can be asked."""

import pytest

from coldburst.targets.address import EndpointAddress, infer

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
        ("https://api.runpod.ai/v2/ab12/openai", ("transcription", "https://api.runpod.ai/v2/ab12/openai", "ab12", API, REST)),
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
        ("https://api.runpod.ai/v2/ab12/run", "auto", "ends in '/run': name the endpoint alone, as in https://api.runpod.ai/v2/ab12"),
        ("http://127.0.0.1:8000/v2/demo/runsync", "queue", "ends in '/runsync'"),
        ("https://api.runpod.ai/v2/ab12/status/job-1", "auto", "ends in '/status/job-1'"),
        ("https://api.runpod.ai", "auto", "holds no endpoint id"),
        ("http://127.0.0.1:8000", "queue", "holds no endpoint id"),
        ("https://ab12.api.runpod.ai", "queue", "is a load-balancing endpoint's address: its queue would be https://api.runpod.ai/v2/ab12"),
        ("http://127.0.0.1:8000/v2/demo/extra", "queue", "ends in '/extra': name the endpoint alone, as in http://127.0.0.1:8000/v2/demo"),
        ("https://api.runpod.ai/v2/ab12/openai/v1", "queue", "ends in '/openai/v1'"),
        ("https://api.runpod.ai/v2/ab12", "balancer", "https://ENDPOINT_ID.api.runpod.ai"),
        ("http://127.0.0.1:8000/v2/demo", "balancer", "http://HOST:PORT/lb/ENDPOINT_ID"),
        ("http://api.runpod.ai/v2/ab12", "auto", "unencrypted"),
        ("http://127.0.0.1:8000", "pod", "'pod' is no kind of endpoint"),
    ],
)
def test_a_contradiction_is_told_in_one_sentence(host, told, words):
    with pytest.raises(ValueError, match=r"--host|kind") as caught:
        infer(host, told)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
