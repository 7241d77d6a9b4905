"""What would make the answer of a run surer: the same command with an option changed, and how long it takes."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from coldburst.lines import one_line

from ..command_name import PROGRAM
from ..runs.load import Run
from ..text.number_format import seconds


@dataclass(frozen=True)
class Remedy:
    """What to do.

    Attributes:
        what: in words, such as "run with 5 repeats".
        command: to copy.
        duration_s: how long it takes; None if unknown.
    """

    what: str
    command: str
    duration_s: float | None = None

    @property
    def sentence(self) -> str:
        """``run with 5 repeats (about 2 min): locust … --repeats 5``."""
        takes = f" (about {seconds(self.duration_s)})" if self.duration_s else ""
        return f"{self.what}{takes}: {self.command}"


def repeats(run: Run, number: int, duration_s: float | None) -> Remedy:
    """The same run with ``--repeats number``."""
    return _with(run, "--repeats", number, f"with {number} repeats", duration_s)


def cold_starts(run: Run, number: int, duration_s: float | None) -> Remedy:
    """The same cold-start test with ``--times number``."""
    return _with(run, "--times", number, f"with {number} cold starts", duration_s)


def _with(run: Run, option: str, number: int, what: str, duration_s: float | None) -> Remedy:
    words = _command(run)
    if words is None:
        return Remedy(f"run the same command {what}", f"{option} {number}", duration_s)
    return Remedy(f"run it {what}", shlex.join([*_without(words, option), option, str(number)]), duration_s)


def further_runs(run: Run, number: int, duration_s: float | None) -> Remedy:
    """The same run ``number`` more times, pooled."""
    words, pooled = _command(run), f"{PROGRAM} report RUN RUN RUN"
    if words is None:
        return Remedy(f"run the same command {number} more times and pool the runs", pooled, duration_s)
    return Remedy(f"run it {number} more times and pool the runs with '{pooled}'", shlex.join(words), duration_s)


def _command(run: Run) -> list[str] | None:
    """The words that started the run; None if run.json has none, as for runs of the web UI."""
    words = run.about.get("command")
    return [one_line(word) for word in words] if isinstance(words, list) and words and all(isinstance(one, str) for one in words) else None


def _without(words: list[str], option: str) -> list[str]:
    """The words without an option and its value, in both forms."""
    kept, skip = [], False
    for word in words:
        if not skip and word != option and not word.startswith(f"{option}="):
            kept.append(word)
        skip = word == option and not skip
    return kept
