"""What a part of the bench finds, as rows: the figures of its rounds, their median and spread, the limit, and the verdict.

A part is a module of this package with ``rows(quick)``, which yields its rows as they are found, and a line in bench/__main__.py. Its own
command is ``main(rows, __doc__)``: it prints the rows and returns 1 if a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RATIO = "×"
OK, MISSED = "ok", "MISSED"


@dataclass(frozen=True)
class Row:
    """One figure with the values of its rounds.

    Attributes:
        name: what is measured; unique within the part.
        values: one per round.
        unit: ``× PEER`` for a ratio to a peer in the same rounds, otherwise a unit such as ``ms``.
        limit: the most that the median may be, or the least if ``at_least``; None if the figure is only shown.
        not_judged: why the limit cannot be judged on this machine, or why there are no values, such as ``wrk is not installed``.
    """

    name: str
    values: tuple[float, ...]
    unit: str
    limit: float | None = None
    at_least: bool = False
    not_judged: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def missed(self) -> bool:
        if self.limit is None or self.not_judged:
            return False
        return self.median < self.limit if self.at_least else self.median > self.limit

    @property
    def is_ratio(self) -> bool:
        return self.unit.startswith(RATIO) and bool(self.values)

    @property
    def cells(self) -> tuple[str, str, str, str, str, str]:
        """Name, median, lowest and highest, unit, limit, verdict."""
        spread = f"{figure(min(self.values))}–{figure(max(self.values))}" if len(self.values) > 1 else ""
        limit = "" if self.limit is None else f"{'≥' if self.at_least else '≤'} {figure(self.limit)}"
        verdict = f"not judged here: {self.not_judged}" if self.not_judged else MISSED if self.missed else OK if limit else ""
        return self.name, figure(self.median) if self.values else "", spread, self.unit, limit, verdict


def figure(value: float) -> str:
    """Three digits, or all of a larger whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def from_json(content: dict[str, Any]) -> Row:
    return Row(**{**content, "values": tuple(content["values"])})


def printed(rows: Iterable[Row]) -> Iterator[Row]:
    """Passes the rows on, each after a line for it."""
    for row in rows:
        name, median, spread, unit, limit, verdict = row.cells
        print(f"  {name:52}{median:>9} {unit:24}{spread:>15}{limit:>9}  {verdict}".rstrip(), flush=True)
        yield row


def main(rows: Callable[[bool], Iterable[Row]], about: str | None) -> int:
    """The command of one part."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows here")
    asked = parser.parse_args()
    found = list(printed(rows(asked.quick)))
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in found]), encoding="utf-8")
    return int(any(row.missed for row in found))
