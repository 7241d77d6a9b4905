"""GPU memory and utilisation from NVML, against a FAKE ``pynvml`` (fake_nvml/): no machine of this project has a card."""

import sys
from pathlib import Path

import pytest

from coldburst.video.api.resources import ResourceMeter
from tests.support.transcribers import ask
from tests.support.videos import FIXED, video_service

FAKE = str(Path(__file__).parent / "fake_nvml")
OF_THE_CARD = {"gpu_memory_bytes": 5_000_000_000, "gpu_utilisation": 0.37}


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.syspath_prepend(FAKE)
    yield monkeypatch
    sys.modules.pop("pynvml", None)


def test_a_card_is_measured(fake):
    meter = ResourceMeter()
    found = meter.measure()
    assert meter.gpu == "Fake RTX 4090"
    assert found | OF_THE_CARD == found and found["rss_bytes"] > 0


@pytest.mark.parametrize(("state", "name"), [("no-driver", ""), ("card-lost", "Fake RTX 4090")])
def test_without_a_driver_or_with_a_lost_card_the_rest_is_measured(fake, state, name):
    fake.setenv("FAKE_NVML", state)
    meter = ResourceMeter()
    assert meter.gpu == name
    assert meter.measure().keys() == {"cpu", "rss_bytes"}


@pytest.mark.slow
def test_the_service_shows_the_card_instead_of_the_modelled_memory():
    with video_service(*FIXED, PYTHONPATH=FAKE) as (url, _):
        health, metrics = ask(url, "/health").json(), ask(url, "/metrics").body.decode()
    assert health["gpu"] == "Fake RTX 4090"
    assert health["resources"] | OF_THE_CARD == health["resources"]
    assert "coldburst_video_gpu_memory_bytes 5e+09" in metrics and "coldburst_video_gpu_utilisation 0.37" in metrics
