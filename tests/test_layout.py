"""The walls between the rooms, and the size of what stands in them."""

import ast
import sys
from functools import cache

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
    "bench": set(),
}
OF_RIG = {  # room -> modules of rig that it may import; a room that is not here may import all
    "endpoints": {"endpoint", "prices", "actions", "jobs", "meter", "modelled", "policy", "rehearsal"},
    "analysis": {"attempt", "prices", "objective", "exits"},
}
FILES = {room: sorted((ROOT / room).rglob("*.py")) for room in NEVER}


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def parsed(path):
    """A file's imports and functions."""
    return [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, (ast.Import, ast.ImportFrom, *FUNCTIONS))
    ]


def imported(path):
    """Full names of what a file imports."""
    found = set()
    for node in parsed(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports break in a locustfile and hide a wall"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", FILES)
def test_the_walls_hold(room):
    for path in FILES[room]:
        names = imported(path)
        tops = {name.split(".")[0] for name in names}
        assert not tops & NEVER[room], path
        of_rig = {name.split(".")[1] for name in names if name.startswith("rig.")}
        assert of_rig <= OF_RIG.get(room, of_rig), path
        if room == "rig" and path.stem in PURE:
            assert tops <= sys.stdlib_module_names | {"rig"}, path
        if room == "rig" and path.stem not in LOCUST:
            assert "locust" not in tops, path
            assert not of_rig & LOCUST, path


def test_the_walls_have_something_to_hold():
    assert all(FILES.values())
    assert sum(map(len, FILES.values())) > 200


@pytest.mark.parametrize("room", FILES)
def test_files_and_functions_stay_small(room):
    for path in FILES[room]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
        for node in parsed(path):
            if isinstance(node, FUNCTIONS):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"


def test_no_locustfile_is_called_like_a_library_and_each_is_short():
    for path in (ROOT / "locustfiles").glob("*.py"):
        assert path.stem not in sys.stdlib_module_names | {"runpod", "pandas", "locust", "gevent", "boto3"}
        assert 15 <= len(path.read_text(encoding="utf-8").splitlines()) <= 60
