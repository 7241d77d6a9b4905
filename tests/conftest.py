"""What holds for all tests: no time limit on examples, and which tests run in the same process (``--dist loadgroup``)."""

from collections import Counter

import pytest
from hypothesis import settings

# Hypothesis fails an example that takes 200 ms, which on a busy machine any may.
settings.register_profile("coldburst", deadline=None)
settings.load_profile("coldburst")

# Files whose tests may run in different processes, because each of them starts what it needs; the tests of other files stay together.
APART = {
    "test_api",
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


# How many tests of each collected file are nightly, before any are deselected.
NIGHTLY = pytest.StashKey[Counter[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    config.stash[NIGHTLY] = Counter()
    for item in items:
        config.stash[NIGHTLY][item.nodeid.partition("::")[0]] += item.get_closest_marker("nightly") is not None
        if item.path.stem not in APART:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
