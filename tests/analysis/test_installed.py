"""analysis under its two names: ``analysis`` in a clone, ``coldburst.analysis`` where it is installed."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.locusts import ROOT

RUN = ROOT / "tests" / "runs" / "burst"
# Runs the package as python -m does, and prints which of its two names are loaded.
DRIVER = """
import runpy, sys
package, *arguments = sys.argv[1:]
sys.argv = [package, *arguments]
try:
    runpy.run_module(package, run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code
names = {"coldburst.analysis" if name.startswith("coldburst.") else "analysis"
         for name in sys.modules if name.split(".")[0] == "analysis" or name.startswith("coldburst.analysis")}
print(code, *sorted(names))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder of packages as an installation lays them out."""
    site = tmp_path_factory.mktemp("site")
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "coldburst", site / "coldburst", ignore=unwanted)
    shutil.copytree(ROOT / "analysis", site / "coldburst" / "analysis", ignore=unwanted)
    return site


def call(path, folder, *arguments):
    """The process of ``python`` with these arguments, in ``folder``, with the packages of ``path``."""
    environment = os.environ | {"PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def reported(path, folder, package):
    """The report that ``package`` makes of RUN: its page and its metrics."""
    done = call(path, folder, "-c", DRIVER, package, "report", str(RUN), "--figures", "no", "--quiet", "--out", str(folder / "report"))
    assert done.stdout.splitlines()[1:] == [f"0 {package}"], done.stderr
    report = folder / "report"
    return (report / "index.html").read_text(encoding="utf-8"), json.loads((report / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_both_names_make_the_same_report_and_no_process_loads_both(installed, tmp_path):
    folders = {name: tmp_path / name for name in ("clone", "installed")}
    for folder in folders.values():
        folder.mkdir()
    page, metrics = reported(ROOT, folders["clone"], "analysis")
    other, others = reported(installed, folders["installed"], "coldburst.analysis")
    assert "with python -m analysis report RUN" in page
    assert other == page.replace("python -m analysis ", "coldburst ")
    assert others == metrics


@pytest.mark.slow
def test_an_installation_names_its_own_command(installed, tmp_path):
    shown = call(installed, tmp_path, "-m", "coldburst.analysis", "report", "--help")
    assert shown.stdout.startswith("usage: coldburst report ")
    refused = call(installed, tmp_path, "-m", "coldburst.analysis", "gate", str(RUN))
    assert (refused.returncode, refused.stderr.partition(":")[0]) == (2, "coldburst")
