"""Which tests run in the same process (``--dist loadgroup``): those of one file, unless each of them starts what it needs."""

import pytest

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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem not in APART:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
