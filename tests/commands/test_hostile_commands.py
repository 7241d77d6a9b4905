"""Hostile names and texts, given to each command of ``python -m analysis``: one clear sentence, never a traceback."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hostile import ROOT, RUNS, copied, held, planted, slowly, undrawn, written


@pytest.fixture
def queue(tmp_path):
    return copied(RUNS / "queue", tmp_path / "queue")


def commands(run: Path, other: Path, out: Path) -> list[tuple[object, ...]]:
    """Each command on ``run``."""
    given = out.with_suffix(".toml")
    given.write_text(
        '[[objective]]\nthat = "p95 < 2 s"\n[[objective]]\nthat = "cost < 1 USD"\n[baseline]\np95 = "+10 %"\n', encoding="utf-8"
    )
    return [
        ("report", run, "--out", out),
        ("compare", run, other, "--out", out, "--anyway"),
        ("compare", other, run, "--out", out),
        ("gate", run, "--objectives", given, "--baseline", other, "--junit", out / "j.xml", "--summary", out / "s.md"),
        ("gate", other, "--objectives", given, "--baseline", run, "--anyway"),
    ]


@pytest.mark.slow
def test_every_command_takes_hostile_texts(capsys, queue, tmp_path):
    run = planted(queue)
    with undrawn():
        for arguments in commands(run, RUNS / "queue", tmp_path / "out"):
            (tmp_path / "out").mkdir(exist_ok=True)
            code, _, err = held(capsys, *arguments)
            assert code != 2 or "not compared" in err
            written(tmp_path / "out")
            shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize("name", slowly(["x" * 300, "a\nb", "\ud800", "\x1b[31m", "", "/", "."], 9))
def test_a_name_that_is_none_is_one_sentence(capsys, tmp_path, name):
    for arguments in commands(tmp_path / name, RUNS / "burst", tmp_path / "out"):
        assert held(capsys, *arguments)[0] == 2
    assert held(capsys, "merge", tmp_path / name, RUNS / "burst")[0] == 2
    assert held(capsys, "scaling", f"1={tmp_path / name}", f"2={RUNS / 'locust-2.47' / 'two'}")[0] == 2


@pytest.mark.slow
def test_what_the_other_commands_cannot_write_is_one_sentence(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "p95.toml").write_text('[[objective]]\nthat = "p95 < 99 s"\n', encoding="utf-8")
    given = ("--objectives", tmp_path / "p95.toml")
    two = RUNS / "locust-2.47"
    for place in (tmp_path / "file" / "x", tmp_path / "loop", tmp_path / "loop" / "x"):
        for arguments in (
            ("compare", RUNS / "queue", RUNS / "queue", "--out", place),
            ("gate", RUNS / "burst", *given, "--junit", place),
            ("gate", RUNS / "burst", *given, "--summary", place),
            ("scaling", f"1={two / 'one'}", f"2={two / 'two'}", "--out", place),
        ):
            code, _, err = held(capsys, *arguments)
            assert (code, "cannot be written" in err) == (2, True)
        assert "no such run" in held(capsys, "report", place)[2]


@pytest.mark.slow
def test_a_path_that_is_no_utf_8_is_printed_all_the_same(tmp_path):
    run = copied(RUNS / "burst", tmp_path / os.fsdecode(b"r\xff\n\x1b[31m"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "analysis", "gate", run], cwd=ROOT, capture_output=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"has no objectives: name a file" in done.stderr
    assert b"\x1b" not in done.stderr
