"""run.json: what is written is read back, and a wrong value is named with its key and a right one."""

import json

import pytest

from coldburst.record import run_json
from coldburst.record.run_json import RunJsonError

RIGHT = {"format": 1, "id": "a", "state": "ended", "planned": 3, "elapsed_s": 1.5, "ledger": {"planned": 3}, "stages": [{}], "more": "free"}


def written(folder, **changed):
    (folder / "run.json").write_text(json.dumps(RIGHT | changed), encoding="utf-8")
    return folder


def test_what_is_written_is_read_back(tmp_path):
    run_json.write(tmp_path, RIGHT | {"note": "two\nlines and half a pair \ud800"})
    assert run_json.read(tmp_path) == RIGHT | {"note": "two lines and half a pair"}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("planned", "many", "'planned' is 'many', but should be a whole number from 0 to 1e+15, or null"),
        ("planned", True, "'planned' is True, but should be a whole number"),
        ("planned", -1, "'planned' is -1, but should be a whole number from 0"),
        ("planned", 10**16, "'planned' is 10000000000000000, but should be a whole number from 0 to 1e+15"),
        ("dispatched", 1.5, "'dispatched' is 1.5, but should be a whole number"),
        ("elapsed_s", float("nan"), "'elapsed_s' is nan, but should be a number of seconds from 0 to 1e+15, or null"),
        ("elapsed_s", 10**400, "'elapsed_s' is 1000"),
        ("id", None, "'id' is None, but should be a text"),
        ("state", 1, "'state' is 1, but should be 'running' or 'ended'"),
        ("schedule", [], "'schedule' is [], but should be a text such as 'burst 30'"),
        ("stages", {}, "'stages' is {}, but should be a list of stages"),
        ("ledger", 1, "'ledger' is 1, but should be an object or null"),
        ("format", 2, "has format 2, newer than this program, which reads 1: update coldburst"),
        ("format", True, 'should be an object with "format": 1'),
        ("format", None, 'should be an object with "format": 1'),
    ],
)
def test_a_wrong_value_is_named_with_a_right_one(tmp_path, key, value, sentence):
    with pytest.raises(RunJsonError) as refused:
        run_json.read(written(tmp_path, **{key: value}))
    assert str(refused.value).startswith(str(tmp_path / "run.json"))
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("text", ["", "{", "[" * 1000 + "]" * 1000, '{"format": 1, "x": ' + "[" * 50 + "]" * 50 + "}"])
def test_what_is_not_complete_is_one_sentence(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunJsonError, match="is not complete JSON"):
        run_json.read(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "empty", "file"])
def test_what_is_no_run_is_answered_with_a_right_name(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunJsonError, match=f"{name} is not a run: it has no run.json; name a run directory, such as runs/2026"):
        run_json.read(tmp_path / name)
