"""What must be achieved, in one line of text: ``p95 < 2 s``. Of a sweep's settings, of a run while it goes, of a run that has ended.

METRIC OP VALUE, with or without spaces; OP is one of < <= > >= ==

p50 p90 p95 p99 max mean     response time of what was answered ok, in s or ms; with service_, queue_,
                             execution_, cold_start_ or lateness_ before it, that time: queue_p95 < 5 s
success                      share of the planned requests that ended ok, in % or from 0 to 1; without those that were
                             not due yet when --run-time ended the run
failed wrong queue_timeouts throttled busy refused timed_out unreachable abandoned unfinished not_sent missing
                             requests that ended so: a number, or in % of those planned
cold_share                   share of requests that met a cold start, in % or from 0 to 1
wer                          mean word error rate, in % or from 0 up
efficiency                   scaling efficiency of a sweep, the smallest of its settings, in % or from 0 up
throughput offered           ok, and planned, per second: a number, or /s
real_time_factor             audio ÷ service time, the median; a number, or x; higher is faster
cost cost_per_1000           of the run's endpoint workers, and of 1,000 requests answered ok: a number, or USD
generators_lost              load generators that were lost: a number
verdict                      verdict == valid: the report's own word on its figures
"""

from __future__ import annotations

import math
import operator
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HELP = (__doc__ or "").replace("``", "'")
POINTS = ("p50", "p90", "p95", "p99", "max", "mean")
OF_TIMES = ("", "service_", "queue_", "execution_", "cold_start_", "lateness_")
TIMES = tuple(of + point for of in OF_TIMES for point in POINTS)
COUNTS: Mapping[str, str] = {
    "failed": "failed",
    "wrong": "wrong",
    "queue_timeouts": "queue_timeout",
    "throttled": "throttled",
    "busy": "busy",
    "refused": "refused",
    "timed_out": "timed_out",
    "unreachable": "unreachable",
    "abandoned": "abandoned",
    "unfinished": "unfinished",
    "not_sent": "not_sent",
}
"""Metrics that count requests, and the outcome that each one counts."""
PARTS = ("success", "cold_share")
"""Shares of a whole: at most 1."""
COUNTED = (*COUNTS, "missing", "generators_lost")
OTHERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*PARTS, "wer", "efficiency"), ("%", "")),
    **dict.fromkeys(("throughput", "offered"), ("", "/s")),
    "real_time_factor": ("", "x"),
    **dict.fromkeys(("cost", "cost_per_1000"), ("", "usd")),
    **dict.fromkeys((*COUNTS, "missing"), ("", "%")),
    "generators_lost": ("",),
    "verdict": ("",),
}
METRICS = (*TIMES, *OTHERS)
OF_SWEEPS = (*POINTS, "success", "wer")
"""What a sweep holds each of its settings against."""
HIGHER = ("success", "throughput", "offered", "real_time_factor", "efficiency")
"""Metrics of which more is better; of the others less is."""
VERDICTS = ("valid", "degraded", "invalid")
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
UNITS = {"s": 1, "ms": 1000, "%": 100}
"""How many of a unit make a second, or a whole."""
LONGEST = 80
"""Characters of what cannot be read that are shown."""
AFTER = 30
"""So many requests are judged before a run may be stopped early, unless the objective says otherwise."""
MISSED = "objective missed: "
"""How run.json's ``ended_by`` begins where a run was stopped early; the objective follows."""
EXAMPLE = "p95<2s, success>95%"
FILE_EXAMPLE = '[[objective]]\nthat = "p95 < 2 s"\nabort = true\n\n[baseline]\np95 = "+10 %"\nthroughput = "-5 %"\n'
_FORM = re.compile(r"(?P<metric>[a-z0-9_]+)\s*(?P<op><=|>=|==|<|>)\s*(?P<value>[0-9.e+-]+|[a-z]+)\s*(?P<unit>[a-z%/×]*)")
_CHANGE = re.compile(r"(?P<sign>[+-])\s*(?P<number>[0-9.]+)\s*%")


class ObjectiveError(ValueError):
    """An objective cannot be read; the message names the word and shows a right one."""


@dataclass(frozen=True)
class Objective:
    """``metric`` ``op`` ``value``.

    Attributes:
        value: in seconds, as a share of 1, or in the metric's own unit; of ``verdict`` its place in VERDICTS.
        share: whether a count is meant as a share of the planned requests.
        text: the objective as one reads it, ``p95 < 2 s``.
        abort: whether a run is stopped once it can no longer be believed to be met, after ``after`` requests at the earliest.
        may_be_missing: whether a run that cannot tell it passes all the same.
    """

    metric: str
    op: str
    value: float
    share: bool
    text: str
    abort: bool = False
    after: int = AFTER
    may_be_missing: bool = False

    def met(self, value: float) -> bool:
        """Whether ``value`` is within it."""
        return OPERATORS[self.op](value, self.value)

    def plain(self) -> dict[str, Any]:
        """As the file has it, and run.json: what ``objectives`` reads."""
        said = asdict(self)
        return {"that": self.text, **{name: said[name] for name in ("abort", "after", "may_be_missing")}}


@dataclass(frozen=True)
class Change:
    """How far a metric may move from the baseline's: 0.1 = up to 10 % more, −0.05 = down to 5 % less."""

    metric: str
    share: float
    text: str


@dataclass(frozen=True)
class Objectives:
    """What a file of objectives asks for: of the run alone, and against a baseline."""

    objectives: tuple[Objective, ...]
    changes: tuple[Change, ...] = ()


def parse(text: str) -> list[dict[str, Any]]:
    """A sweep's objectives, parted by commas: ``metric``, ``op``, ``value`` (seconds, or a share) and ``text``, the word; [] of nothing.

    Raises:
        ObjectiveError: a word is none.
    """
    if not text.strip():
        return []
    found = [(objective(word, OF_SWEEPS), "".join(word.split())) for word in text.split(",")]
    return [{"metric": one.metric, "op": one.op, "value": one.value, "text": word} for one, word in found]


def objective(text: str, metrics: tuple[str, ...] = METRICS, **more: Any) -> Objective:
    """The objective that ``text`` says, of one of ``metrics``; ``more`` are its other attributes.

    Raises:
        ObjectiveError: it says none.
    """
    word = _short(text)
    form = _FORM.fullmatch(word.lower())
    if form is None:
        raise ObjectiveError(f"objective '{word}' is not METRIC OP VALUE: write it as in '{EXAMPLE}' (operators < <= > >= ==)")
    metric, op, unit = form["metric"], form["op"], form["unit"].replace("×", "x")
    if metric not in metrics:
        raise ObjectiveError(f"objective '{word}': there is no '{metric}', only {_known(metrics)}, as in '{EXAMPLE}'")
    if metric == "verdict":
        return _of_verdict(word, op, form["value"] + unit, more)
    if unit not in _units(metric):
        raise ObjectiveError(f"objective '{word}': {metric} takes {_right(metric)}")
    value = _number(word, form["value"]) / UNITS.get(unit, 1)
    share = metric in COUNTED and unit == "%"
    if value > 1 and (metric in PARTS or share):
        right = "is at most 1 or 100%, as in 'success>95%'" if metric in PARTS else f"of the requests is at most 100%, as in '{metric}<1%'"
        raise ObjectiveError(f"objective '{word}': a share {right}")
    shown = " ".join(part for part in (metric, op, form["value"], unit.replace("usd", "USD")) if part)
    return Objective(metric, op, value, share, shown, **more)


def objectives(content: Mapping[str, Any]) -> Objectives:
    """The objectives of a file's content.

    Raises:
        ObjectiveError: one sentence that names what is no objective, and shows one.
    """
    _only(content, ("objective", "baseline"), "at the top of the file")
    found, changes = content.get("objective", []), content.get("baseline", {})
    if not isinstance(found, list) or not all(isinstance(said, dict) for said in found):
        raise ObjectiveError('objectives are written [[objective]], with two brackets, and a line that = "p95 < 2 s" below')
    if not isinstance(changes, dict):
        raise ObjectiveError('limits against a baseline stand below [baseline], a line each, as in p95 = "+10 %"')
    read = Objectives(tuple(map(_read, found)), tuple(_change(str(metric), said) for metric, said in changes.items()))
    if not (read.objectives or read.changes):
        raise ObjectiveError('there is no objective: write [[objective]] and a line that = "p95 < 2 s" below it')
    return read


def load(path: Path) -> Objectives:
    """The objectives in a TOML file.

    Raises:
        ObjectiveError: it cannot be read, or holds none; one sentence that names the file.
    """
    try:
        return objectives(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ObjectiveError(f"{path}: {error.strerror}: name a file of objectives, as in --objectives objectives.toml") from error
    except ObjectiveError as error:
        raise ObjectiveError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise ObjectiveError(f'{path} is no TOML ({told}): a text stands in quotation marks, as in that = "p95 < 2 s"') from error


def _read(said: Mapping[str, Any]) -> Objective:
    _only(said, ("that", "abort", "after", "may_be_missing"), "of an [[objective]]")
    that = said.get("that")
    if not isinstance(that, str):
        raise ObjectiveError('each [[objective]] needs a line that = "METRIC OP VALUE", as in that = "p95 < 2 s"')
    for name in ("abort", "may_be_missing"):
        if not isinstance(said.get(name, False), bool):
            raise ObjectiveError(f"objective '{_short(that)}': {name} is true or false, not {_short(repr(said[name]))}")
    after = said.get("after", AFTER)
    if not isinstance(after, int) or isinstance(after, bool) or after < 1:
        raise ObjectiveError(
            f"objective '{_short(that)}': after is a number of requests from 1 up, as in {AFTER}, not {_short(repr(after))}"
        )
    return objective(that, abort=said.get("abort", False), after=after, may_be_missing=said.get("may_be_missing", False))


def _only(said: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    if strange := sorted(set(said) - set(names)):
        raise ObjectiveError(f"'{_short(strange[0])}' is no word {where}: there are {', '.join(names)}")


def _short(text: str) -> str:
    """``text`` in one line, however long it is."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _change(metric: str, said: Any) -> Change:
    higher = metric in HIGHER
    right = f'{metric} = "-5 %"' if higher else f'{metric} = "+10 %"'
    if metric not in METRICS or metric == "verdict":
        known = _known(tuple(name for name in METRICS if name != "verdict"))
        raise ObjectiveError(f"[baseline]: there is no '{_short(metric)}', only {known}, as in p95 = \"+10 %\"")
    form = _CHANGE.fullmatch(said.strip()) if isinstance(said, str) else None
    if form is None:
        raise ObjectiveError(f"[baseline]: {metric} = {_short(repr(said))} is no change in %: write it as in {right}")
    if (form["sign"] == "-") != higher:
        better = "more is better: say how far it may fall" if higher else "less is better: say how far it may rise"
        raise ObjectiveError(f"[baseline]: {metric} = {said!r}: of {metric} {better}, as in {right}")
    share = _number(metric, form["number"]) / 100
    return Change(metric, -share if higher else share, f"{metric} {form['sign']}{form['number']} % of the baseline's at most")


def _of_verdict(word: str, op: str, value: str, more: Mapping[str, Any]) -> Objective:
    if op != "==" or value != VERDICTS[0]:
        raise ObjectiveError(f"objective '{word}': of the verdict there is 'verdict == valid' alone")
    return Objective("verdict", op, 0.0, False, "verdict == valid", **more)


def _units(metric: str) -> tuple[str, ...]:
    return ("s", "ms") if metric in TIMES else OTHERS[metric]


def _right(metric: str) -> str:
    if metric in TIMES:
        return f"seconds or milliseconds, as in '{metric}<2s' or '{metric}<1500ms'"
    if metric in PARTS or metric in ("wer", "efficiency"):
        return "a share, as in 'success>95%' or 'wer<0.1'"
    if metric in COUNTS or metric == "missing":
        return f"a number of requests or a share of them, as in '{metric}<5' or '{metric}<1%'"
    units = " or ".join(f"'{metric}<5{unit.replace('usd', ' USD')}'" for unit in _units(metric))
    return f"a number, as in {units}"


def _known(metrics: tuple[str, ...]) -> str:
    """The metrics in few words: the times' names once."""
    rest = [name for name in metrics if name not in TIMES or name in POINTS]
    before = [of for of in OF_TIMES if of and f"{of}p50" in metrics]
    return ", ".join(rest) + (f", and of other times with {' '.join(before)} before it" if before else "")


def _number(word: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise ObjectiveError(f"objective '{word}': '{text}' is no number from 0 up, as in '{EXAMPLE}'")
    return value
