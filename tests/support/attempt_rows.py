"""The rows of an attempts.csv, and their ledger counted anew."""

import csv
import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from coldburst.lines import whole_lines
from coldburst.record.attempt import COLUMNS, Attempt, value
from coldburst.record.ledger import Ledger


def read(path: Path) -> list[Attempt]:
    """The rows in whole lines; files of earlier versions have fewer columns."""
    rows = csv.DictReader(io.StringIO(whole_lines(path)[0], newline=""))
    return [Attempt(**{column.name: value(column, row[column.name]) for column in COLUMNS if column.name in row}) for row in rows]


def ledger(planned: int, attempts: Iterable[Attempt]) -> Ledger:
    last: dict[int, Attempt] = {}
    for row in attempts:
        if row.seq not in last or row.attempt >= last[row.seq].attempt:
            last[row.seq] = row
    return Ledger(planned, Counter(row.outcome for row in last.values()))
