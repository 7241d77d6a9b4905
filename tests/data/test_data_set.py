"""Data sets: the same rows from every format, each request its row, and what cannot be used named by file and line."""

import base64
import json

import pytest

from coldburst.data.data_set import CHECKED_ROWS, DataSet
from coldburst.data.records import Records
from coldburst.data.row import DataError
from tests.support.locusts import ROOT

ROWS = [{"prompt": 'say "hi",\nor ü', "n": "1"}, {"prompt": "two", "n": "2"}, {"prompt": "", "n": "3"}]


def jsonl(path, rows=ROWS):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def parquet(path, rows=ROWS):
    """DuckDB's smallest row groups have 2,048 rows."""
    names = [[row[name] for row in rows] for name in ("prompt", "n")]
    query = f"COPY (SELECT unnest($1) AS prompt, unnest($2) AS n) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
    pytest.importorskip("duckdb").connect().execute(query, names)
    return path


CSV = 'prompt,n\n"say ""hi"",\nor ü",1\ntwo,2\n,3\n'
WRITTEN = {
    "rows.jsonl": jsonl,
    "blank.ndjson": lambda path: path.write_bytes(
        b"\xef\xbb\xbf\n" + b"\r\n\n".join(json.dumps(row).encode() for row in ROWS)  # a mark, empty lines, no end of line
    ),
    "rows.csv": lambda path: path.write_text(CSV, encoding="utf-8", newline=""),
    "marked.csv": lambda path: path.write_text(
        "\ufeff" + CSV.replace("\n", "\r\n").replace(",\r\nor", ",\nor"), encoding="utf-8", newline=""
    ),
    "semicolons.csv": lambda path: path.write_text('prompt;n\n"say ""hi"",\nor ü";1\ntwo;2\n;3', encoding="utf-8", newline=""),
    "rows.parquet": parquet,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_gives_the_same_rows_over_and_over(tmp_path, name):
    WRITTEN[name](tmp_path / name)
    data = DataSet(tmp_path / name)
    assert tuple(data.columns) == ("prompt", "n")
    assert [dict(data.row(seq)) for seq in range(7)] == [*ROWS, *ROWS, ROWS[0]]


def test_a_directory_has_its_files_by_name_and_what_is_said_in_them(tmp_path):
    for name in ("b.wav", "sub/a.wav", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "transcripts.csv").write_text("file,text\nb.wav,hello\n")
    data = DataSet(tmp_path)
    assert [dict(data.row(seq)) for seq in range(2)] == [
        {"path": "b.wav", "name": "b.wav", "text": "hello"},
        {"path": "sub/a.wav", "name": "a.wav", "text": ""},
    ]
    assert base64.b64decode(data.row(1)["file:path"]) == b"sub/a.wav"


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 1000])
def test_a_shuffled_pass_has_each_row_once_and_every_pass_its_own_order(tmp_path, count):
    path = jsonl(tmp_path / "rows.jsonl", [{"n": number} for number in range(count)])
    data, again, other = (DataSet(path, order="shuffle", seed=seed) for seed in (1, 1, 2))
    passes = [[data.row(seq)["n"] for seq in range(begin, begin + count)] for begin in (0, count)]
    assert all(sorted(order) == list(range(count)) for order in passes)
    assert passes[0] == [again.row(seq)["n"] for seq in range(count)]
    if count >= 16:
        assert len({tuple(order) for order in (*passes, range(count), [other.row(seq)["n"] for seq in range(count)])}) == 4


def test_values_are_computed_from_columns(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"\xff" * 4)
    row = DataSet(jsonl(tmp_path / "rows.jsonl", [{"f": "a.bin", "j": '{"a": [1]}', "k": 2, "w": 30, "v": "2"}])).row(0)
    assert (row["file:f"], row["json:j"], row["json:k"], row["row"]) == (b"/////w==", {"a": [1]}, 2, row.columns)
    assert len(row["words:w"].split()) == 30
    assert row["words:w"].startswith(row["words:v"])
    assert "seq" not in row
    assert row.size("file:f") >= 5


def test_synthetic_texts_are_the_same_for_a_row_and_differ_between_rows(tmp_path):
    path = jsonl(tmp_path / "rows.jsonl", [{"w": 50_000}, {"w": 50_000}])
    first, second = (DataSet(path).row(seq)["words:w"] for seq in range(2))
    assert first == DataSet(path).row(0)["words:w"]
    assert len(first.split()) == 50_000
    assert first.split()[:5] != second.split()[:5]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.jsonl", None, r"cannot read '.*none\.jsonl': No such file or directory; name a file of rows"),
        ("none", None, r"cannot read '.*none': no such file"),
        ("rows.xlsx", b"PK", r"'.*rows\.xlsx' does not end in \.jsonl, .*: rename it"),
        ("empty.jsonl", b"\n \n", r"'.*empty\.jsonl' has no rows: give it at least one$"),
        ("empty.csv", b"a,b\n", r"'.*empty\.csv' has no rows: give it at least one, below the names of its columns"),
        ("list.json", b'[{"a": 1}]', r"'.*list\.json', line 1: not an object, as in"),
        ("pretty.json", b'[\n {"a": 1}\n]', r"line 1: not JSON in UTF-8: .*one object a line is wanted: jq -c"),
        ("latin.jsonl", '{"a": "é"}'.encode("latin-1"), r"'.*latin\.jsonl', line 1: not JSON in UTF-8"),
        ("wide.csv", "a,b\n1,2\n".encode("utf-16"), r"'.*wide\.csv', line 1: not UTF-8: save the file as 'CSV UTF-8'"),
        ("twice.csv", b"a,b,a\n1,2,3\n", r"'.*twice\.csv', line 1: two columns are called 'a'"),
        ("fake.parquet", b"no", r"'.*fake\.parquet' is not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        DataSet(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "seq", "words"),
    [
        ("a.jsonl", b'{"a": 1}\n\n\n{"a": \n{"a": 1}\n', 1, r"a\.jsonl', line 4: not JSON in UTF-8"),
        ("a.jsonl", b'{"a": 1}\n[1]\n', 1, r"a\.jsonl', line 2: not an object"),
        ("a.csv", b'a,b\n"1\n\n",2\n1,2,3\n', 1, r"a\.csv', line 5: 3 cells, but the first line names 2 columns"),
        ("a.csv", b'a,b\n1,2\n1,"2" 3\n', 1, r"a\.csv', line 3: not CSV"),
        ("a.csv", b'a,b\n1,2\n1,"2\n3,4\n', 1, r"a\.csv', line 3: not CSV: unexpected end of data"),
        ("a.csv", "a,b\n1,2\n1,é\n".encode("latin-1"), 1, r"a\.csv', line 3: not UTF-8"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_line(tmp_path, name, content, seq, words):
    (tmp_path / name).write_bytes(content)
    data = DataSet(tmp_path / name)
    with pytest.raises(DataError, match=words):
        data.row(seq)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("x", r"line 1: no column 'x'"),
        ("file:n", r"line 1: column 'n' is '1', not a text"),
        ("file:f", r"line 1: cannot read 'gone\.wav', the file in column 'f': No such file"),
        ("file:empty", r"line 1: column 'empty' names no file"),
        ("json:f", r"line 1: column 'f' is 'gone\.wav', which is not JSON"),
        ("words:f", r"line 1: column 'f' is 'gone\.wav', not a number of words"),
        ("words:minus", r"line 1: column 'minus' is '-1', not a number of words"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_line_and_column(tmp_path, key, words):
    row = DataSet(jsonl(tmp_path / "rows.jsonl", [{"n": 1, "f": "gone.wav", "empty": "", "minus": -1}])).row(0)
    for look in (row.__getitem__, row.size):
        with pytest.raises(DataError, match=words):
            look(key)


def test_a_form_sends_only_files_beside_the_data(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out.txt").write_text("secret")
    path = jsonl(tmp_path / "in" / "rows.jsonl", [{"f": "../out.txt"}])
    assert DataSet(path).row(0)["file:f"] == base64.b64encode(b"secret")
    with pytest.raises(DataError, match=r"'\.\./out\.txt' in column 'f' is outside .*only files in it are sent from the web form"):
        DataSet(path, confined=True).row(0)["file:f"]


@pytest.mark.slow
def test_only_the_rows_that_a_run_sends_are_checked(tmp_path):
    path = jsonl(tmp_path / "rows.jsonl", [{"n": number} for number in range(30_000)])

    def seen_of(planned):
        seen, data = [], DataSet(path)
        data.check(planned, lambda row: seen.append(row["n"]) or 1)
        assert data.checked == len(seen)
        return seen

    assert seen_of(5) == [0, 1, 2, 3, 4]
    assert seen_of(None) == seen_of(10**6) == list(range(CHECKED_ROWS))
    few = DataSet(jsonl(tmp_path / "few.jsonl", [{"n": 1}, {"n": 2}]))
    few.check(100, lambda row: 0)
    assert (few.checked, few.about()["rows"]) == (2, 2)


def test_a_file_is_read_no_further_than_the_rows_that_are_needed(tmp_path):
    path = jsonl(tmp_path / "rows.jsonl", [{"n": number} for number in range(1000)])
    records = Records(path)
    assert (records.reach(5), records.known, records.complete) == (5, 5, False)
    assert json.loads(records.read(4)) == {"n": 4}
    assert (records.reach(2000), records.complete) == (1000, True)


def test_the_fingerprint_changes_with_the_file(tmp_path):
    path = jsonl(tmp_path / "rows.jsonl")
    before = DataSet(path).fingerprint()
    assert before == DataSet(path).fingerprint()
    jsonl(path, [*ROWS, {"prompt": "more"}])
    assert DataSet(path).fingerprint() != before
    assert DataSet(ROOT / "samples").fingerprint() == DataSet(ROOT / "samples").fingerprint()


MANY = [{"prompt": f"number {n}", "n": str(n)} for n in range(5000)]


@pytest.mark.slow
def test_a_parquet_file_of_several_groups_is_read_from_any_row_and_not_shuffled(tmp_path):
    several = parquet(tmp_path / "rows.parquet", MANY)
    data, far = DataSet(several), (0, 63, 64, 2047, 2048, 4095, 4096, 4999, 1)
    assert [data.row(seq)["n"] for seq in far] == [str(n) for n in far]
    assert data.row(5001)["n"] == "1"
    with pytest.raises(DataError, match=r"has 3 row groups and cannot be shuffled: use --data-order rows"):
        DataSet(several, order="shuffle")
    assert sorted(DataSet(parquet(tmp_path / "few.parquet"), order="shuffle").row(seq)["n"] for seq in range(3)) == ["1", "2", "3"]
