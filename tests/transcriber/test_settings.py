"""The transcription service's command line: one sentence for each mistake."""

import socket

import pytest

from tests.support.transcribers import run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--service-time -1", "-1"),
        ("--stall nan", "nan"),
        ("--stall 10 --stall-every 10", "--stall-every"),
        ("--max-concurrent 0", "from 1"),
        ("--port 70000", "70000"),
        ("--engine psychic", "psychic"),
        ("--engine whisper", "whisper"),
        ("--access-log /nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_a_bad_option_is_one_sentence(words, named):
    ended = run(*words.split())
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert named in ended.stderr


@pytest.mark.slow
def test_a_port_in_use_and_a_missing_model_are_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = run("--engine", "fixed", "--port", str(other.getsockname()[1]))
    (tmp_path / "faster_whisper.py").touch()
    missing = run("--engine", "whisper", "--model", "/nowhere/tiny", PYTHONPATH=str(tmp_path))
    assert (taken.returncode, missing.returncode) == (2, 2)
    assert "in use" in taken.stderr
    assert "/nowhere/tiny" in missing.stderr
    assert taken.stderr.count("\n") == missing.stderr.count("\n") == 1
