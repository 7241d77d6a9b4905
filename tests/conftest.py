"""What holds for all tests: no time limit on examples, and which tests run in the same process."""

import gc
import os
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path, PurePath

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Hypothesis fails an example that takes 200 ms, which on a busy machine any may. The nightly tests try more examples.
settings.register_profile("coldburst", deadline=None, max_examples=30)
settings.register_profile("nightly", deadline=None, max_examples=400)
settings.load_profile("coldburst")

# Hundreds of processes import the same modules. Their bytecode is in the user's cache where the environment forbids it beside them.
if sys.dont_write_bytecode:
    with suppress(RuntimeError):  # no home
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path.home() / ".cache" / "coldburst" / "bytecode")
        sys.dont_write_bytecode = False
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Collecting makes millions of objects that stay: to look through them again and again takes longer than to make them.
gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


# Files whose tests may run in different processes, because each of them starts what it needs; the tests of other files stay together.
APART = {
    "test_distributed",
    "test_endings",
    "test_exit_codes",
    "test_run_time",
    "test_runs",
    "test_runs_against_truth_log",
    "test_standstills",
    "test_strangers",
    "test_sweeps",
    "test_web_ui",
    "test_worker_processes",
}


# Files that take longest are begun first.
FIRST = ("test_containers", "test_readme")
# How many tests of each collected file are nightly, before any are deselected.
NIGHTLY = pytest.StashKey[Counter[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    config.stash[NIGHTLY] = Counter()
    for item in items:
        config.stash[NIGHTLY][item.nodeid.partition("::")[0]] += item.get_closest_marker("nightly") is not None
    items.sort(key=lambda item: item.path.stem not in FIRST)


class ByFile(LoadScopeScheduling):
    """Tests of a file run in one process, which makes the file's fixtures once; those of APART run wherever there is room.

    Those of tests/house look at the same sources, which are read once then.
    """

    def _split_scope(self, nodeid):
        file = PurePath(nodeid.partition("::")[0])
        return nodeid if file.stem in APART else str(file.parent if file.parent.name == "house" else file)


def pytest_xdist_auto_num_workers():
    """One process more than cores, because some tests wait for others' answers."""
    return (os.cpu_count() or 1) + 1


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)
