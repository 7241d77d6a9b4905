"""The platform model replays public traces of RunPod within bounds, and docs/fidelity.md shows how well."""

import pytest

from bench.fidelity import PAGE, figures, page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found():
    return figures()


@pytest.mark.parametrize(
    ("trace", "bounded"),
    [
        ("CR, burst of two", 2),
        ("CR, balancer probe 1", 3),
        ("CR, balancer probe 3", 6),
        ("GP13, REQUEST_COUNT 1, cold", 2),
        ("GP13, REQUEST_COUNT 1, 9 jobs", 1),
        ("CR, cold starts", 6),
    ],
)
def test_a_trace_is_replayed_within_its_bounds(found, trace, bounded):
    of_trace = [figure for figure in found if figure.trace.startswith(trace) and figure.bound is not None]
    assert len(of_trace) == bounded
    assert [figure for figure in of_trace if not figure.holds] == []


def test_the_page_is_what_the_command_writes(found):
    assert page(found) == PAGE.read_text(encoding="utf-8"), "run 'python -m bench.fidelity --write'"
