"""Golden runs changed by chance, cell by cell, byte by byte and key by key: every command makes what was asked, or says one sentence."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.hostile import NUMBERS, RUNS, TEXTS, VALUES, about, copied, held, put, reported, say, scaled, table, undrawn

KEPT = sorted(path.parent.name for path in RUNS.glob("*/run.json"))
PREFIXES = (
    "locust/plain",
    "locust-2.47/full",
    "locust-2.47/thin",
    "locust-by-hand/v1.0",
    "locust-by-hand/v0.14",
    "locust-by-hand/v0.12-one",
)
OBJECTIVES = "p95 < 2 s, success > 95 %, cost_per_1000 < 1, wer < 5 %, efficiency > 90 %, throughput > 1, cold_share < 50 %, missing == 0"
BYTES = st.sampled_from([b'"', b"\n", b"\r", b"\0", b",", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"=", b"-", b"e", b"{", b"9" * 20])
JSON = st.sampled_from(VALUES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CELL = st.sampled_from(NUMBERS) | st.sampled_from(TEXTS) | st.text(max_size=12) | st.floats().map(str) | st.integers().map(str)
CHANGES = ("cells", "bytes", "rows", "column")
FEW, MANY = 4, 90
"""Examples of a property: those of every test run, and those of the slow ones."""


def examples(number):
    """Repeatable ones: a run of the tests never fails by luck."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=checks)


def paths(value, before=()):
    """Each place within a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*before, key)
        yield from paths(each, (*before, key))


def change_record(draw, run: Path) -> None:
    """Puts other values into run.json, or takes keys out of it."""
    content = about(run)
    for _ in range(draw(st.integers(1, 3))):
        *before, last = draw(st.sampled_from(sorted(paths(content), key=str)))
        within = content
        for key in before:
            within = within[key]
        if draw(st.integers(0, 9)):
            within[last] = draw(JSON)
        else:
            del within[last]
        if not content:
            break
    say(run, content)


def change_table(draw, folder: Path, kind: str) -> None:
    """Changes one CSV file of ``folder``."""
    path = draw(st.sampled_from(sorted(folder.glob("*.csv"))))
    if kind == "bytes":
        path.write_bytes(spoilt(draw, path.read_bytes()))
        return
    head, *rows = table(path)
    if not rows:
        return
    if kind == "rows":
        rows = [rows[place] for place in draw(st.lists(st.integers(0, len(rows) - 1), max_size=60))]
    elif kind == "column":
        place, cells = draw(st.integers(0, len(head) - 1)), draw(st.lists(CELL, min_size=1, max_size=4))
        for number, row in enumerate(row for row in rows if place < len(row)):
            row[place] = cells[number % len(cells)]
    else:
        for _ in range(draw(st.integers(1, 8))):
            row = draw(st.sampled_from(rows))
            row[draw(st.integers(0, len(row) - 1))] = draw(CELL)
    put(path, [head, *rows])


def spoilt(draw, content: bytes) -> bytes:
    """``content`` with some of its bytes changed, taken out, repeated or cut off."""
    for _ in range(draw(st.integers(1, 5))):
        at, much = draw(st.integers(0, len(content))), draw(st.sampled_from([0, 1, 2, 30, 500]))
        how = draw(st.sampled_from(["insert", "repeat", "cut"]))
        if how == "cut":
            content = content[:at]
        else:
            new = draw(BYTES | st.binary(max_size=4)) if how == "insert" else content[at : at + much] * 2
            content = content[:at] + new + content[at + much :]
    return content


def change(draw, run: Path) -> None:
    """Changes a run in one of the ways."""
    kind = draw(st.sampled_from(("record", *CHANGES)))
    if kind == "record":
        change_record(draw, run)
    else:
        change_table(draw, run, kind)


def report_is_made_or_refused(capsys, data, shown):
    with TemporaryDirectory() as folder, shown:
        run = copied(RUNS / data.draw(st.sampled_from(KEPT)), Path(folder) / "run")
        change(data.draw, run)
        reported(capsys, run, Path(folder) / "out")


def plain_is_made_or_refused(capsys, data, shown):
    with TemporaryDirectory() as folder, shown:
        prefix = Path(folder) / "from" / Path(data.draw(st.sampled_from(PREFIXES))).name
        source = next(RUNS / name for name in PREFIXES if Path(name).name == prefix.name)
        prefix.parent.mkdir()
        for file in source.parent.glob(f"{source.name}_*.csv"):
            shutil.copy(file, prefix.parent)
        change_table(data.draw, prefix.parent, data.draw(st.sampled_from(CHANGES)))
        reported(capsys, prefix, Path(folder) / "out")
        scaled(capsys, prefix, RUNS / "locust-2.47" / "two", Path(folder) / "scaled")


def others_are_made_or_refused(capsys, data, shown):
    with TemporaryDirectory() as folder, shown:
        source = RUNS / data.draw(st.sampled_from(KEPT))
        run, part = copied(source, Path(folder) / "run"), copied(source, Path(folder) / "run.g1")
        say(part, about(part) | {"part_of": about(run)["id"]})
        change(data.draw, data.draw(st.sampled_from([run, part])))
        given_ = Path(folder) / "objectives.toml"
        given_.write_text(
            "".join(f'[[objective]]\nthat = "{text}"\n' for text in OBJECTIVES.split(", "))
            + '[baseline]\np95 = "+10 %"\nthroughput = "-5 %"\n',
            encoding="utf-8",
        )
        files = ("--junit", Path(folder) / "j.xml", "--summary", Path(folder) / "s.md")
        held(capsys, "gate", run, "--objectives", given_, "--baseline", source, "--anyway", *files)
        held(capsys, "compare", *data.draw(st.permutations([run, source])), "--anyway", "--out", Path(folder) / "out")
        held(capsys, "merge", run, part)


@pytest.mark.slow
@examples(FEW)
@given(data=st.data())
def test_a_changed_run_has_a_report_or_one_sentence(capsys, data):
    report_is_made_or_refused(capsys, data, undrawn())


@pytest.mark.slow
@examples(FEW // 3)
@given(data=st.data())
def test_so_have_the_files_of_plain_locust(capsys, data):
    plain_is_made_or_refused(capsys, data, undrawn())


@pytest.mark.nightly
@examples(MANY)
@given(data=st.data())
def test_many_changed_runs(capsys, data):
    report_is_made_or_refused(capsys, data, undrawn())


@pytest.mark.nightly
@examples(MANY // 10)
@given(data=st.data())
def test_changed_runs_can_be_drawn(capsys, data):
    report_is_made_or_refused(capsys, data, nullcontext())


@pytest.mark.nightly
@examples(MANY // 3)
@given(data=st.data())
def test_many_files_of_plain_locust(capsys, data):
    plain_is_made_or_refused(capsys, data, undrawn())


@pytest.mark.nightly
@examples(MANY // 5)
@given(data=st.data())
def test_gate_compare_and_merge_of_changed_runs(capsys, data):
    others_are_made_or_refused(capsys, data, undrawn())
