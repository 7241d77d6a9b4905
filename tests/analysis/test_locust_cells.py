"""Locust's files after a spreadsheet, a script or an old version wrote them: read where that is unambiguous, else refused by the cell."""

import codecs
import re
import shutil
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.runs import locust_csv
from analysis.runs.load import RunError, load
from tests.support.hostile import put, table

RUNS = Path(__file__).parents[1] / "runs"
REAL = RUNS / "locust-2.47"
REMEDY = "use the file as Locust wrote it, not as a spreadsheet saved it"


@pytest.fixture
def prefix(tmp_path):
    for path in REAL.glob("one_*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path / "one"


def part(prefix, name):
    return prefix.with_name(f"{prefix.name}_{name}.csv")


def german(path, *, decimal=",", separator=";", encoding="utf-8"):
    """The file as a spreadsheet in a country of decimal commas saves it."""
    rows = [[cell.replace(".", decimal) if re.fullmatch(r"\d+\.\d+", cell) else cell for cell in row] for row in table(path)]
    content = "".join(separator.join(f'"{cell}"' if separator in cell else cell for cell in row) + "\r\n" for row in rows)
    path.write_bytes((codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b"") + content.encode(encoding))


def known(prefix):
    run = load(prefix)
    return locust_csv.by_name(run.totals), locust_csv.history(run.totals), run.totals.failures["Occurrences"]


def replaced(prefix, name, row, column, cell):
    """Puts ``cell`` into a row of a file, counted as a spreadsheet does: the first line is 1."""
    rows = table(part(prefix, name))
    rows[row - 1][rows[0].index(column)] = cell
    put(part(prefix, name), rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "semicolons, decimal commas, 22 columns, 3 rows"),
        ({"decimal": "."}, "semicolons, 22 columns, 3 rows"),
        ({"separator": "\t", "encoding": "utf-16-le"}, "UTF-16, tabs, decimal commas, 22 columns, 3 rows"),
        ({"separator": ",", "decimal": ".", "encoding": "utf-16-le"}, "UTF-16, 22 columns, 3 rows"),
    ],
)
def test_what_is_unambiguous_is_read(prefix, written, said):
    before = known(prefix)
    for path in prefix.parent.glob("one_*.csv"):
        german(path, **written)
    for read, right in zip(known(prefix), before, strict=True):
        assert read.equals(right)
    assert f"Read one_stats.csv ({said}), one_stats_history.csv (" in load(prefix).notes[0]


def test_utf_16_without_its_mark_is_refused(prefix):
    path = part(prefix, "stats")
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16-le"))
    with pytest.raises(RunError, match="UTF-16 without a byte-order mark"):
        load(prefix)


@pytest.mark.parametrize(
    ("row", "column", "cell", "right"),
    [
        (3, "95%", "01.02.2024", "a number, such as 402.5"),
        (2, "Requests/s", "Mai 24", "a number, such as 402.5"),
        (2, "Average Response Time", "2024-05-10", "a number, such as 402.5"),
        (2, "Request Count", "4,800,000", None),
        (2, "Average Response Time", "1,234", None),
        (2, "Failure Count", "3.5", "a whole number, such as 120"),
        (2, "Max Response Time", "inf", "a number from 0 to 1e+15"),
    ],
)
def test_a_cell_that_is_no_number_is_named(prefix, row, column, cell, right, capsys):
    replaced(prefix, "stats", row, column, cell)
    assert main(["report", str(prefix)]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"one_stats.csv: {column!r} in row {row} " in said
    assert repr(cell) in said
    assert REMEDY in said
    assert right is None or f"should be {right}, but is" in said


@pytest.mark.parametrize(
    ("column", "cell", "why"),
    [
        ("Timestamp", "14.11.2023 22:13", "should be a number, such as 402.5, but is '14.11.2023 22:13'"),
        ("Timestamp", "1.7E+09", "is '1.7E+09', rounded to 100,000,000 seconds, so rows have no distinct times"),
        ("Total Request Count", "12. Mai", "should be a whole number, such as 120, but is '12. Mai'"),
        ("User Count", "acht", "should be a number, such as 402.5, but is 'acht'"),
    ],
)
def test_a_history_with_such_a_cell_is_left_out_and_told(prefix, column, cell, why):
    replaced(prefix, "stats_history", 9, column, cell)
    run = load(prefix)
    assert run.totals.history is None
    assert f"{part(prefix, 'stats_history')}: {column!r} in row 9 {why}; {REMEDY}; the file is ignored." in run.notes


def test_exponents_are_read_and_told_where_they_round(prefix):
    replaced(prefix, "stats", 2, "Average Response Time", "1.7E+03")
    replaced(prefix, "stats", 2, "Request Count", "1.2E+06")
    replaced(prefix, "stats", 3, "Request Count", "1.51E+02")
    run = load(prefix)
    row = locust_csv.by_name(run.totals).iloc[0]
    assert (row["mean_s"], row["requests"]) == (1.7, 1_200_000)
    assert [note for note in run.notes if "rounded to" in note] == [
        f"one_stats.csv: 'Request Count' in row 2 is '1.2E+06', rounded to 100,000; {REMEDY}."
    ]


@pytest.mark.parametrize("cell", ["", "N/A", "nan", "None", "-"])
def test_a_cell_that_says_nothing_is_none(prefix, cell):
    replaced(prefix, "stats", 2, "95%", cell)
    assert locust_csv.by_name(load(prefix).totals)["p95_s"].isna().to_list() == [True, False, False]


def test_rows_without_a_time_or_a_count_are_told(prefix):
    replaced(prefix, "stats_history", 9, "Timestamp", "")
    replaced(prefix, "failures", 2, "Occurrences", "")
    rows = len(table(part(prefix, "stats_history"))) - 1
    notes = load(prefix).notes
    assert f"one_stats_history.csv (24 columns, {rows:,} rows; left out: 1 of these rows, without a value for 'Timestamp')" in notes[0]
    assert "one_failures.csv (6 columns, 1 row; left out: 1 of these rows, without a value for 'Occurrences')" in notes[0]


def test_decimal_commas_between_commas_are_refused(prefix):
    path = part(prefix, "stats")
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], re.sub(r"\.(\d)", r",\1", lines[1], count=1), *lines[2:], ""]), encoding="utf-8")
    with pytest.raises(RunError, match="row 2 has 23 cells, but the first line names 22 columns; decimal commas cannot"):
        load(prefix)


def test_points_and_commas_in_one_file_are_refused(prefix):
    german(part(prefix, "stats"), decimal=".")
    path = part(prefix, "stats")
    path.write_text(re.sub(r"\.(\d+;)", r",\1", path.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    with pytest.raises(RunError, match=r"but there is also .*: its comma is ambiguous"):
        load(prefix)


@pytest.mark.slow
def test_empty_rows_of_a_spreadsheet_are_none(prefix):
    before = known(prefix)
    rows = table(part(prefix, "stats"))
    put(part(prefix, "stats"), [rows[0], [""] * len(rows[0]), *rows[1:], [""] * len(rows[0])])
    assert known(prefix)[0].equals(before[0])


def test_a_column_twice_is_refused(prefix):
    path = part(prefix, "stats")
    path.write_text(path.read_text(encoding="utf-8").replace("Median Response Time", "Request Count", 1), encoding="utf-8")
    with pytest.raises(RunError, match="names the column 'Request Count' twice"):
        load(prefix)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stats", "stats_history", "failures"])
def test_a_file_without_a_last_line_end_is_whole(prefix, name):
    before = known(prefix)
    path = part(prefix, name)
    path.write_bytes(path.read_bytes().rstrip(b"\r\n"))
    for read, right in zip(known(prefix), before, strict=True):
        assert read.equals(right)
    assert not any("torn" in note for note in load(prefix).notes)


def test_a_header_without_a_line_end_is_a_file_without_rows(prefix):
    for name in ("failures", "stats_history"):
        path = part(prefix, name)
        path.write_bytes(path.read_bytes().partition(b"\r\n")[0])
    run = load(prefix)
    assert len(run.totals.failures) == len(run.totals.history) == 0
    assert not any("empty" in note or "torn" in note for note in run.notes)


@pytest.mark.slow
def test_a_last_digit_or_a_quotation_that_is_missing_is_torn(prefix):
    path = part(prefix, "stats")
    whole = path.read_bytes()
    for cut in (whole.rstrip(b"\r\n")[:-1], whole.rstrip(b"\r\n") + b'\r\nGET,"/a\r\n'):
        path.write_bytes(cut)
        run = load(prefix)
        assert re.search(r"one_stats\.csv \(22 columns, \d rows?; left out: the torn last line with \d+ of 22 cells\)", run.notes[0])
