"""Limits in one line of text, such as ``p95 < 2 s``, for the settings of a sweep, a run in progress, or a completed run.

METRIC OP VALUE, with or without spaces; OP is one of < <= > >= ==

p50 p90 p95 p99 max mean     response time of ok requests, in s or ms; with the prefix service_, queue_, execution_,
                             ttft_ (time to first token), cold_start_, lateness_, and with --objects upload_, download_
                             or end_to_end_, that time: ttft_p95 < 500 ms
success                      share of the planned requests that ended ok, in % or from 0 to 1; without requests that
                             were not due yet when --run-time ended the run
failed wrong queue_timeouts throttled busy refused timed_out unreachable abandoned unfinished not_sent missing
                             requests with that outcome: a number, or % of the planned ones
cold_share                   share of requests that met a cold start, in % or from 0 to 1
wer                          mean word error rate, in % or from 0 up
efficiency                   scaling efficiency of a sweep, the smallest of its settings, in % or from 0 up
throughput offered           ok and planned requests per second: a number, or /s
units_per_s usd_per_unit     units in ok answers per second (--unit; else tokens or seconds of audio): a number, or /s;
                             cost of the endpoint workers per unit: a number, or USD (0.5e-6 is 0.50 USD per million)
real_time_factor             audio ÷ service time, the median: a number, or x; higher is faster
cost cost_per_1000           cost of the endpoint workers, for the run and per 1,000 ok requests: a number, or USD
generators_lost              load generators that were lost: a number
verdict                      the report's verdict, only as verdict == valid
"""

from __future__ import annotations

import operator
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coldburst.lines import one_line
from coldburst.option import number

HELP = (__doc__ or "").replace("``", "'")
POINTS = ("p50", "p90", "p95", "p99", "max", "mean")
OF_TIMES = ("", "service_", "queue_", "execution_", "ttft_", "cold_start_", "lateness_", "upload_", "download_", "end_to_end_")
TIMES = tuple(of + point for of in OF_TIMES for point in POINTS)
# Metrics that count requests, and the outcome that each one counts.
COUNTS: Mapping[str, str] = {"queue_timeouts": "queue_timeout"} | {
    name: name
    for name in ("failed", "wrong", "throttled", "busy", "refused", "timed_out", "unreachable", "abandoned", "unfinished", "not_sent")
}
# Shares of at most 1.
PARTS = ("success", "cold_share")
COUNTED = (*COUNTS, "missing", "generators_lost")
OTHERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((*PARTS, "wer", "efficiency"), ("%", "")),
    **dict.fromkeys(("throughput", "offered", "units_per_s"), ("", "/s")),
    "real_time_factor": ("", "x"),
    **dict.fromkeys(("cost", "cost_per_1000", "usd_per_unit"), ("", "usd")),
    **dict.fromkeys((*COUNTS, "missing"), ("", "%")),
    "generators_lost": ("",),
    "verdict": ("",),
}
METRICS = (*TIMES, *OTHERS)
# Metrics for the settings of a sweep.
OF_SWEEPS = (*POINTS, "success", "wer")
# Metrics of which more is better.
HIGHER = ("success", "throughput", "offered", "units_per_s", "real_time_factor", "efficiency")
VERDICTS = ("valid", "degraded", "invalid")
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
# Units per second, or per whole.
UNITS = {"s": 1, "ms": 1000, "%": 100}
# Longest quotation of a wrong text.
LONGEST = 80
# Requests before a run may be stopped early, unless the objective sets ``after``.
AFTER = 30
# Start of run.json's ``ended_by`` if an objective stopped the run; the objective follows.
MISSED = "objective missed: "
EXAMPLE = "p95<2s, success>95%"
FILE_EXAMPLE = '[[objective]]\nthat = "p95 < 2 s"\nabort = true\n\n[baseline]\np95 = "+10 %"\nthroughput = "-5 %"\n'
_FORM = re.compile(r"(?P<metric>[a-z0-9_]+)\s*(?P<op><=|>=|==|<|>)\s*(?P<value>[0-9.e+-]+|[a-z]+)\s*(?P<unit>[a-z%/×]*)")
_CHANGE = re.compile(r"(?P<sign>[+-])\s*(?P<number>[0-9.]+)\s*%")


class ObjectiveError(ValueError):
    """An objective is wrong; the message names the text and shows a right one."""


@dataclass(frozen=True)
class Objective:
    """``metric`` ``op`` ``value``.

    Attributes:
        value: in seconds, as a share of 1, or in the metric's unit; for ``verdict``, its index in VERDICTS.
        share: whether a count is a share of the planned requests.
        text: the objective as text, ``p95 < 2 s``.
        abort: whether the run stops when the objective can no longer be met, after at least ``after`` requests.
        may_be_missing: whether a run without this metric passes.
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
        """Whether ``value`` meets the objective."""
        return OPERATORS[self.op](value, self.value)

    def plain(self) -> dict[str, Any]:
        """The objective for run.json, in the form that ``objectives`` reads."""
        said = asdict(self)
        return {"that": self.text, **{name: said[name] for name in ("abort", "after", "may_be_missing")}}


@dataclass(frozen=True)
class Change:
    """The permitted change from a baseline: 0.1 = at most 10 % more, −0.05 = at most 5 % less."""

    metric: str
    share: float
    text: str


@dataclass(frozen=True)
class Objectives:
    """A file of objectives: limits of the run itself, and of its change from a baseline."""

    objectives: tuple[Objective, ...]
    changes: tuple[Change, ...] = ()


def parse(text: str) -> list[dict[str, Any]]:
    """A sweep's comma-separated objectives as ``metric``, ``op``, ``value`` (seconds or a share), ``text``. Raises ObjectiveError."""
    if not text.strip():
        return []
    found = [(objective(word, OF_SWEEPS), "".join(word.split())) for word in text.split(",")]
    return [{"metric": one.metric, "op": one.op, "value": one.value, "text": word} for one, word in found]


def objective(text: str, metrics: tuple[str, ...] = METRICS, **more: Any) -> Objective:
    """The objective in ``text``, for one of ``metrics``; ``more`` are its other attributes. Raises ObjectiveError."""
    word = _quoted(text)
    form = _FORM.fullmatch(word.lower())
    if form is None:
        raise ObjectiveError(f"objective '{word}' is not METRIC OP VALUE: write it as in '{EXAMPLE}' (operators < <= > >= ==)")
    metric, op, unit = form["metric"], form["op"], form["unit"].replace("×", "x")
    if metric not in metrics:
        raise ObjectiveError(f"objective '{word}': there is no metric '{metric}'; use one of {_known(metrics)}, as in '{EXAMPLE}'")
    if metric == "verdict":
        if op != "==" or form["value"] + unit != VERDICTS[0]:
            raise ObjectiveError(f"objective '{word}': the only objective for the verdict is 'verdict == valid'")
        return Objective("verdict", op, 0.0, False, "verdict == valid", **more)
    if unit not in (("s", "ms") if metric in TIMES else OTHERS[metric]):
        raise ObjectiveError(f"objective '{word}': {metric} needs {_right(metric)}")
    value = _positive(word, form["value"]) / UNITS.get(unit, 1)
    share = metric in COUNTED and unit == "%"
    if value > 1 and (metric in PARTS or share):
        right = "is at most 1 or 100%, as in 'success>95%'" if metric in PARTS else f"of the requests is at most 100%, as in '{metric}<1%'"
        raise ObjectiveError(f"objective '{word}': a share {right}")
    shown = " ".join(part for part in (metric, op, form["value"], unit.replace("usd", "USD")) if part)
    return Objective(metric, op, value, share, shown, **more)


def objectives(content: Mapping[str, Any]) -> Objectives:
    """The objectives in a file's content. Raises ObjectiveError for a wrong entry, and shows a right one."""
    _only(content, ("objective", "baseline"), "at the top of the file")
    found, changes = content.get("objective", []), content.get("baseline", {})
    if not isinstance(found, list) or not all(isinstance(said, dict) for said in found):
        raise ObjectiveError('write objectives as [[objective]], with two brackets, and a line that = "p95 < 2 s" below')
    if not isinstance(changes, dict):
        raise ObjectiveError('write limits against a baseline below [baseline], one per line, as in p95 = "+10 %"')
    read = Objectives(tuple(map(_read, found)), tuple(_change(str(metric), said) for metric, said in changes.items()))
    if not (read.objectives or read.changes):
        raise ObjectiveError('the file has no objective: write [[objective]] and a line that = "p95 < 2 s" below it')
    return read


def load(path: Path) -> Objectives:
    """The objectives in a TOML file. Raises ObjectiveError, which names the file."""
    try:
        return objectives(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ObjectiveError(f"{path}: {error.strerror}: name a file of objectives, as in --objectives objectives.toml") from error
    except ObjectiveError as error:
        raise ObjectiveError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ObjectiveError(f'{path} is not TOML ({why}): put text in quotation marks, as in that = "p95 < 2 s"') from error


def _read(said: Mapping[str, Any]) -> Objective:
    _only(said, ("that", "abort", "after", "may_be_missing"), "of an [[objective]]")
    that = said.get("that")
    if not isinstance(that, str):
        raise ObjectiveError('each [[objective]] needs a line that = "METRIC OP VALUE", as in that = "p95 < 2 s"')
    for name in ("abort", "may_be_missing"):
        if not isinstance(said.get(name, False), bool):
            raise ObjectiveError(f"objective '{_quoted(that)}': {name} must be true or false, not {_quoted(repr(said[name]))}")
    after = said.get("after", AFTER)
    if not isinstance(after, int) or isinstance(after, bool) or after < 1:
        raise ObjectiveError(
            f"objective '{_quoted(that)}': after must be a number of requests from 1 up, as in {AFTER}, not {_quoted(repr(after))}"
        )
    return objective(that, abort=said.get("abort", False), after=after, may_be_missing=said.get("may_be_missing", False))


def _only(said: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    if strange := sorted(set(said) - set(names)):
        raise ObjectiveError(f"'{_quoted(strange[0])}' is not a key {where}: use {', '.join(names)}")


def _quoted(text: str) -> str:
    return one_line(text, LONGEST)


def _change(metric: str, said: Any) -> Change:
    higher = metric in HIGHER
    right = f'{metric} = "-5 %"' if higher else f'{metric} = "+10 %"'
    if metric not in METRICS or metric == "verdict":
        known = _known(tuple(name for name in METRICS if name != "verdict"))
        raise ObjectiveError(f"[baseline]: there is no metric '{_quoted(metric)}'; use one of {known}, as in p95 = \"+10 %\"")
    form = _CHANGE.fullmatch(said.strip()) if isinstance(said, str) else None
    if form is None:
        raise ObjectiveError(f"[baseline]: {metric} = {_quoted(repr(said))} is not a change in %: write it as in {right}")
    if (form["sign"] == "-") != higher:
        better = "is better when higher: give how far it may fall" if higher else "is better when lower: give how far it may rise"
        raise ObjectiveError(f"[baseline]: {metric} = {said!r}: {metric} {better}, as in {right}")
    share = _positive(metric, form["number"]) / 100
    return Change(metric, -share if higher else share, f"{metric} {form['sign']}{form['number']} % of the baseline's at most")


def _right(metric: str) -> str:
    if metric in TIMES:
        return f"seconds or milliseconds, as in '{metric}<2s' or '{metric}<1500ms'"
    if metric in PARTS or metric in ("wer", "efficiency"):
        return "a share, as in 'success>95%' or 'wer<0.1'"
    if metric in COUNTS or metric == "missing":
        return f"a number of requests or a share of them, as in '{metric}<5' or '{metric}<1%'"
    units = " or ".join(f"'{metric}<5{unit.replace('usd', ' USD')}'" for unit in OTHERS[metric])
    return f"a number, as in {units}"


def _known(metrics: tuple[str, ...]) -> str:
    """The metrics in a few words: prefixes of times are named once."""
    rest = [name for name in metrics if name not in TIMES or name in POINTS]
    before = [of for of in OF_TIMES if of and f"{of}p50" in metrics]
    return ", ".join(rest) + (f", and other times with the prefix {' '.join(before)}" if before else "")


def _positive(word: str, text: str) -> float:
    try:
        value = number(text)
    except ValueError:
        value = -1.0
    if value < 0:
        raise ObjectiveError(f"objective '{word}': '{text}' must be a number from 0 up, as in '{EXAMPLE}'")
    return value
