"""Objectives as text: what is read, and what is refused with a right example."""

import pytest

from rig.objective import EXAMPLE, ObjectiveError, parse


def test_the_example_is_what_it_looks_like():
    assert parse(EXAMPLE) == [
        {"metric": "p95", "op": "<", "value": 2.0, "text": "p95<2s"},
        {"metric": "success", "op": ">", "value": 0.95, "text": "success>95%"},
    ]


@pytest.mark.parametrize(
    ("text", "metric", "op", "value"),
    [
        ("p99 <= 1500 ms", "p99", "<=", 1.5),
        ("P50<0.35s", "p50", "<", 0.35),
        ("mean==1e-1s", "mean", "==", 0.1),
        ("max>=0s", "max", ">=", 0.0),
        ("success>=0.95", "success", ">=", 0.95),
        ("success==100%", "success", "==", 1.0),
        ("wer<10%", "wer", "<", 0.1),
        ("wer<1.2", "wer", "<", 1.2),
    ],
)
def test_metrics_operators_and_units(text, metric, op, value):
    (objective,) = parse(text)
    assert (objective["metric"], objective["op"], objective["value"]) == (metric, op, pytest.approx(value))
    assert objective["text"] == text.replace(" ", "")


def test_nothing_asks_for_nothing():
    assert parse("  ") == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("p95", "'p95' is not METRIC OP VALUE: write it as in 'p95<2s, success>95%'"),
        ("p95<2s,", "'' is not METRIC OP VALUE"),
        ("p95=2s", "'p95=2s' is not METRIC OP VALUE"),
        ("p96<2s", "there is no 'p96', only p50, p90"),
        ("p95<2", "p95 takes seconds or milliseconds, as in 'p95<2s'"),
        ("p95<2%", "p95 takes seconds or milliseconds"),
        ("success>95s", "success takes a share, as in 'success>95%'"),
        ("success>95", "a share is at most 1 or 100%, as in 'success>95%'"),
        ("p95<-1s", "'-1' is no number from 0 up"),
        ("p95<1e999s", "'1e999' is no number from 0 up"),
        ("wer<1-2", "'1-2' is no number from 0 up"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_right_example(text, sentence):
    with pytest.raises(ObjectiveError) as refused:
        parse(text)
    assert sentence in str(refused.value)
