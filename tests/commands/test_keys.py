"""Keys are read from the environment only."""

import pytest

from coldburst.control.restore import main
from coldburst.keys import RUNPOD_KEY, read_key
from coldburst.option import OptionError


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
    assert "contains a character that is not allowed in a header" in capsys.readouterr().err
