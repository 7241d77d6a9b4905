"""Hostile runs, and what every command of ``analysis`` owes them: what was asked for, or one clear sentence; never a traceback."""

import csv
import json
import math
import shutil
import warnings
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from jsonschema import Draft202012Validator

from analysis.__main__ import main
from analysis.figures import card_picture, plot_files
from analysis.figures.style import Plot
from analysis.text import sheet

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "tests" / "runs"
CHECK = Draft202012Validator(json.loads((ROOT / "analysis" / "metrics.schema.json").read_text(encoding="utf-8")))
CODES = {"gate": (0, 2, 3, 4, 5, 6)}
"""Exit codes of commands that have more than 0 and 2."""
PLACES = {
    "attempts.csv": ("stage", "worker_id", "job_id", "generator", "error"),
    "events.csv": ("stage", "worker_id", "detail", "generator", "cause"),
    "generator.csv": ("generator",),
    "endpoint.csv": ("error",),
    "stages.csv": ("why",),
}
"""Columns that hold any text."""
SENTENCE = 1200
"""Characters: what is longer is no sentence."""
HTML = "<img src=x onerror=alert(1)>"
SVG = "</text></svg><script>alert(2)</script>"
STYLE = "</style></title><script>alert(3)</script>"
FORMULAS = ("=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\r=1")
TEXTS = (
    HTML,
    SVG,
    STYLE,
    "\"><script>alert(4)</script>'",
    "javascript:alert(5) {{ 7*7 }} {% raw %} ${x} $\\frac{1}{0}$ $x_",
    "| a | b | `c` **d** [e](http://x) ![f](http://y) <details>",
    *FORMULAS,
    "two\nlines\r\nand \x00 \x1b[31m \x07 \u2028 \x85",
    "עברית عربى देवनागरी",
    "🔥👩\u200d🚀 漢字 \u202eabc\u202c \ufeff \U000e0041 \uffff a\u0301",
    "\ud800 half a pair \udfff",
    "x" * 3000,
    "",
    " ",
    ",",
    '"',
    "nan",
)
NUMBERS = ("nan", "NaN", "inf", "-inf", "-1", "-0.0", "1e308", "-1e308", "1e-320", "1e999", "9223372036854775807", "9223372036854775808",
           "2147483648", "-9223372036854775808", "1e20", "0x10", "1_000", "١", "1.5", "true", "", "0", "1e3")  # fmt: skip
VALUES = (None, True, False, 0, -1, 2**31, 2**63, 10**30, 10**400, 1.5, -0.0, 1e308, math.nan, math.inf, -math.inf, "", [], {}, [[]],
          [None], ["a", 1], {"": {}}, {"a": None}, {"ok": -1}, {"ok": "many"}, [{"name": "burst"}], *TEXTS)  # fmt: skip


def slowly(cases: Iterable[object], fast: int = 1) -> list[object]:
    """Parameters of which only the first belong to every test run; the others are nightly."""
    made = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*case, marks=[] if place < fast else [pytest.mark.nightly], id=_id(case)) for place, case in enumerate(made)]


def _id(case: tuple[object, ...]) -> str:
    return " ".join(ascii(part)[:24] for part in case)


def copied(source: Path, to: Path) -> Path:
    """A golden run, copied without what a report may have left in it."""
    shutil.copytree(source, to, ignore=shutil.ignore_patterns("report", "*_report", "compare-*"))
    return to


def about(run: Path) -> dict:
    """A run's run.json."""
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


def say(run: Path, content: object) -> None:
    """Writes run.json."""
    (run / "run.json").write_text(json.dumps(content), encoding="utf-8")


def table(path: Path) -> list[list[str]]:
    """The rows of a CSV file, however long a cell is."""
    before = csv.field_size_limit(1 << 28)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    finally:
        csv.field_size_limit(before)


def put(path: Path, rows: list[list[str]]) -> None:
    """Writes a CSV file, lone surrogates as bytes that are no UTF-8; a line end of two keeps both of them within quotation marks."""
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows(rows)


def filled(path: Path, **columns: object) -> None:
    """Sets whole columns of a CSV file: one text for all rows, or a list of texts dealt row by row."""
    head, *rows = table(path)
    for name, texts in columns.items():
        place = head.index(name)
        dealt = [texts] if isinstance(texts, str) else list(texts)
        for number, row in enumerate(rows):
            row[place] = dealt[number % len(dealt)]
    put(path, [head, *rows])


def planted(run: Path, texts: Sequence[str] = TEXTS) -> Path:
    """``run`` with hostile texts in every place of it that takes one."""
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    for file, names in PLACES.items():
        if (run / file).is_file():
            there = table(run / file)[0]
            filled(run / file, **{name: texts for name in names if name in there})
    said = about(run)
    told = {"state": "ended", "ended_by": SVG, "commit": STYLE, **dict.fromkeys(("id", "question", "schedule", "started"), HTML)}
    stages = [{"name": text, "planned": 2, "duration_s": None, "closed": False} for text in TEXTS]
    say(
        run,
        said | told | {"stages": stages, HTML: SVG, "options": {SVG: list(TEXTS)}, "objectives": [{"that": HTML}, {"that": "p95 < 2 s"}]},
    )
    return run


def held(capsys, *arguments: object) -> tuple[int, str, str]:
    """Runs one command here, without a warning; its exit code, stdout and stderr, which are either of the two that it owes.

    Nothing that it prints may move the cursor of a terminal, or fill it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert code in CODES.get(str(arguments[0]), (0, 2))
    assert all(char.isprintable() or char == "\n" for char in out + err), repr(out + err)[:2000]
    if code == 2:
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("analysis: ") and len(err) < SENTENCE
    else:
        assert err == ""
    return code, out, err


def reported(capsys, run: Path, folder: Path) -> tuple[int, str]:
    """``report`` of a run: its exit code, and what it said; what it wrote holds what such files must hold."""
    code, out, err = held(capsys, "report", run, "--out", folder)
    if code == 0:
        measured((folder / "metrics.json").read_text(encoding="utf-8"))
        written(folder)
    return code, out or err


def scaled(capsys, one: Path, two: Path, folder: Path) -> int:
    """``scaling`` of two prefixes; its exit code, and what it wrote is held to the same."""
    code, _, _ = held(capsys, "scaling", f"1={one}", f"2={two}", "--out", folder)
    if code == 0:
        written(folder)
        json.loads((folder / "scaling.json").read_text(encoding="utf-8"), parse_constant=_no_json)
    return code


def measured(text: str) -> dict:
    """metrics.json as other programs read it: no NaN, as its schema says, its ledger balanced or with what is missing."""
    found = json.loads(text, parse_constant=_no_json)
    wrong = [f"{error.json_path}: {error.message}"[:300] for error in CHECK.iter_errors(found)]
    assert wrong == []
    if "ledger" in found:
        book = found["ledger"]
        assert sum(book["counts"].values()) + book["missing"] == book["planned"]
        assert book["balanced"] == (book["missing"] == 0)
    return found


def _no_json(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def written(folder: Path) -> None:
    """No page or Markdown holds a script, and no CSV file a formula."""
    for path in (*folder.glob("*.html"), *folder.glob("*.md")):
        text = path.read_text(encoding="utf-8").lower()
        assert "<script" not in text and "<img" not in text, path.name
        assert "\x00" not in text and "\x1b" not in text, path.name
    for path in folder.rglob("*.csv"):
        formulas = [cell for row in table(path) for cell in row if cell[:1] in ("=", "+", "@", "\t", "\r") or _dashed(cell)]
        assert formulas == [], path.name


@contextmanager
def undrawn():
    """Within it figures are worked out and their data written, but nothing is drawn: a second saved a report."""

    def data_alone(plot: Plot, folder: Path) -> str:
        sheet.write_csv(plot.data, folder / f"{plot.name}.csv")
        return ""

    with mock.patch.object(plot_files, "write_plot", data_alone), mock.patch.object(card_picture, "write_card", lambda *_: None):
        yield


def _dashed(cell: str) -> bool:
    """Whether a cell begins with a minus sign and is no number."""
    if not cell.startswith("-"):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False
