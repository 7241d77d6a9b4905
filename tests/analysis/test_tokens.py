"""Tokens of chat answers, against arithmetic by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis.tables.tokens import tokens


def rows(**columns):
    base = {
        "outcome": ["ok", "ok", "ok", "failed"],
        "scheduled_s": [0.0, 0.0, 1.0, 1.0],
        "done_s": [3.0, 4.0, 5.0, 2.0],
        "service_s": [3.0, 4.0, 4.0, 1.0],
        "ttft_s": [1.0, 2.0, np.nan, 0.5],
        "itl_p50_s": [0.1, 0.3, np.nan, 0.2],
        "itl_p95_s": [0.35, 0.8, np.nan, 2.0],
        "itl_max_s": [0.4, 0.9, np.nan, 3.0],
        "tokens_in": [10, 10, np.nan, 10],
        "tokens_out": [5, 11, 1, 7],
        "tokens_from": ["usage", "chunks", "usage", "usage"],
    }
    return pd.DataFrame(base | columns)


def test_times_and_totals_are_those_of_the_ok_rows():
    found = tokens(rows())
    assert (found.n, found.tokens_out, found.tokens_in, found.counted) == (3, 17, 20, 1)
    assert (found.ttft.n, found.ttft.mean, found.ttft.at(50).value) == (2, 1.5, 1.0)
    # (3 - 1) / 4 and (4 - 2) / 10; an answer in one piece has no time per token.
    assert (found.per_token.n, found.per_token.maximum) == (2, 0.5)
    assert found.per_token.mean == pytest.approx(0.35)
    assert found.gap_max_s == 0.9
    assert (found.gap_p50.at(50).value, found.gap_p95.at(95).value) == (0.1, 0.8)
    assert found.per_s == pytest.approx(17 / 5)


def test_without_tokens_there_is_no_table():
    assert tokens(rows(tokens_out=[np.nan] * 4, ttft_s=[np.nan] * 4)) is None
    assert tokens(rows(outcome=["failed"] * 4)) is None


def test_streams_without_tokens_have_their_times():
    found = tokens(rows(tokens_out=[np.nan] * 4))
    assert (found.n, found.tokens_out, found.counted) == (2, 0, 1)
    assert (found.ttft.n, found.ttft.mean, found.per_token.n) == (2, 1.5, 0)
