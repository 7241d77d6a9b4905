"""A tenth of the faults of ``python -m tests.chaos``."""

import pytest

from tests import chaos

SAMPLE = (
    "the run's directory is removed",
    "no file descriptors are left",
    "answers that are cut off",
    "answers that contain the key",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_a_run_survives(name):
    trial = chaos.tried(name)
    assert (trial.notes, trial.lost, trial.leaked) == ([], 0, 0)


def test_the_sample_is_a_tenth_of_the_faults_and_the_page_has_them_all():
    assert 8 * len(SAMPLE) <= len(chaos.FAULTS) <= 12 * len(SAMPLE)
    page = chaos.PAGE.read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in chaos.FAULTS)
