"""The process that makes a run's report: it ends with all that draw for it."""

import shutil
import signal

import psutil
import pytest

from coldburst.installation import analysis_module
from coldburst.report_process import ReportProcess
from tests.support.locusts import ROOT
from tests.support.transcribers import until


def making(folder):
    """Processes that make the report of ``folder``, those that draw for it too."""
    known = [one for one in psutil.process_iter(["cmdline", "status"]) if one.info["status"] != psutil.STATUS_ZOMBIE]
    return [one for one in known if {str(folder), "report"} <= {*(one.info["cmdline"] or ())}]


def cancel(process, folder):
    process.terminate()


def kill(process, folder):
    """Only the process that the others draw for."""
    (parent,) = {one.parent() for one in making(folder)} & {*making(folder)}
    parent.kill()


@pytest.mark.slow
@pytest.mark.parametrize(("end", "number"), [(cancel, signal.SIGTERM), (kill, signal.SIGKILL)])
def test_a_report_that_ends_early_leaves_nobody_drawing(tmp_path, end, number):
    folder = tmp_path / "burst"
    shutil.copytree(ROOT / "tests/runs/burst", folder)
    process = ReportProcess(folder, "yes", analysis_module())
    process.begin()
    until(lambda: len(making(folder)) > 1, "processes that draw")
    end(process, folder)
    assert process.wait() == -number
    until(lambda: not making(folder), "their end")
    assert not (folder / "report" / "index.html").exists()


@pytest.mark.slow
def test_without_a_run_to_report_it_ends_by_itself(tmp_path):
    folder = tmp_path / "burst"
    shutil.copytree(ROOT / "tests/runs/burst", folder)
    process = ReportProcess(folder, "yes", analysis_module())
    process.cancel()
    assert process.wait() == 0
    assert not (folder / "report").exists()
