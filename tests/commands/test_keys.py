"""Keys: read from the environment alone, and masked in what endpoints answer."""

import pytest

from coldburst.control.restore import main
from coldburst.keys import RUNPOD_KEY, read_key
from coldburst.option import OptionError
from coldburst.redact import redact, redact_bytes
from coldburst.targets.answer import mask_key
from coldburst.targets.exchange import Exchange


def test_a_key_is_read_without_the_spaces_around_it(monkeypatch):
    monkeypatch.setenv(RUNPOD_KEY, " k1 \n")
    assert read_key(RUNPOD_KEY) == "k1"
    monkeypatch.delenv(RUNPOD_KEY)
    assert read_key(RUNPOD_KEY) == ""


@pytest.mark.parametrize("key", ["k1\nk2", "schlüssel"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_and_not_shown(key, monkeypatch):
    monkeypatch.setenv(RUNPOD_KEY, key)
    with pytest.raises(OptionError, match=RUNPOD_KEY) as refused:
        read_key(RUNPOD_KEY)
    assert key not in str(refused.value)


def test_restore_refuses_such_a_key_in_a_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(RUNPOD_KEY, "k1\nk2")
    assert main([str(tmp_path)]) == 1
    assert "holds a character that cannot stand in a header" in capsys.readouterr().err


def test_secrets_are_masked_wherever_they_stand():
    assert redact("Bearer k1, k1", ("k1", "")) == "Bearer [key], [key]"
    assert redact("k1 and v2", ("k1", "v2"), mark="…") == "… and …"
    assert (redact_bytes(b"k1", "k1"), redact_bytes(b"k1", "")) == (b"[key]", b"k1")


def test_an_answer_is_masked_as_a_whole():
    exchange = Exchange(headers={"x": "k1"}, body=b"you sent k1", error="no k1")
    mask_key(exchange, "k1")
    assert (exchange.headers, exchange.body, exchange.error) == ({"x": "[key]"}, b"you sent [key]", "no [key]")
