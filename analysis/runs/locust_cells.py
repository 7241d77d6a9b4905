"""Reads one of Locust's CSV files into a table, numbers as numbers, also where a spreadsheet has saved it again.

What is unambiguous is read: UTF-16 with its byte-order mark, semicolons or tabs between cells, decimal commas, exponents. A cell
that may be read in two ways, or in none, is a sentence that names file, column, row and remedy; none is dropped without a note.

Locust 1.0 and before write no end to the last line, so a last line is torn only where cells are missing.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from coldburst.lines import one_line

from .csv_columns import MOST, csv_cells

COUNTS = ("Request Count", "Failure Count")
WHOLE = (*COUNTS, "Occurrences", "Count", "Total Request Count", "Total Failure Count")
"""Columns of whole numbers."""
TEXTS = ("Type", "Name", "Error", "First Seen", "Last Seen", "Message", "Traceback", "Nodes")
NUMBERS = (*WHOLE, "Timestamp", "User Count", "Requests/s", "Failures/s", "Average Content Size", "Total Average Content Size")
"""Columns of numbers, besides the percentiles and those that end in TIMES."""
TIMES = "Response Time"
NOTHING = ("", "N/A", "NA", "nan", "NaN", "None", "null", "-")
"""What stands where Locust, pandas or a spreadsheet has no value."""
REMEDY = "use the file as Locust wrote it, not as a spreadsheet saved it"
_ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be", codecs.BOM_UTF8: "utf-8"}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_THREE_PLACES = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_EXPONENT = re.compile(r"\d+(?:[.,](\d*))?[eE]\+?(\d+)")


@dataclass(frozen=True)
class CsvText:
    """The text of a CSV file, and how it is written."""

    path: Path
    text: str
    encoding: str
    separator: str


def read_table(path: Path, names: Mapping[str, str], notes: list[str]) -> pd.DataFrame:
    """The rows of a file under its own names of the columns; ``names`` are those of today. Notes say what is unusual.

    Raises:
        ValueError: the file cannot be used; the message is one sentence.
        OSError: it cannot be read.
    """
    file = _text(path)
    table = _whole_rows(file, names, notes)
    commas = _decimal_commas(file, table, names)
    for name in table.columns:
        today = names.get(name, name)
        if _is_number(today):
            numbers = _numbers(path, str(name), table[name], commas=commas, whole=today in WHOLE)
            notes += _rounded(path, str(name), table[name], numbers) if today in WHOLE or today == "Timestamp" else []
            table[name] = numbers
        else:
            # of a column that is empty too
            table[name] = table[name].map(one_line, na_action="ignore").astype("str")
    unusual = [f"in {file.encoding.upper()[:6]}"] if file.encoding != "utf-8" else []
    unusual += [f"separated by {_SEPARATORS[file.separator]}"] if file.separator != "," else []
    unusual += ["with decimal commas"] if commas else []
    if unusual:
        notes.append(f"{path.name} was read as a file {', '.join(unusual)}: {len(table.columns)} columns, {len(table)} rows.")
    return table


def _is_number(name: str) -> bool:
    return name in NUMBERS or name.endswith((TIMES, "%"))


def _text(path: Path) -> CsvText:
    content = path.read_bytes()
    mark = next((mark for mark in _ENCODINGS if content.startswith(mark)), b"")
    encoding = _ENCODINGS.get(mark, "utf-8")
    if not mark and content[:2].count(0) == 1:
        raise ValueError(f"{path} looks like UTF-16 without a byte-order mark, which cannot be told for sure: save it as UTF-8")
    text = content[len(mark) :].decode(encoding, errors="replace")
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    return CsvText(path, text, encoding, separator)


def _whole_rows(file: CsvText, names: Mapping[str, str], notes: list[str]) -> pd.DataFrame:
    """The rows as texts, indexed by their place in the file from 2 on; a torn last one is left out and told."""
    path = file.path
    try:
        cells = list(csv_cells(file.text, file.separator))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    rows = [(place, row) for place, row in enumerate(cells, start=1) if any(map(str.strip, row))]
    if not rows:
        raise ValueError(f"{path} is empty: the run was cut before Locust wrote to it")
    head = [name.strip() for name in rows.pop(0)[1]]
    today = [names.get(name, name) for name in head]
    twice = next((name for name in today if today.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path} names the column {one_line(twice, 40)!r} twice: {REMEDY}")
    if rows and _is_torn(file, head, rows[-1][1]):
        told = f"{len(rows.pop()[1])} of {len(head)} cells are there"
        notes.append(f"{path.name}: the last line was torn off while it was written ({told}) and is left out.")
    odd = next(((place, row) for place, row in rows if len(row) != len(head)), None)
    if odd is not None:
        more = "; decimal commas between commas cannot be told from separators" if len(odd[1]) > len(head) else ""
        raise ValueError(
            f"{path} cannot be read: row {odd[0]} has {len(odd[1])} cells, and the first line names {len(head)}{more}: {REMEDY}"
        )
    table = pd.DataFrame([row for _, row in rows], index=[place for place, _ in rows], columns=pd.Index(head), dtype="str")
    return table.mask(table.isin(NOTHING[:2]))


def _is_torn(file: CsvText, head: list[str], last: list[str]) -> bool:
    """Whether the last row was cut: within a quotation, before its last cell, or within it."""
    if file.text.endswith(("\n", "\r")):
        return last[-1].endswith(("\n", "\r"))
    if len(last) < len(head) or file.text.count('"') % 2:
        return True
    # a percentile that lost a digit is below the one before it
    return len(last) == len(head) and head[-1].endswith("%") and last[-1] != "N/A" and not _size(last[-2]) <= _size(last[-1])


def _size(cell: str) -> float:
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        return math.nan


def _decimal_commas(file: CsvText, table: pd.DataFrame, names: Mapping[str, str]) -> bool:
    """Whether numbers are written with decimal commas.

    Raises:
        ValueError: a comma or a point may stand between thousands.
    """
    points: list[tuple[str, Hashable, str]] = []
    commas: list[tuple[str, Hashable, str]] = []
    for name in (name for name in table.columns if _is_number(names.get(name, name))):
        column = table[name].dropna().str.strip()
        commas += [(name, place, cell) for place, cell in column[column.str.contains(",", regex=False)].items()]
        points += [(name, place, cell) for place, cell in column[column.str.contains(".", regex=False)].items()]
    if not commas:
        return False
    doubtful = commas if points else [each for each in commas if file.separator == "," and _THREE_PLACES.fullmatch(each[2])]
    if doubtful:
        name, place, cell = doubtful[0]
        why = f"and {points[0][2]!r} is there too" if points else "which may be thousands"
        raise ValueError(
            f"{file.path}: {name!r} in row {place} is {one_line(cell, 30)!r}, {why}: its comma can be read in two ways; {REMEDY}"
        )
    return True


def _numbers(path: Path, name: str, texts: pd.Series[str], *, commas: bool, whole: bool) -> pd.Series[float]:
    """A column as numbers, NaN where it says nothing; Locust writes none below 0."""
    plain = texts.str.strip()
    plain = plain.mask(plain.isin(NOTHING))
    if commas:
        decimal = plain.str.fullmatch(_DECIMAL_COMMA.pattern).fillna(False).astype(bool)
        plain = plain.mask(decimal, plain.str.replace(",", ".", regex=False))
    read = pd.to_numeric(plain, errors="coerce").astype("float64")
    fault = plain.notna() & read.isna()
    right = "a number, as in 402.5"
    if whole:
        fault |= read.notna() & ~(read.between(0, MOST) & read.mod(1).eq(0))
        right = "a whole number, as in 120"
    elif not fault.any():
        fault = (read < 0) | (read > MOST)
        right = f"a number from 0 to {MOST:g}"
    if fault.any():
        first = int(fault.argmax())
        place, cell = texts.index[first], one_line(str(texts.iloc[first]), 30)
        raise ValueError(f"{path}: {name!r} in row {place} should be {right}, and is {cell!r}; {REMEDY}")
    return read


def _rounded(path: Path, name: str, texts: pd.Series[str], numbers: pd.Series[float]) -> list[str]:
    """A note where a count or an instant is written with an exponent and fewer digits than it has.

    Raises:
        ValueError: instants are so far rounded that they cannot be told apart.
    """
    for place, cell in texts[texts.str.contains("e", case=False, regex=False).fillna(False)].items():
        found = _EXPONENT.fullmatch(cell.strip())
        step = int(found[2]) - len(found[1] or "") if found else 0
        if step <= 0:
            continue
        said = f"{name!r} in row {place} is {one_line(cell, 30)!r}, rounded to {10**step:,}"
        if name == "Timestamp":
            raise ValueError(f"{path}: {said} seconds, so rows cannot be told apart; {REMEDY}")
        return [f"{path.name}: {said}; {REMEDY}."]
    return []
