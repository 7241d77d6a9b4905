"""The import table, and the size of files and functions."""

import ast
import sys

import pytest

from tests.support.locusts import ROOT
from tests.support.sources import FUNCTIONS, nodes

STANDARD = sys.stdlib_module_names
LEAVES = {"option", "randomness", "keys", "emulator_token", "child_processes", "lines", "installation", "signals", "pieces"}
# Package of coldburst -> packages and modules of coldburst that it may import, and libraries that it may not.
INSIDE = {
    "option": set(),
    "randomness": set(),
    "keys": {"option"},
    "emulator_token": set(),
    "child_processes": {"installation"},
    "lines": set(),
    "redact": set(),
    "installation": set(),
    "signals": set(),
    "pieces": set(),
    "schedule": LEAVES,
    "serverless": {"randomness"},
    "record": LEAVES | {"schedule"},
    "data": LEAVES,
    "targets": LEAVES | {"data", "record", "redact", "objects"},
    "objects": LEAVES | {"record", "redact"},
    "load": LEAVES | {"data", "redact", "schedule", "record", "targets", "objects"},
    "control": LEAVES | {"record", "redact", "targets"},
    "sweep": LEAVES | {"schedule", "record", "targets", "load", "control"},
    "distributed": LEAVES | {"schedule", "record", "targets", "load"},
    "live": LEAVES | {"schedule", "record", "targets", "load"},
    "service": LEAVES,
    "doctor": LEAVES | {"service", "schedule", "record", "targets", "load", "control", "planner"},
    "planner": LEAVES | {"service", "serverless", "schedule", "record"},
    "transcriber": LEAVES | {"service", "serverless", "record"},
    "video": LEAVES | {"service", "serverless", "record"},
    "emulator": LEAVES | {"service", "serverless", "record", "transcriber"},
}
NEVER = {  # folder -> top-level packages that it may not import
    "coldburst": {"pandas", "matplotlib", "analysis", "locustfiles"},
    "coldburst/schedule": {"locust", "gevent"},
    "coldburst/data": {"locust", "gevent"},
    "coldburst/targets": {"locust", "aiohttp", "fastapi"},
    "coldburst/objects": {"locust", "aiohttp", "fastapi"},
    "coldburst/control": {"locust", "aiohttp", "fastapi"},
    "coldburst/emulator": {"locust", "gevent"},
    "coldburst/transcriber": {"locust", "gevent"},
    "coldburst/service": {"locust", "gevent"},
    "coldburst/planner": {"locust", "gevent", "aiohttp", "fastapi"},
    "coldburst/video": {"locust", "gevent"},
    "analysis": {"locust", "gevent", "aiohttp", "fastapi", "locustfiles"},
    "locustfiles": {"analysis", "pandas", "locustfiles"},
    "tests": {"locust"},
    "bench": set(),
}
STANDARD_ALONE = ("coldburst/serverless", *(f"coldburst/{leaf}.py" for leaf in sorted(LEAVES)))
OF_ANALYSIS = LEAVES | {"record", "planner"}
FILES = {room: sorted((ROOT / room).rglob("*.py")) for room in NEVER}


def imported(path):
    """Full names of what a file imports."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.is_relative_to(ROOT / "analysis"), f"{path}: imports are absolute outside analysis"
            found |= {f"{node.module}.{alias.name}" for alias in node.names if node.level == 0}
    return found


def tops(path):
    return {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize("room", NEVER)
def test_a_package_never_imports_what_is_not_for_it(room):
    for path in FILES[room]:
        assert not tops(path) & NEVER[room], path


@pytest.mark.parametrize("package", INSIDE)
def test_imports_point_one_way(package):
    place = ROOT / "coldburst" / package
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
        used = {name.split(".")[1] for name in imported(path) if name.startswith("coldburst.")}
        assert used <= INSIDE[package] | {package, "__version__"}, path


def test_the_core_is_standard_library_alone():
    for place in STANDARD_ALONE:
        files = sorted((ROOT / place).rglob("*.py")) or [ROOT / place]
        for path in files:
            assert tops(path) <= STANDARD | {"coldburst"}, path


def test_analysis_reads_what_a_run_left_and_nothing_else():
    for path in FILES["analysis"]:
        used = {name.split(".")[1] for name in imported(path) if name.startswith("coldburst.")}
        assert used <= OF_ANALYSIS, path


def test_the_walls_have_something_to_hold():
    assert all(FILES.values())
    assert sum(map(len, FILES.values())) > 200
    assert {path.name for path in (ROOT / "coldburst").iterdir() if path.is_dir() and (path / "__init__.py").exists()} <= set(INSIDE)


@pytest.mark.parametrize("room", NEVER)
def test_files_and_functions_stay_small(room):
    for path in FILES[room]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path
        for node in nodes(path):
            if isinstance(node, FUNCTIONS):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{path.name}: {node.name}"


def test_no_locustfile_is_called_like_a_library_and_each_is_short():
    for path in (ROOT / "locustfiles").glob("*.py"):
        assert path.stem not in STANDARD | {"runpod", "pandas", "locust", "gevent", "boto3"}
        assert 10 <= len(path.read_text(encoding="utf-8").splitlines()) <= 60
