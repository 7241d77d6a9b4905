"""Reads one of Locust's CSV files into a table, even if a spreadsheet has saved it again.

UTF-16 with a byte-order mark, semicolons or tabs as separators, decimal commas and exponents are read. A cell that is ambiguous or
not a number is refused with file, column, row and remedy; nothing is left out without a note.

Locust 1.0 and older write no line end after the last line, so a last line counts as torn only if cells are missing.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from coldburst.lines import one_line

from .csv_cells import MOST, csv_cells

COUNTS = ("Request Count", "Failure Count")
# Columns of whole numbers.
WHOLE = (*COUNTS, "Occurrences", "Count", "Total Request Count", "Total Failure Count")
TEXTS = ("Type", "Name", "Error", "First Seen", "Last Seen", "Message", "Traceback", "Nodes")
# Columns of numbers, besides percentiles and columns that end in TIMES.
NUMBERS = (*WHOLE, "Timestamp", "User Count", "Requests/s", "Failures/s", "Average Content Size", "Total Average Content Size")
TIMES = "Response Time"
# How Locust, pandas and spreadsheets write a missing value.
NOTHING = ("", "N/A", "NA", "nan", "NaN", "None", "null", "-")
REMEDY = "use the file as Locust wrote it, not as a spreadsheet saved it"
_ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be", codecs.BOM_UTF8: "utf-8"}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_THREE_PLACES = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_EXPONENT = re.compile(r"\d+(?:[.,](\d*))?[eE]\+?(\d+)")


@dataclass(frozen=True)
class CsvText:
    """The text of a CSV file, with its encoding and separator."""

    path: Path
    text: str
    encoding: str
    separator: str


@dataclass
class LocustFile:
    """A file as it was read: its rows, its unusual form, and what was left out."""

    path: Path
    rows: pd.DataFrame
    form: list[str]
    left_out: list[str]

    @property
    def summary(self) -> str:
        """``one_stats.csv (22 columns, 3 rows)``, with form and losses if there are any."""
        parts = [*self.form, f"{len(self.rows.columns)} columns", f"{len(self.rows):,} row{'' if len(self.rows) == 1 else 's'}"]
        lost = f"; left out: {' and '.join(self.left_out)}" if self.left_out else ""
        return f"{self.path.name} ({', '.join(parts)}{lost})"


def read_file(path: Path, names: Mapping[str, str], notes: list[str]) -> LocustFile:
    """Reads a file with its own column names; ``names`` maps older names to those of Locust 2.47. Doubtful values go to ``notes``.

    Raises:
        ValueError: the file cannot be used; the message is one sentence.
        OSError: it cannot be read.
    """
    file = _text(path)
    table, left_out = _whole_rows(file, names)
    commas = _decimal_commas(file, table, names)
    for name in table.columns:
        today = names.get(name, name)
        if _is_number(today):
            numbers = _numbers(path, str(name), table[name], commas=commas, whole=today in WHOLE)
            notes += _rounded(path, str(name), table[name], numbers) if today in WHOLE or today == "Timestamp" else []
            table[name] = numbers
        else:
            table[name] = table[name].map(one_line, na_action="ignore").astype("str")
    form = [file.encoding.upper()[:6]] if file.encoding != "utf-8" else []
    form += [_SEPARATORS[file.separator]] if file.separator != "," else []
    form += ["decimal commas"] if commas else []
    return LocustFile(path, table, form, left_out)


def _is_number(name: str) -> bool:
    return name in NUMBERS or name.endswith((TIMES, "%"))


def _text(path: Path) -> CsvText:
    content = path.read_bytes()
    mark = next((mark for mark in _ENCODINGS if content.startswith(mark)), b"")
    encoding = _ENCODINGS.get(mark, "utf-8")
    if not mark and content[:2].count(0) == 1:
        raise ValueError(f"{path} looks like UTF-16 without a byte-order mark, which is ambiguous: save it as UTF-8")
    text = content[len(mark) :].decode(encoding, errors="replace")
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    return CsvText(path, text, encoding, separator)


def _whole_rows(file: CsvText, names: Mapping[str, str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows as texts, indexed by their line in the file from 2 on, and what was left out."""
    path = file.path
    try:
        cells = list(csv_cells(io.StringIO(file.text, newline=""), file.separator))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    rows = [(place, row) for place, row in enumerate(cells, start=1) if any(map(str.strip, row))]
    if not rows:
        raise ValueError(f"{path} is empty: the run was killed before Locust wrote to it")
    head = [name.strip() for name in rows.pop(0)[1]]
    today = [names.get(name, name) for name in head]
    twice = next((name for name in today if today.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} names the column {one_line(twice, 40)!r} twice: {REMEDY}")
    torn = bool(rows) and _is_torn(file, head, rows[-1][1])
    left_out = [f"the torn last line with {len(rows.pop()[1])} of {len(head)} cells"] if torn else []
    odd = next(((place, row) for place, row in rows if len(row) != len(head)), None)
    if odd is not None:
        more = "; decimal commas cannot be told from separating commas" if len(odd[1]) > len(head) else ""
        raise ValueError(
            f"{path} cannot be read: row {odd[0]} has {len(odd[1])} cells, but the first line names {len(head)} columns{more}: {REMEDY}"
        )
    table = pd.DataFrame([row for _, row in rows], index=[place for place, _ in rows], columns=pd.Index(head), dtype="str")
    return table.mask(table.isin(NOTHING[:2])), left_out


def _is_torn(file: CsvText, head: list[str], last: list[str]) -> bool:
    """Whether the last row is incomplete: in a quotation, before its last cell, or in it."""
    if file.text.endswith(("\n", "\r")):
        return last[-1].endswith(("\n", "\r"))
    if len(last) < len(head) or file.text.count('"') % 2:
        return True
    # A percentile that lost a digit is smaller than the one before it.
    return len(last) == len(head) and head[-1].endswith("%") and last[-1] != "N/A" and not _size(last[-2]) <= _size(last[-1])


def _size(cell: str) -> float:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return math.nan


def _decimal_commas(file: CsvText, table: pd.DataFrame, names: Mapping[str, str]) -> bool:
    """Whether numbers have decimal commas; raises ValueError if a comma or point may separate thousands."""
    numbers = [name for name in table.columns if _is_number(names.get(name, name))]

    def with_mark(mark: str) -> list[tuple[str, Hashable, str]]:
        cells = ((name, place, cell) for name in numbers for place, cell in table[name].dropna().items())
        return [(name, place, cell.strip()) for name, place, cell in cells if mark in cell]

    commas = with_mark(",")
    if not commas:
        return False
    points = with_mark(".")
    doubtful = commas if points else [each for each in commas if file.separator == "," and _THREE_PLACES.fullmatch(each[2])]
    if doubtful:
        name, place, cell = doubtful[0]
        why = f"but there is also {points[0][2]!r}" if points else "which may be thousands"
        raise ValueError(f"{file.path}: {name!r} in row {place} is {one_line(cell, 30)!r}, {why}: its comma is ambiguous; {REMEDY}")
    return True


def _numbers(path: Path, name: str, texts: pd.Series[str], *, commas: bool, whole: bool) -> pd.Series[float]:
    read = pd.to_numeric(texts, errors="coerce").astype("float64")
    # The usual file, without the cost of looking at each text.
    if (texts.isna() | (read.between(0, MOST) & (read.mod(1).eq(0) if whole else True))).all():
        return read
    plain = texts.str.strip()
    plain = plain.mask(plain.isin(NOTHING))
    if commas:
        decimal = plain.str.fullmatch(_DECIMAL_COMMA.pattern).fillna(False).astype(bool)
        plain = plain.mask(decimal, plain.str.replace(",", ".", regex=False))
    read = pd.to_numeric(plain, errors="coerce").astype("float64")
    fault = plain.notna() & read.isna()
    right = "a number, such as 402.5"
    if whole:
        fault |= read.notna() & ~(read.between(0, MOST) & read.mod(1).eq(0))
        right = "a whole number, such as 120"
    elif not fault.any():
        fault = (read < 0) | (read > MOST)
        right = f"a number from 0 to {MOST:g}"
    if fault.any():
        first = int(fault.argmax())
        place, cell = texts.index[first], one_line(str(texts.iloc[first]), 30)
        raise ValueError(f"{path}: {name!r} in row {place} should be {right}, but is {cell!r}; {REMEDY}")
    return read


def _rounded(path: Path, name: str, texts: pd.Series[str], numbers: pd.Series[float]) -> list[str]:
    """A note if an exponent hides digits of a count; raises ValueError if it makes times of rows equal."""
    for place, cell in texts[texts.str.contains("e", case=False, regex=False).fillna(False)].items():
        found = _EXPONENT.fullmatch(cell.strip())
        step = int(found[2]) - len(found[1] or "") if found else 0
        if step <= 0:
            continue
        said = f"{name!r} in row {place} is {one_line(cell, 30)!r}, rounded to {10**step:,}"
        if name == "Timestamp":
            raise ValueError(f"{path}: {said} seconds, so rows have no distinct times; {REMEDY}")
        return [f"{path.name}: {said}; {REMEDY}."]
    return []
