"""Where the files of plain Locust are: beside a prefix, or in the folder that the prefix is."""

import json
import shutil
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.runs import locust_csv
from analysis.runs.load import RunError, load

RUNS = Path(__file__).parents[1] / "runs"
FOLDER, REAL = RUNS / "locust-folder", RUNS / "locust-2.47"
# FOLDER: 1,200 requests, 12 of them failed, in the files of ``locust --csv locust-folder/``.


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(FOLDER, tmp_path / "results"))


def test_a_folder_is_a_prefix(folder):
    run = load(folder)
    row = locust_csv.aggregated(run.totals)
    assert (row["requests"], row["failures"], run.id) == (1200, 12, "results")
    assert len(run.totals.history) == 61
    assert run.totals.failures["Occurrences"].to_list() == [12]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["{}", "{}/", "."])
def test_the_report_of_a_folder_is_in_it(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["report", name.format(folder), "--figures", "no", "--quiet"]) == 0
    assert json.loads((folder / "_report" / "metrics.json").read_text())["totals"][-1]["requests"] == 1200


@pytest.mark.slow
def test_folders_are_compared_and_scaled(folder, capsys):
    other = Path(shutil.copytree(FOLDER, folder.parent / "more"))
    assert main(["compare", f"{folder}/", f"{other}/"]) == 0
    assert (other / "_compare-results" / "index.html").is_file()
    assert main(["scaling", f"1={folder}/", f"2={other}/"]) == 0
    assert (folder / "_scaling" / "index.html").is_file()
    assert "1,200" in capsys.readouterr().out


def test_a_folder_with_other_prefixes_names_them(tmp_path, capsys):
    for name in ("one_stats.csv", "two_stats.csv", "two_stats_history.csv"):
        shutil.copy(REAL / name, tmp_path)
    shutil.copy(RUNS / "locust-by-hand" / "v0.12-one_requests.csv", tmp_path / "old_requests.csv")
    with pytest.raises(RunError, match=r"has no run\.json"):
        load(tmp_path)
    assert main(["report", f"{tmp_path}/"]) == 2
    said = capsys.readouterr().err
    assert said.endswith(f"name the prefix, such as {tmp_path / 'old'} or {tmp_path / 'one'} or {tmp_path / 'two'}\n")
    for k in range(9):
        shutil.copy(REAL / "one_stats.csv", tmp_path / f"r{k}_stats.csv")
    with pytest.raises(RunError, match=r"… \(12 in all\)$"):
        load(tmp_path)


def test_files_beside_a_folder_come_before_those_in_it(folder):
    shutil.copy(REAL / "one_stats.csv", folder.with_name("results_stats.csv"))
    run = load(folder)
    assert locust_csv.aggregated(run.totals)["requests"] == 151
    assert run.notes[0] == f"{folder / '_stats.csv'} was not read, because {folder}_stats.csv has precedence; " \
        "move one of them to read the other."  # fmt: skip
