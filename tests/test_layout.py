"""The walls between the rooms, and the size of what stands in them."""

import ast
import sys

import pytest

from tests.locusts import ROOT

PURE = {
    "schedule",
    "attempt",
    "endpoint",
    "prices",
    "cause",
    "targets",
    "retries",
    "objective",
    "stopping",
    "wanted",
    "exits",
    "live_objectives",
} | {  # and the core, which the endpoint is made of
    *("actions", "balancing", "fleet", "job_book", "jobs", "limits", "meter"),
    *("modelled", "policy", "rehearsal", "scaler", "timers", "views"),
}
LOCUST = {
    "users",
    "question",
    "hooks",
    "recorder",
    "run",
    "progress",
    "coldstarts",
    "sweep",
    "exporter",
    "generator",
    "master",
    "peers",
}
NEVER = {  # room -> top-level packages that it may not import
    "rig": {"pandas", "matplotlib", "aiohttp", "fastapi", "analysis", "endpoints", "locustfiles"},
    "endpoints": {"locust", "gevent", "pandas", "analysis", "locustfiles"},
    "analysis": {"locust", "gevent", "endpoints", "aiohttp", "fastapi", "locustfiles"},
    "locustfiles": {"analysis", "endpoints", "pandas", "locustfiles"},
    "tests": {"locust"},
}
OF_RIG = {  # room -> modules of rig that it may import; a room that is not here may import all
    "endpoints": {"endpoint", "prices", "actions", "jobs", "meter", "modelled", "policy", "rehearsal"},
    "analysis": {"attempt", "prices", "objective", "exits"},
}
FILES = sorted(path for room in NEVER for path in (ROOT / room).rglob("*.py"))
OURS = [path for path in FILES if path.relative_to(ROOT).parts[0] != "tests"]


def imported(path):
    """Full names of what a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports break in a locustfile and hide a wall"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_walls_hold(path):
    room, names = path.relative_to(ROOT).parts[0], imported(path)
    tops = {name.split(".")[0] for name in names}
    assert not tops & NEVER[room]
    of_rig = {name.split(".")[1] for name in names if name.startswith("rig.")}
    assert of_rig <= OF_RIG.get(room, of_rig)
    if room == "rig":
        if path.stem in PURE:
            assert tops <= sys.stdlib_module_names | {"rig"}
        if path.stem not in LOCUST:
            assert "locust" not in tops
            assert not of_rig & LOCUST


def test_the_walls_have_something_to_hold():
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(NEVER)
    assert len(OURS) > 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"


def test_no_locustfile_is_called_like_a_library_and_each_is_short():
    for path in (ROOT / "locustfiles").glob("*.py"):
        assert path.stem not in sys.stdlib_module_names | {"runpod", "pandas", "locust", "gevent", "boto3"}
        assert 15 <= len(path.read_text(encoding="utf-8").splitlines()) <= 60
