"""The system's programs are asked for in one place, and a test without its program is skipped with the package's name."""

import re

import pytest

from tests.support import needs
from tests.support.locusts import ROOT

ASKS = re.compile(r"shutil\.which\(|skipif\(|importorskip\(")


def test_programs_are_looked_for_in_one_place():
    files = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("*.py") if ASKS.search(path.read_text(encoding="utf-8"))}
    assert {str(path) for path in files} == {"support/needs.py"}


def test_a_program_that_is_not_here_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(needs, "ADMINISTRATORS", str(tmp_path / "sbin"))
    assert needs.lacking("node", "npm") == "not installed: node, npm (apt-get install nodejs npm)"
    assert needs.lacking("unshare", "setpriv") == "not installed: unshare, setpriv (apt-get install util-linux)"
    assert needs.needs("nginx").args == (True,)
    with pytest.raises(pytest.skip.Exception, match=r"not installed: flite \(apt-get install flite\)"):
        needs.need("flite")


def test_a_program_is_found_where_only_administrators_look(monkeypatch, tmp_path):
    program = tmp_path / "nginx"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(needs, "ADMINISTRATORS", str(tmp_path))
    assert needs.need("nginx") == str(program)
    assert needs.lacking("nginx") == ""
    assert needs.needs("nginx").args == (False,)


def test_a_program_without_a_package_is_a_mistake_in_the_test():
    with pytest.raises(ValueError, match="name its Debian package there"):
        needs.found("nginks")
