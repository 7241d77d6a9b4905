"""Objectives as text: what is read, and what is refused with a right example."""

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coldburst.record import objectives as objective_module
from coldburst.record.objectives import (
    AFTER,
    EXAMPLE,
    FILE_EXAMPLE,
    METRICS,
    OF_TIMES,
    OTHERS,
    POINTS,
    ObjectiveError,
    load,
    objective,
    objectives,
    parse,
)


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
        ("p96<2s", "there is no metric 'p96'; use one of p50, p90"),
        ("p95<2", "p95 needs seconds or milliseconds, as in 'p95<2s'"),
        ("p95<2%", "p95 needs seconds or milliseconds"),
        ("success>95s", "success needs a share, as in 'success>95%'"),
        ("success>95", "a share is at most 1 or 100%, as in 'success>95%'"),
        ("p95<-1s", "'-1' must be a number from 0 up"),
        ("p95<1e999s", "'1e999' must be a number from 0 up"),
        ("wer<1-2", "'1-2' must be a number from 0 up"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_right_example(text, sentence):
    with pytest.raises(ObjectiveError) as refused:
        parse(text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("text", "metric", "value", "shown"),
    [
        ("p95 < 2 s", "p95", 2.0, "p95 < 2 s"),
        ("queue_p99<=1500ms", "queue_p99", 1.5, "queue_p99 <= 1500 ms"),
        ("cold_start_max < 30s", "cold_start_max", 30.0, "cold_start_max < 30 s"),
        ("cold_share < 5 %", "cold_share", 0.05, "cold_share < 5 %"),
        ("queue_timeouts == 0", "queue_timeouts", 0.0, "queue_timeouts == 0"),
        ("cost_per_1000 < 0.40", "cost_per_1000", 0.4, "cost_per_1000 < 0.40"),
        ("cost<1.5USD", "cost", 1.5, "cost < 1.5 USD"),
        ("efficiency > 90 %", "efficiency", 0.9, "efficiency > 90 %"),
        ("throughput >= 4.5/s", "throughput", 4.5, "throughput >= 4.5 /s"),
        ("real_time_factor > 3×", "real_time_factor", 3.0, "real_time_factor > 3 x"),
        ("verdict == valid", "verdict", 0.0, "verdict == valid"),
    ],
)
def test_every_kind_of_metric_has_its_units_and_is_shown_in_one_way(text, metric, value, shown):
    one = objective(text)
    assert (one.metric, one.value, one.share, one.text) == (metric, pytest.approx(value), False, shown)
    assert objective(one.text) == one


def test_a_count_may_be_a_share_of_those_planned():
    few, part = objective("failed < 5"), objective("failed < 5 %")
    assert (few.value, few.share, part.value, part.share) == (5.0, False, 0.05, True)
    assert few.met(4)
    assert not few.met(5)


def test_every_metric_is_in_the_help_and_takes_what_its_refusal_shows():
    for metric in METRICS:
        with pytest.raises(ObjectiveError) as refused:
            objective(f"{metric}<1furlong")
        if metric != "verdict":
            rights = re.findall(r"'([^']+)'", str(refused.value).partition(f" {metric} needs ")[2])
            assert rights
            assert all(objective(right).met(0.0) in (True, False) for right in rights)
    said = objective_module.__doc__
    assert all(name in said for name in (*POINTS, *OTHERS))
    assert all(before in said for before in OF_TIMES)


FILE = """
[[objective]]
that = "p95 < 2 s"
abort = true
after = 50

[[objective]]
that = "wer < 10 %"
may_be_missing = true

[baseline]
p95 = "+10 %"
throughput = "-5 %"
"""


def test_a_file_of_objectives(tmp_path):
    path = tmp_path / "objectives.toml"
    path.write_text(FILE, encoding="utf-8")
    read = load(path)
    one, two = read.objectives
    assert (one.text, one.abort, one.after, one.may_be_missing) == ("p95 < 2 s", True, 50, False)
    assert (two.text, two.abort, two.after, two.may_be_missing) == ("wer < 10 %", False, AFTER, True)
    assert [(change.metric, change.share) for change in read.changes] == [("p95", pytest.approx(0.1)), ("throughput", pytest.approx(-0.05))]
    assert objectives({"objective": [one.plain(), two.plain()]}).objectives == read.objectives  # as run.json keeps them


def test_the_example_of_the_help_is_a_file_of_objectives():
    assert objectives(tomllib.loads(FILE_EXAMPLE)).objectives[0].abort


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the file has no objective: write [[objective]]"),
        ('[objective]\nthat = "p95 < 2 s"', "with two brackets"),
        ("[[objective]]\nabort = true", 'needs a line that = "METRIC OP VALUE"'),
        ("[[objective]]\nthat = 95", 'needs a line that = "METRIC OP VALUE"'),
        ('[[objective]]\nthat = "p95 < 2 furlongs"', "p95 needs seconds or milliseconds, as in 'p95<2s'"),
        ('[[objective]]\nthat = "failed < 101 %"', "is at most 100%, as in 'failed<1%'"),
        ('[[objective]]\nthat = "verdict == invalid"', "only objective for the verdict is 'verdict == valid'"),
        ('[[objective]]\nthat = "p95 < 2 s"\naborts = true', "'aborts' is not a key of an [[objective]]: use that, abort"),
        ('[[objective]]\nthat = "p95 < 2 s"\nabort = "yes"', "abort must be true or false, not 'yes'"),
        ('[[objective]]\nthat = "p95 <\\n 2 s"\nabort = "a\\nb"', "objective 'p95 < 2 s': abort must be true or false"),
        ('[[objective]]\n"th\\nat" = 1', "'th at' is not a key"),
        ('[[objective]]\nthat = "p95 < 2 s"\nafter = 0', "after must be a number of requests from 1 up, as in 30, not 0"),
        ('limit = "p95 < 2 s"', "'limit' is not a key at the top of the file: use objective, baseline"),
        ("[baseline]\np95 = 10", 'p95 = 10 is not a change in %: write it as in p95 = "+10 %"'),
        ('[baseline]\np95 = "-10 %"', "p95 is better when lower: give how far it may rise"),
        ('[baseline]\nsuccess = "+1 %"', "success is better when higher: give how far it may fall"),
        ('[baseline]\nspeed = "+1 %"', "there is no metric 'speed'; use one of p50"),
        ("that = p95", "is not TOML"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "wrong.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ObjectiveError) as refused:
        load(path)
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ObjectiveError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [*METRICS, "<", "<=", ">", ">=", "==", "2", "95", "1e9", "nan", "s", "ms", "%", "x", "/s", "USD", " ", "valid", "é"]
)


@given(st.text() | st.lists(WORDS, max_size=6).map("".join))
def test_any_text_is_an_objective_that_reads_back_or_one_sentence(text):
    try:
        one = objective(text)
    except ObjectiveError as error:
        assert "\n" not in str(error)
    else:
        assert objective(one.text) == one


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(["objective", "baseline", "more"]),
        PLAIN
        | st.lists(st.dictionaries(st.sampled_from(["that", "abort", "after"]), PLAIN))
        | st.dictionaries(st.sampled_from(METRICS), PLAIN),
    )
)
def test_any_content_is_read_or_refused_in_one_sentence(content):
    with pytest.raises(ObjectiveError) as refused:
        objectives(content)
        raise ObjectiveError("it was read")
    assert "\n" not in str(refused.value)
