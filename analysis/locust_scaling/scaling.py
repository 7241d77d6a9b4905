"""Several prefixes of Locust's CSV files, named by their number of endpoint workers: efficiency, law, and what they cannot tell."""

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
from ..text.number_format import NONE, number, percent, plural, seconds
from ..text.sheet import Sheet
from ..verdict.verdict import TOTALS, Verdict
from .worker_level import GOODPUT, IMPOSSIBLE, LevelShare, WorkerLevel, level_share, measured_level, mostly_failed, saturation_doubt

EXAMPLE = "1=results/one 2=results/two 4=results/four"
FORMAT = 1
FAILING = 0.05
"""Above this share of failures their fast or slow ends are in every figure."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """Levels by number of endpoint workers, the smallest first.

    Attributes:
        column: what the rate counts: goodput (answered ok) or throughput (failures too).
        per_worker: requests at a time that each endpoint worker takes, as the command line says; None where it does not.
    """

    levels: tuple[WorkerLevel, ...]
    column: str
    per_worker: int | None

    @property
    def base(self) -> WorkerLevel:
        """The level with the fewest workers, against which the others are held."""
        return self.levels[0]

    @property
    def unit(self) -> str:
        """The rate's unit."""
        return "ok/s" if self.column == GOODPUT else "requests/s"

    @cached_property
    def shares(self) -> dict[int, LevelShare]:
        """Each level against the smallest, by its number of workers."""
        return {one.workers: level_share(one, self.base, self.per_worker) for one in self.levels}

    @cached_property
    def law(self) -> Usl | str:
        """The Universal Scalability Law through the levels that nothing speaks against, or why there is none."""
        if any(to.impossible for to in self.shares.values()):
            return f"an efficiency above {percent(IMPOSSIBLE)} is impossible, and the law cannot tell which level is wrong"
        good = [one for one in self.levels if not saturation_doubt(one, self.per_worker) and not mostly_failed(one)]
        return usl.fit([float(one.workers) for one in good], [one.flow.per_s.value or 0.0 for one in good])

    @property
    def headline(self) -> str:
        """What it comes to, in a sentence, by the largest level."""
        last = self.levels[-1]
        to, many = self.shares[last.workers], plural(last.workers, "worker")
        if to.efficiency.value is None:
            return f"No scaling efficiency at {many}: {to.doubt or to.multiplier.basis}."
        ends = f" ({percent(to.efficiency.lower)} to {percent(to.efficiency.upper)})" if to.efficiency.lower is not None else ""
        said = f"{many}: {number(to.multiplier.value, '×')} the {self.column} of {self.base.workers}, scaling efficiency "
        said += f"{percent(to.efficiency.value)}{ends}, "
        said += f"without a verdict: {to.unjudged}" if to.unjudged else _judged(to.efficiency)
        tails = (last.percentile_s(95), self.base.percentile_s(95))
        return f"{said}; P95 {seconds(tails[0])} against {seconds(tails[1])}." if None not in tails else f"{said}."

    @property
    def verdict(self) -> Verdict:
        """Totals are never more than degraded."""
        reasons = (
            "These are Locust's totals only, without a row a request.",
            "The numbers of workers are the command line's: nothing proves them.",
        )
        return Verdict("degraded", reasons, tuple(self._notes()))

    def _notes(self) -> Iterator[str]:
        yield from (f"No efficiency at {plural(n, 'worker')}: {to.doubt}." for n, to in self.shares.items() if to.doubt)
        yield from (f"No verdict at {plural(n, 'worker')}: {to.unjudged}." for n, to in self.shares.items() if to.unjudged)
        if self.per_worker is None:
            yield "How many requests each worker takes at a time is not known: one is assumed to be the least (--per-worker says it)."
        yield "Locust's users send again only after an answer (closed loop): the rate cannot pass users ÷ response time."
        yield "The rate is over a window of each run's own: what changed between the runs is in the efficiency too."
        told: dict[str, list[str]] = {}
        for one in self.levels:
            for note in self._of_level(one):
                told.setdefault(note, []).append(str(one.workers))
        yield from (f"At {', '.join(at)} worker{'' if at == ['1'] else 's'}: {note}" for note, at in told.items())
        yield from TOTALS

    def _of_level(self, one: WorkerLevel) -> Iterator[str]:
        flow = one.flow
        if one.requests and one.failures / one.requests > FAILING:
            yield f"{percent(one.failures / one.requests)} of its requests failed, and their times are in every percentile."
        if flow.span_s is None:
            yield "the rate is Locust's own, from its start to the last request: the start-up of users lowers it."
        elif flow.users is None:
            yield "its history has no number of users: the rate is over all its rows, and the start-up of users lowers it."
        elif flow.most_users is not None and flow.most_users > flow.users:
            held = f"{number(flow.span_s)} s with {plural(int(flow.users), 'user')}"
            yield f"the number of users changed, up to {flow.most_users:,.0f}: the rate is over the longest time with one number, {held}."
        if flow.users and flow.mean_s and ratios.exceeds_asked_concurrency(flow.all_per_s, flow.mean_s, flow.users):
            held = f"{number(one.in_flight)} in flight by rate × mean time"
            yield f"{held}, and there were {number(flow.users)} users: one of these is wrong."
        yield from one.run.notes

    def sheets(self) -> list[Sheet]:
        """Every table: the levels, how their rates were found, the law."""
        return [self.main, self._rates(), _law(self.law)]

    @property
    def main(self) -> Sheet:
        """A row a level."""
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
        remark += f"{percent(ratios.BOTTLENECK)} look for a bottleneck. "
        remark += "P50, P95: of the whole run as Locust rounds them, to two digits, failures included."
        return Sheet("Scaling", head, tuple(map(self._row, self.levels)), remark)

    def _row(self, one: WorkerLevel) -> tuple[str, ...]:
        to, flow, base = self.shares[one.workers], one.flow.per_s, one is self.base
        efficiency = f"none: {to.doubt}" if to.doubt else percent(to.efficiency.value)
        return (
            *(f"{one.workers}", f"{one.requests:,}", f"{one.failures:,}", number(flow.value), _ends(flow)),
            *(number(to.multiplier.value, "×"), efficiency, NONE if base or to.doubt else _ends(to.efficiency, of_share=True)),
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
        remark = "The window is the longest time with one number of users; it begins, "
        remark += "where a history has no number of users, with its first row. "
        remark += "In flight = requests/s × mean time, failures included."
        return Sheet("How each rate was found", head, rows, remark)

    def for_programs(self) -> dict[str, Any]:
        """The content of scaling.json: rates per second, times in seconds, what is not known null."""
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
    """The levels that ``named`` (``4=results/four``) name, read.

    Raises:
        RunError: a name that is none, a number or a prefix named twice, fewer than two, or files that cannot be read.
    """
    pairs = sorted((_pair(text) for text in named), key=lambda pair: pair[0])
    for (n, path), (other, its) in pairwise(pairs):
        if n == other:
            raise RunError(f"{plural(n, 'worker')} named twice, {path} and {its}: name each number once, as in {EXAMPLE}")
    paths = [path.absolute() for _, path in pairs]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise RunError(f"{twice} is named for two numbers of workers: each needs a prefix of its own, as in {EXAMPLE}")
    if len(pairs) < 2:
        raise RunError(f"one number of workers was named: scaling takes two or more, as in {EXAMPLE}")
    return Scaling(tuple(measured_level(n, _plainly(path), column) for n, path in pairs), column, per_worker)


def _pair(text: str) -> tuple[int, Path]:
    number_of, sign, prefix = text.partition("=")
    if not sign or not prefix or not (number_of.isascii() and number_of.isdigit()) or not 0 < int(number_of) <= 1_000_000:
        raise RunError(f"{one_line(text)!r} is no number of endpoint workers with a prefix: write it as in {EXAMPLE}")
    return int(number_of), Path(prefix)


def _plainly(path: Path) -> Any:
    run = load(path)
    if run.totals is None:
        raise RunError(f"{path} is a run directory: name the prefix of Locust's CSV files in it, {path / 'locust'}")
    return run


def _judged(of: Interval) -> str:
    """Where an efficiency stands to the two marks, and whether its interval leaves that open."""
    value = of.value or 0.0
    marks = (ratios.TARGET, ratios.BOTTLENECK)
    place = "above the target" if value > marks[0] else "below the target" if value >= marks[1] else "look for a bottleneck: below"
    mark = marks[1] if value < marks[1] else marks[0]
    open_end = of.lower is None or of.upper is None or any(of.lower <= each < of.upper for each in marks)
    return f"{place} {'of ' if value >= marks[1] else ''}{percent(mark)}{', which is not sure' if open_end else ''}"


def _ends(of: Interval, *, of_share: bool = False) -> str:
    say = percent if of_share else number
    return of.basis if of.lower is None else f"{say(of.lower)} to {say(of.upper)}"


def _law(law: Usl | str) -> Sheet:
    title, head, form = "Universal Scalability Law", ("", "Value", "95 % interval", "Meaning"), "X(N) = λN ÷ (1 + σ(N − 1) + κN(N − 1))"
    if isinstance(law, str):
        return Sheet(title, head, (("no fit", NONE, NONE, law),), f"{form}.", aside=True)
    meanings = (("λ", law.rate, "rate at N = 1"), ("σ", law.sigma, "contention"), ("κ", law.kappa, "coherency"), ("N*", law.peak, "peak"))
    rows = tuple(
        (name, number(of.value) if name != "N*" or not law.peak_note else NONE, _ends(of) if name != "N*" or not law.peak_note else NONE,
         law.peak_note or meaning if name == "N*" else meaning)
        for name, of, meaning in meanings
    )  # fmt: skip
    remark = f"{form}, N the workers named; levels whose load may not saturate left out; R² = {law.r_squared:.3f}."
    return Sheet(title, head, rows, remark, aside=True)


def _plain(of: Interval) -> dict[str, float | None]:
    return {"value": of.value, "lower": of.lower, "upper": of.upper}
