"""Locust as a process of its own, and what it left in its run directory."""

import csv
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from coldburst.record.attempt import Attempt
from coldburst.record.ledger import Ledger
from tests.support import preloaded
from tests.support.attempt_rows import ledger, read
from tests.support.transcribers import DEADLINE_S, until

ROOT = Path(__file__).resolve().parents[2]
PLAIN = ("--clips", str(ROOT / "samples" / "01-harbour.wav"), "--max-wer", "off")
"""One short clip whose answer is not judged: for a service that recognises nothing."""
OF_TESTS = {
    "PYTHONUNBUFFERED": "1",
    "COLDBURST_EXIT_CODE_ON_VERDICT": "no",
    "COLDBURST_FIGURES": "no",
    "COLDBURST_REPORT": "no",
    "COLDBURST_NO_PREFLIGHT": "yes",
}
"""Tests run side by side: how late a generator is depends on the machine, and decides no exit code unless a test asks for that.
Most tests read rows only, so no report is made, and no figure drawn."""
REPORTED = {"COLDBURST_REPORT": "yes"}
"""For a test that looks at the report, or at the exit code that follows from it."""


LOOKS_S = 0.1
"""Between two looks at a run: to read all its rows takes a while, which others need."""


class Result:
    """What a run left in its directory."""

    folder: Path

    @property
    def about(self) -> dict:
        return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))

    @property
    def rows(self) -> list[Attempt]:
        return read(self.folder / "attempts.csv")

    @property
    def ledger(self) -> Ledger:
        """From the rows on disk against the number planned (a closed loop bounded by time: dispatched)."""
        about = self.about
        return ledger(about["dispatched"] if about["planned"] is None else about["planned"], self.rows)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(encoding="utf-8", newline="") as lines:
            return list(csv.DictReader(lines))


class Locust(Result):
    """A started Locust; ``wait`` for its end, then ask for what it left."""

    def __init__(self, process: preloaded.Process, runs: Path, output: Path) -> None:
        self.process, self.runs, self._output = process, runs, output

    @property
    def output(self) -> str:
        """Everything that it printed, on both channels."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    @property
    def folder(self) -> Path:
        (folder,) = (path for path in self.runs.iterdir() if not path.name.rpartition(".")[2].startswith("g"))
        return folder

    def everything(self) -> bytes:
        """All that the run left: every file, report included, and what it printed."""
        files = [path for path in self.runs.rglob("*") if path.is_file()]
        assert any(path.name == "index.html" for path in files)
        return b"".join(path.read_bytes() for path in files) + self.output.encode()

    def wait(self, limit_s: float = 2 * DEADLINE_S) -> int:
        return self.process.wait(limit_s)

    def interrupt(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def until(self, true: Callable[["Locust"], object], limit_s: float = DEADLINE_S) -> None:
        """Waits until ``true(self)``; fails with the output when it does not come, or the process has ended without it."""
        try:
            until(lambda: true(self), "sign of what is awaited", limit_s, lambda: self.process.poll() is not None, LOOKS_S)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.output}") from None


def _end_reports(runs: Path) -> None:
    """Ends processes that still make a report below ``runs``: they outlive a killed Locust on purpose, and write where is to be removed."""
    said = ((one, one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))
    making = [one for one, words in said if "report" in words and any(word.startswith(f"{runs}/") for word in words)]
    for one in making:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(making)


@contextmanager
def locust(
    *arguments: str, file: str | Path = "locustfiles/burst.py", headless: bool = True, before: Sequence[str] = (), **env: str
) -> Iterator[Locust]:
    """``locust -f file arguments`` with a runs directory of its own; killed at the end if it still runs. ``before``: what starts it."""
    with tempfile.TemporaryDirectory() as place:
        runs, output = Path(place) / "results", Path(place) / "output"
        runs.mkdir()
        words = ("-f", str(file), "--runs", str(runs), *(("--headless",) if headless else ()), *arguments)
        with output.open("wb") as out:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out}
            process = preloaded.start("locust", *words, env={**os.environ, **OF_TESTS, **env}, before=before, **streams)
            try:
                yield Locust(process, runs, output)
            finally:
                process.kill()
                process.wait()
                _end_reports(runs)


def service_s(rows: list[Attempt]) -> list[float]:
    """Sorted service times (done - sent) of the rows that ended."""
    return sorted(row.done_s - row.sent_s for row in rows if row.done_s is not None)


def response_s(rows: list[Attempt]) -> list[float]:
    """Sorted response times (done - scheduled) of the rows that ended."""
    return sorted(row.done_s - row.scheduled_s for row in rows if row.done_s is not None)


def quantile(ordered: list[float], share: float) -> float:
    """Nearest rank."""
    return ordered[max(-(-len(ordered) * round(share * 1000) // 1000), 1) - 1]
