"""Scaling efficiency and law from plain Locust runs with different numbers of endpoint workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from coldburst.lines import one_line

from ..runs.load import RunError, load
from ..statistics.intervals import Interval
from ..sweep import ratios, usl
from ..sweep.usl import Usl
from ..sweep_report.sweep_sheets import ends, law_sheet
from ..text.number_format import NONE, number, percent, plural, seconds
from ..text.sheet import Sheet
from ..verdict.verdict import TOTALS, Verdict
from .worker_level import GOODPUT, IMPOSSIBLE, LevelShare, WorkerLevel, level_share, measured_level, mostly_failed, saturation_doubt

EXAMPLE = "1=results/one 2=results/two 4=results/four"
FORMAT = 1
# With a larger share of failures their times distort every figure.
FAILING = 0.05


@dataclass(frozen=True, eq=False)
class Scaling:
    """Levels by number of workers, smallest first; ``column`` is goodput or throughput, ``per_worker`` the concurrency per worker."""

    levels: tuple[WorkerLevel, ...]
    column: str
    per_worker: int | None

    @property
    def base(self) -> WorkerLevel:
        """The level with the fewest workers, the baseline."""
        return self.levels[0]

    @property
    def unit(self) -> str:
        """The rate's unit."""
        return "ok/s" if self.column == GOODPUT else "requests/s"

    @cached_property
    def shares(self) -> dict[int, LevelShare]:
        """Each level compared with the smallest, by number of workers."""
        return {one.workers: level_share(one, self.base, self.per_worker) for one in self.levels}

    @cached_property
    def law(self) -> Usl | str:
        """The Universal Scalability Law fitted to the levels without a doubt, or why not."""
        if any(to.impossible for to in self.shares.values()):
            return f"an efficiency above {percent(IMPOSSIBLE)} is impossible, and it is unknown which level is wrong"
        good = [one for one in self.levels if not saturation_doubt(one, self.per_worker) and not mostly_failed(one)]
        return usl.fit([float(one.workers) for one in good], [one.flow.per_s.value or 0.0 for one in good])

    @property
    def headline(self) -> str:
        """The result of the largest level in a sentence."""
        last = self.levels[-1]
        to, many = self.shares[last.workers], plural(last.workers, "worker")
        if to.efficiency.value is None:
            return f"No scaling efficiency at {many}: {to.doubt or to.multiplier.basis}."
        ends = f" ({percent(to.efficiency.lower)} to {percent(to.efficiency.upper)})" if to.efficiency.lower is not None else ""
        said = f"{many}: {number(to.multiplier.value, '×')} the {self.column} of {self.base.workers}, scaling efficiency "
        said += f"{percent(to.efficiency.value)}{ends}, "
        said += f"without a verdict: {to.unjudged}" if to.unjudged else _judged(to.efficiency)
        tails = (last.percentile_s(95), self.base.percentile_s(95))
        return f"{said}; P95 {seconds(tails[0])}, compared with {seconds(tails[1])}." if None not in tails else f"{said}."

    @property
    def verdict(self) -> Verdict:
        """Always degraded, because totals have no rows."""
        reasons = (
            "These are Locust's totals only, without rows of single requests.",
            "The numbers of workers come from the command line and are not confirmed.",
        )
        return Verdict("degraded", reasons, tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        yield from (f"No efficiency at {plural(n, 'worker')}: {to.doubt}." for n, to in self.shares.items() if to.doubt)
        yield from (f"No verdict at {plural(n, 'worker')}: {to.unjudged}." for n, to in self.shares.items() if to.unjudged)
        if self.per_worker is None:
            yield "The concurrency per worker is unknown and assumed to be at least 1; set it with --per-worker."
        yield "Locust users wait for each answer (closed loop), so the rate cannot exceed users ÷ response time."
        yield "Each rate comes from a different run, so other changes between the runs affect the efficiency too."
        told: dict[str, list[str]] = {}
        for one in self.levels:
            for note in self._of_level(one):
                told.setdefault(note, []).append(str(one.workers))
        yield from (f"At {', '.join(at)} worker{'' if at == ['1'] else 's'}: {note}" for note, at in told.items())
        yield from TOTALS

    def _of_level(self, one: WorkerLevel) -> Iterator[str]:
        flow = one.flow
        if one.requests and one.failures / one.requests > FAILING:
            yield f"{percent(one.failures / one.requests)} of its requests failed, and every percentile includes their times."
        if flow.span_s is None:
            yield "the rate is Locust's own, over the whole run, so the ramp-up of users lowers it."
        elif flow.users is None:
            yield "its history has no number of users, so the rate covers all rows and the ramp-up of users lowers it."
        elif flow.most_users is not None and flow.most_users > flow.users:
            held = f"{number(flow.span_s)} s with {plural(int(flow.users), 'user')}"
            yield f"the number of users changed, up to {flow.most_users:,.0f}; the rate covers the longest steady time, {held}."
        if flow.users and flow.mean_s and ratios.exceeds_asked_concurrency(flow.all_per_s, flow.mean_s, flow.users):
            held = f"rate × mean time gives {number(one.in_flight)} requests in flight"
            yield f"{held}, but there were {number(flow.users)} users: one of these figures is wrong."
        yield from one.run.notes

    def sheets(self) -> list[Sheet]:
        """The tables: levels, sources of their rates, law."""
        return [self.main, self._rates(), law_sheet(self.law, "the number of workers, without levels whose load may not saturate")]

    @property
    def main(self) -> Sheet:
        """One row per level."""
        head = (
            "Workers",
            "Requests",
            "Failures",
            f"Rate ({self.unit})",
            "95 % interval",
            "Multiplier",
            "Efficiency",
            "95 % interval",
            "P50",
            "P95",
        )
        remark = f"Efficiency = (R_n ÷ R_1) ÷ (n ÷ n_1), R in {self.unit}; target above {percent(ratios.TARGET)}, below "
        remark += f"{percent(ratios.BOTTLENECK)}, look for a bottleneck. "
        remark += "P50, P95: whole run, rounded by Locust to two digits, including failures."
        return Sheet("Scaling", head, tuple(map(self._row, self.levels)), remark)

    def _row(self, one: WorkerLevel) -> tuple[str, ...]:
        to, flow, base = self.shares[one.workers], one.flow.per_s, one is self.base
        efficiency = f"none: {to.doubt}" if to.doubt else percent(to.efficiency.value)
        return (
            *(f"{one.workers}", f"{one.requests:,}", f"{one.failures:,}", number(flow.value), ends(flow)),
            *(number(to.multiplier.value, "×"), efficiency, NONE if base or to.doubt else ends(to.efficiency, share=True)),
            *(seconds(one.percentile_s(50)), seconds(one.percentile_s(95))),
        )

    def _rates(self) -> Sheet:
        rows = tuple(
            (
                f"{one.workers}",
                one_line(str(one.run.path), 120),
                one.flow.source,
                number(one.flow.users),
                number(one.in_flight),
                seconds(one.flow.mean_s),
            )
            for one in self.levels
        )
        head = ("Workers", "Prefix", "Rate from", "Users", "In flight", "Mean time")
        remark = "Each rate covers the longest time with a steady number of users, or all rows if the history has none. "
        remark += "In flight = requests/s × mean time, including failures."
        return Sheet("Sources of the rates", head, rows, remark)

    def for_programs(self) -> dict[str, Any]:
        """The content of scaling.json: rates per second, times in seconds, null if unknown."""
        rows = []
        for one in self.levels:
            to, flow = self.shares[one.workers], one.flow
            rows.append(
                {
                    **{"workers": one.workers, "requests": one.requests, "failures": one.failures, "rate": _plain(flow.per_s)},
                    **{"multiplier": _plain(to.multiplier), "efficiency": _plain(to.efficiency), "doubt": to.doubt},
                    **{"unjudged": to.unjudged, "source": flow.source},
                    **{"users": flow.users, "in_flight": one.in_flight, "mean_s": flow.mean_s},
                    **{"p50_s": one.percentile_s(50), "p95_s": one.percentile_s(95)},
                }
            )
        law = self.law
        fitted = (
            {"refused": law} if isinstance(law, str) else {"rate": _plain(law.rate), "sigma": _plain(law.sigma), "kappa": _plain(law.kappa)}
        )
        return {
            "format": FORMAT,
            "column": self.column,
            "per_worker": self.per_worker,
            "headline": self.headline,
            "levels": rows,
            "usl": fitted,
        }


def scaling(named: list[str], column: str = GOODPUT, per_worker: int | None = None) -> Scaling:
    """Reads the levels named like ``4=results/four``.

    Raises:
        RunError: an invalid name, a number or prefix named twice, fewer than two levels, or unreadable files.
    """
    pairs = sorted((_pair(text) for text in named), key=lambda pair: pair[0])
    for (n, path), (other, its) in pairwise(pairs):
        if n == other:
            raise RunError(f"{plural(n, 'worker')} named twice, {path} and {its}: name each number once, such as {EXAMPLE}")
    paths = [path.absolute() for _, path in pairs]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise RunError(f"{twice} is named for two numbers of workers: each needs its own prefix, such as {EXAMPLE}")
    if len(pairs) < 2:
        raise RunError(f"only one number of workers was named: scaling needs two or more, such as {EXAMPLE}")
    return Scaling(tuple(measured_level(n, _plainly(path), column) for n, path in pairs), column, per_worker)


def _pair(text: str) -> tuple[int, Path]:
    number_of, sign, prefix = text.partition("=")
    if not sign or not prefix or not (number_of.isascii() and number_of.isdigit()) or not 0 < int(number_of) <= 1_000_000:
        raise RunError(f"{one_line(text)!r} is not a number of workers with a prefix: write it like {EXAMPLE}")
    return int(number_of), Path(prefix)


def _plainly(path: Path) -> Any:
    run = load(path)
    if run.totals is None:
        raise RunError(f"{path} is a run directory: name the prefix of Locust's CSV files in it, {path / 'locust'}")
    return run


def _judged(of: Interval) -> str:
    value = of.value or 0.0
    marks = (ratios.TARGET, ratios.BOTTLENECK)
    place = "above the target" if value > marks[0] else "below the target" if value >= marks[1] else "look for a bottleneck: below"
    mark = marks[1] if value < marks[1] else marks[0]
    open_end = of.lower is None or of.upper is None or any(of.lower <= each < of.upper for each in marks)
    return f"{place} {'of ' if value >= marks[1] else ''}{percent(mark)}{', though uncertain' if open_end else ''}"


def _plain(of: Interval) -> dict[str, float | None]:
    return {"value": of.value, "lower": of.lower, "upper": of.upper}
