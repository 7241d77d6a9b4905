"""The rows of an attempts.csv, and their ledger counted anew."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from coldburst.lines import whole_lines
from coldburst.record.attempt import HEADER, Attempt, read_rows
from coldburst.record.ledger import Ledger


def read(path: Path) -> list[Attempt]:
    head, _, lines = whole_lines(path)[0].partition("\n")
    assert head == HEADER.strip(), f"{path}: {head}"
    return list(read_rows(lines))


def ledger(planned: int, attempts: Iterable[Attempt]) -> Ledger:
    last: dict[int, Attempt] = {}
    for row in attempts:
        if row.seq not in last or row.attempt >= last[row.seq].attempt:
            last[row.seq] = row
    return Ledger(planned, Counter(row.outcome for row in last.values()))
