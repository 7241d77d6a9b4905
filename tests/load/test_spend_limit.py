"""--max-spend is refused before anything is sent where the workers cannot be counted or priced."""

import pytest

from coldburst.load.spend_limit import check, look
from coldburst.option import OptionError
from tests.support.run_views import plan_of
from tests.support.scripted import reply, scripted

SETTINGS = {"type": "QUEUE", "workers": {"min": 0, "max": 3, "idleTimeout": 5}, "scaling": {"type": "QUEUE_DELAY", "queueDelay": 4}}
LISTED = {"workers": [{"id": "w1", "status": "RUNNING", "gpuCount": 2, "gpuTypeId": "GPU X", "startedAt": "2026-11-30T00:00:00Z"}]}
CATALOGUE = {"gpus": [{"id": "GPU X", "name": "X", "price": {"serverless": 1.8}}]}
ANSWERS = {"health": {"jobs": {}, "workers": {}}, "demo": SETTINGS, "workers": LISTED, "gpus": CATALOGUE}


def limit(given=None, **options):
    """The limit of a run against a scripted endpoint."""
    answers = {name: reply(200, body) for name, body in ANSWERS.items()} | dict(given or {})

    def answer(sock, request):
        sock.sendall(answers[request.split(b" ", 2)[1].decode().rpartition("/")[2]])
        return True

    with scripted(answer) as server:
        plan = plan_of(schedule="burst 3", **{"host": f"{server.url}/v2/demo", "max_spend": 2.0} | options)
        return check(plan, look(plan, ""))


def test_without_the_option_nothing_is_asked():
    plan = plan_of(schedule="burst 3", no_preflight="yes")
    assert look(plan, "") is None and check(plan, None) is None


def test_the_price_of_each_worker_is_the_catalogues():
    found = limit()
    assert found.usd == 2.0
    assert found.usd_per_s("GPU X", 2) == pytest.approx(2 * 1.8 / 3600)
    # A GPU that the catalogue does not have costs what the workers at the start did.
    assert found.usd_per_s("another", 1) == pytest.approx(2 * 1.8 / 3600)


def test_a_price_in_usd_holds_for_every_worker():
    found = limit(price="0.001")
    assert found.usd_per_s("GPU X", 2) == 0.001


def test_a_gpu_is_the_price_while_no_worker_is_there():
    found = limit({"workers": reply(200, {"workers": []})}, price="4090")
    assert found.usd_per_s("another", 1) == found.price.usd_per_s == pytest.approx(0.00031)


REFUSED = {
    "no price": ({"workers": reply(200, {"workers": []})}, {}, "add --price, as in --price 4090"),
    "no settings": ({"demo": reply(403, {"error": "no"})}, {"price": "4090"}, "the endpoint's settings, which could not be read (403"),
    "no worker list": ({"workers": reply(500, {"error": "no"})}, {"price": "4090"}, "the endpoint's workers, which could not be read (500"),
    "a service": ({}, {"host": "http://127.0.0.1:9"}, "RunPod's worker list, which 'http://127.0.0.1:9' does not have"),
    "the embedded service": ({}, {"host": "", "target": "transcription"}, "costs nothing"),
    "no polls": ({}, {"sample": 0.0}, "leave out --sample 0"),
    "below 0": ({}, {"max_spend": -1.0}, "must be an amount in USD above 0, as in --max-spend 2.00"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_limited_is_one_sentence(name):
    answers, options, sentence = REFUSED[name]
    with pytest.raises(OptionError) as refused:
        limit(answers, **options)
    assert sentence in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.slow
def test_the_embedded_emulator_needs_a_price():
    assert limit(host="", price="4090").catalogue == {}
    with pytest.raises(OptionError, match="needs the price of a worker"):
        limit(host="")
