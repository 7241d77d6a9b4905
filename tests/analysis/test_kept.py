"""The small runs give exactly the figures and tables that were kept of them."""

import json

import pytest

from tests.support.kept import KEPT, NAMES, metrics_of, tables_of


def near(value):
    """The same value to compare with, floats as near as different machines' libraries may sum them."""
    if isinstance(value, dict):
        return {key: near(one) for key, one in value.items()}
    if isinstance(value, list):
        return [near(one) for one in value]
    return pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_figure_is_the_one_that_was_kept(name):
    before = json.loads((KEPT / f"{name}.json").read_text(encoding="utf-8"))
    assert metrics_of(name) == near(before)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_table_is_the_one_that_was_kept(name):
    assert tables_of(name) == (KEPT / f"{name}.md").read_text(encoding="utf-8")
