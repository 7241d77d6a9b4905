"""Stalls: when they begin and end."""

import pytest

from coldburst.transcriber.access_log import Stall


@pytest.mark.parametrize(("now_s", "left_s"), [(100.0, 2.0), (101.5, 0.5), (102.0, 0.0), (109.9, 0.0), (110.0, 2.0), (131.0, 1.0)])
def test_a_standstill_comes_at_the_start_of_every_period(now_s, left_s):
    assert Stall(start_s=100.0, length_s=2.0, every_s=10.0).left_s(now_s) == pytest.approx(left_s)
