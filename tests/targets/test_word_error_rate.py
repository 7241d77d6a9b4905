"""Word error rates with known answers."""

import pytest

from coldburst.targets.word_error_rate import normal, word_error_rate

SAID = "the cat sat on the mat"


def test_word_error_rates_of_known_answers():
    assert word_error_rate(SAID, "The CAT sat, on the mat!") == 0
    assert word_error_rate(SAID, "the cat sat on mat") == pytest.approx(1 / 6)  # one deletion
    assert word_error_rate(SAID, "the bat sat on the the mat") == pytest.approx(2 / 6)  # a substitution and an insertion
    assert word_error_rate(SAID, "") == 1
    assert normal("Don’t — it's  3 o'clock…") == "don t its 3 oclock"
