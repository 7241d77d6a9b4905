"""What is built and installed: every file that a run reads, from the clone, from its archive of sources, and in place."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import coldburst
from tests.support.engine import UNREACHABLE
from tests.support.kept import RUNS
from tests.support.locusts import ROOT

pytestmark = pytest.mark.nightly
FOLDERS = {
    "coldburst": "coldburst",
    "analysis": "coldburst/analysis",
    "locustfiles": "coldburst/locustfiles",
    "samples": "coldburst/samples",
}
FILES = ("pyproject.toml", "setup.py", "README.md")
KEPT = next(path for path in sorted(RUNS.iterdir()) if (path / "attempts.csv").exists())
SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"

NAMES = """
import sys, coldburst.installation
name = coldburst.installation.analysis_module()
__import__(f"{name}.__main__")
print(name, "analysis" in sys.modules)
"""


def run(*command, cwd, **env):
    """What a command prints; it finds no package of this clone by itself."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=kept | env, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and UNREACHABLE in done.stdout + done.stderr:
        pytest.skip("NO NETWORK: pip reaches no package index, so that nothing can be built here")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(folder):
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def environment(place):
    """A new environment with the dependencies of this one, but nothing of this clone; its Python."""
    venv.create(place, with_pip=False, symlinks=True)
    (inside,) = place.glob("lib/python*/site-packages")
    (inside / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return place / "bin" / "python"


def install(python, *what):
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", *what, cwd=python.parent)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is built, so that nothing is written into the clone."""
    place = tmp_path_factory.mktemp("source")
    for name in [*FILES, *(name for folder in FOLDERS for name in tracked(folder))]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, place / name)
    return place


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", place, source, cwd=place)
    (path,) = place.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    python = environment(tmp_path_factory.mktemp("installed"))
    install(python, "--no-index", wheel)
    return python


@pytest.fixture(scope="module")
def in_place(source, tmp_path_factory):
    python = environment(tmp_path_factory.mktemp("in-place"))
    install(python, "--editable", source)
    return python


def content(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_has_every_file_of_the_program_and_nothing_else(wheel):
    assert wheel.name.startswith(f"coldburst-{coldburst.__version__}-")
    assert content(wheel) == {inside + name.removeprefix(folder) for folder, inside in FOLDERS.items() for name in tracked(folder)}


def test_the_archive_of_sources_builds_the_same_wheel(source, wheel, tmp_path):
    name = run(sys.executable, "-c", SDIST, tmp_path, cwd=source).splitlines()[-1]
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, tmp_path / name, cwd=tmp_path)
    (again,) = tmp_path.glob("*.whl")
    assert content(again) == content(wheel)


@pytest.mark.parametrize("way", ["installed", "in_place"])
def test_a_command_reports_a_run_from_an_empty_directory(way, request, tmp_path):
    python = request.getfixturevalue(way)
    command = python.with_name("coldburst")
    assert run(command, "--version", cwd=tmp_path) == f"coldburst {coldburst.__version__}\n"
    run(command, "report", KEPT, "--out", tmp_path / "out", "--quiet", cwd=tmp_path)
    assert (tmp_path / "out" / "index.html").is_file()
    assert run(python, "-c", NAMES, cwd=tmp_path) == "coldburst.analysis False\n"


def test_a_starter_locustfile_runs_from_an_empty_directory_with_the_samples(installed, tmp_path):
    command = installed.with_name("coldburst")
    assert "coldburst run burst.py --headless" in run(command, "init", cwd=tmp_path)
    run(command, "run", "burst.py", "--headless", "--schedule", "burst 2", "--figures", "no", cwd=tmp_path)
    (page,) = tmp_path.glob("runs/*/report/index.html")
    assert (page.parents[1] / "attempts.csv").read_text(encoding="utf-8").count(",ok,") == 2


def test_the_package_imports_itself_from_where_it_was_installed(installed, tmp_path):
    script = "import coldburst.installation as i; print(i.PACKAGE, i.beside('samples'), i.checkout())"
    package, samples, clone = run(installed, "-c", script, cwd=tmp_path).split()
    assert Path(package).is_relative_to(installed.parents[1])
    assert (samples, clone) == (f"{package}/samples", "None")
