"""How the modules of analysis import each other: by relative names, in no circle, and no package deeper than five."""

import ast
import json
import subprocess
import sys
from functools import cache

import pytest

from tests.support.locusts import ROOT
from tests.support.sources import nodes

ANALYSIS = ROOT / "analysis"
DEEPEST = 5
MODULES = {path.relative_to(ROOT).with_suffix("").parts: path for path in ANALYSIS.rglob("*.py") if path.name != "__init__.py"}
PACKAGES = sorted({module[:-1] for module in MODULES})


def source(module, node):
    """The parts of what ``from X import`` names as X, in the module of these parts."""
    start = module[: len(module) - node.level] if node.level else ()
    return (*start, *(node.module.split(".") if node.module else ()))


@cache
def imported(module):
    """The modules of analysis that one imports, wherever in it."""
    found = set()
    for node in nodes(MODULES[module]):
        if isinstance(node, ast.ImportFrom):
            named = source(module, node)
            found |= {named, *((*named, alias.name) for alias in node.names)} & MODULES.keys()
    return found


def chain(module, within, above=()):
    """The longest chain of imports from a module on among the modules ``within``."""
    assert module not in above, f"a circle of imports: {' > '.join('.'.join(one) for one in (*above, module))}"
    below = max((chain(one, within, (*above, module)) for one in imported(module) & within), key=len, default=())
    return (module, *below)


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=".".join)
def test_no_package_is_deeper_than_five_imports(package):
    within = {module for module in MODULES if module[:-1] == package}
    for module in within:
        assert len(chain(module, within)) <= DEEPEST, chain(module, within)


def test_no_imports_go_in_a_circle():
    left = {module: imported(module) for module in MODULES}
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        left = {module: needs for module, needs in left.items() if module not in free}
    assert not left


def test_there_is_something_to_look_at():
    assert len(PACKAGES) > 10 and sum(len(imported(module)) for module in MODULES) > 200


def test_no_module_imports_analysis_by_its_name():
    for path in ANALYSIS.rglob("*.py"):
        for node in nodes(path):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if name.split(".")[0] == "analysis" or name.startswith("coldburst.analysis")], path


def test_help_needs_neither_pandas_nor_matplotlib():
    code = "import sys; from analysis.__main__ import main; sys.argv[1:] = ['--help']; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0 and all(name in done.stdout for name in ("report", "merge", "compare", "scaling", "gate"))
    assert not [line for line in done.stderr.splitlines() if line.rpartition("|")[2].strip() in ("numpy", "pandas", "matplotlib", "scipy")]


@pytest.mark.slow
def test_a_report_that_waits_for_a_line_ends_quietly_without_one(tmp_path):
    command = [sys.executable, "-m", "analysis", "report", str(tmp_path / "none"), "--after-line"]
    without = subprocess.run(command, cwd=ROOT, input="", capture_output=True, text=True, timeout=60, check=False)
    assert (without.returncode, without.stdout, without.stderr) == (0, "", "")


NEEDED_BY_SOME = ("matplotlib", "PIL", "scipy.fft", "scipy.linalg", "scipy.optimize", "scipy.sparse", "scipy.stats", "duckdb")
"""Each takes a tenth of a second or more, and a report of single requests without figures needs none."""


@pytest.mark.slow
@pytest.mark.parametrize(("figures", "loaded"), [("no", []), ("yes", ["matplotlib", "PIL"])])
def test_a_report_imports_what_it_draws_with_only_if_it_draws(tmp_path, figures, loaded):
    words = ["report", str(ROOT / "tests" / "runs" / "burst"), "--out", str(tmp_path), "--quiet", "--figures", figures]
    code = f"import json, sys; from analysis.__main__ import main; main({words}); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "scipy.special" in modules
    assert [name for name in NEEDED_BY_SOME if name in modules] == loaded
    assert (tmp_path / "card.png").is_file() == (figures == "yes")
