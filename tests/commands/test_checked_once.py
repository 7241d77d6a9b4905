"""Options are checked once a start: each file that they name is opened once a run, by the operating system's own count."""

import pytest

from tests.support.locusts import REPORTED, ROOT, locust
from tests.support.transcribers import transcriber
from tests.support.web import WebUi

FAST = ("--engine", "fixed", "--service-time", "0.02", "--max-concurrent", "50")
FILES = ("arrivals.csv", "01-harbour.wav", "objectives.toml")
LOCUSTFILE = f"""
import sys

from coldburst import ReplayUser


def opened(event, arguments):
    name = str(arguments[0]).rpartition("/")[2] if event == "open" else ""
    if name in {FILES}:
        print("opened", name, flush=True)


sys.addaudithook(opened)


class Again(ReplayUser):
    speed = 100
    clips = "{ROOT}/samples/01-harbour.wav"
    max_wer = "off"
"""


@pytest.fixture
def words(tmp_path):
    """The arguments of a run that names a file of each kind."""
    (tmp_path / "mine.py").write_text(LOCUSTFILE, encoding="utf-8")
    (tmp_path / "objectives.toml").write_text('[[objective]]\nthat = "success >= 50%"\nabort = true\n', encoding="utf-8")
    return ("--objectives", str(tmp_path / "objectives.toml")), tmp_path / "mine.py"


def opens(run):
    return {name: run.output.count(f"opened {name}\n") for name in FILES}


@pytest.mark.slow
def test_headless_each_file_is_opened_once(words):
    arguments, file = words
    with transcriber(*FAST) as service, locust("--host", service.url, *arguments, file=file, **REPORTED) as run:
        assert run.wait() == 0, run.output
        assert run.ledger.planned > 10
        assert opens(run) == dict.fromkeys(FILES, 1)


@pytest.mark.nightly
def test_in_the_web_ui_each_file_is_opened_once_a_run(words):
    arguments, file = words
    with transcriber(*FAST) as service, WebUi("--host", service.url, *arguments, file=file) as ui:
        assert opens(ui.locust) == dict.fromkeys(FILES, 0)
        for number, form in enumerate(({"speed": "200"}, {"speed": "100"}, {"speed": "100"}), 1):
            assert ui.post("/swarm", **form)["success"]
            ui.locust.until(lambda run, number=number: len(list(run.runs.glob("*/report/index.html"))) == number)
            ui.locust.until(lambda _: ui.state() == "stopped")
            # Recorded arrivals are kept from run to run while their file does not change.
            assert opens(ui.locust) == dict.fromkeys(FILES, number) | {"arrivals.csv": 1}
