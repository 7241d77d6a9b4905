"""What is expected of answers, and where their errors are: expressions, their messages, and empty answers of common workers."""

import argparse

import pytest

from coldburst.load import run_options
from coldburst.load.run_options import SENT
from coldburst.option import OptionError
from coldburst.targets.checks import ANY, checks, empty
from coldburst.targets.expression import compiled, parts

JOB = {"status": "COMPLETED", "output": {"images": ["a", "b"], "status": "done", "seed": 0, "usage": {"total": 12.5}, "note": ""}}
CHUNKS = {"status": "COMPLETED", "output": [{"text": "a"}, {"text": "b", "usage": {"total": 2}}]}


def asked(**given):
    """The options, of which ``given`` are set."""
    return {"expect": "auto", "error_at": "auto", "unit": ""} | given


def holds(text, content=JOB):
    return compiled(text, "--expect").holds(content)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("output.images", True),
        ("images", True),
        ("output.note", False),
        ("output.missing", False),
        ("output.seed", True),  # 0 is there
        ("length(output.images) >= 2", True),
        ("length(output.images) >= `3`", False),
        ("2 <= length(output.images)", True),
        ("output.usage.total > 12.4 && output.usage.total < 1.3e1", True),
        ("output.seed > -1", True),
        ('output.status == "done"', True),
        ("output.status == 'done'", True),
        ('output.status != "failed"', True),
        ("output.note == null", False),
        ("output.missing == null", True),
        ("length(output.missing) >= 1", False),
        ("contains(output.status, 'on')", True),
        ("output.images[0] == 'a'", True),
        ("!(output.missing)", True),
    ],
)
def test_an_expression_holds_or_not(text, true):
    assert holds(text) is true


def test_a_path_goes_through_lists_and_may_have_output_before_it_or_not():
    assert holds("output.usage", CHUNKS) and holds("usage.total", CHUNKS) and not holds("output.segments", CHUNKS)
    plain = {"images": ["a"]}  # a load balancer's answer has no output of its own
    assert holds("output.images", plain) and holds("images", plain) and not holds("output.text", plain)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a..b", "it cannot be read from '.b' on"),
        ("a = 2", "it cannot be read from '= 2' on"),
        ("lenght(a) > 2", "there is no function lenght()"),
        ("a && length(b, c)", "length() takes 1 argument, and 2 are given"),
        ("a ==", "it ends too early"),
        ("'a", "it cannot be read from ''a' on"),
    ],
)
def test_a_bad_expression_is_one_sentence_with_its_place_and_a_right_one(text, message):
    with pytest.raises(OptionError) as caught:
        checks(asked(expect=text))
    assert str(caught.value) == f"--expect '{text}' is not a JMESPath expression: {message}; write it as in 'length(output.images) >= 2'"


def test_expressions_are_separated_outside_brackets_and_quotes():
    assert parts("a; length(b) > 1 , contains(c, 'x;y')") == ["a", "length(b) > 1", "contains(c, 'x;y')"]
    assert parts(" ; ") == []


def test_what_is_not_met_is_told_with_what_is_there():
    found = checks(asked(expect="output.images; length(output.images) >= 3")).lack(JOB, JOB["output"])
    assert found.startswith('expected length(output.images) >= 3, found 2 in {"images": ["a", "b"], ')
    assert checks(asked(expect="output.text")).lack(CHUNKS | {"output": "no"}, "no") == ('expected output.text, found null in "no"')


@pytest.mark.slow
def test_answers_of_any_depth_and_size_are_judged():
    deep = value = []
    for _ in range(900):
        value.append([])
        value = value[0]
    for text in ("output.images", "output[].images", "length(output[0][0]) > 5", "output == `[]`"):
        found = checks(asked(expect=text)).lack({"output": deep}, deep)
        assert found.startswith(f"expected {text}, found ") and len(found) < 300
    long = {"output": {"text": "x" * 20_000_000}}
    assert len(checks(asked(expect="output.text == 'x'")).lack(long, long["output"])) < 300


def test_errors_are_looked_for_at_the_given_places_and_with_auto_in_the_common_ones_too():
    output = {"detail": ["seed", 5], "error": ""}
    job = {"status": "COMPLETED", "output": output}
    assert ANY.error(job, output) == ""
    assert checks(asked(error_at="output.detail")).error(job, output) == '["seed", 5]'
    listed = {"status": "COMPLETED", "output": [{"error": {"code": 17}}]}
    assert checks(asked(error_at="output.detail")).error(listed, listed["output"]) == ""
    assert checks(asked(error_at="auto, output.detail")).error(listed, listed["output"]) == '{"code": 17}'


@pytest.mark.parametrize(
    ("output", "lack"),
    [
        ({"status": "success_no_images", "images": []}, "the workflow made no images (status success_no_images)"),
        ({"images": [], "refresh_worker": True}, "the answer's images is empty"),
        ({"image_url": "", "images": None}, "the answer's images and image_url are empty"),
        ({"object": "list", "data": []}, "the answer's data is empty"),
        ([{"choices": [{"tokens": []}]}, {"choices": [{"tokens": [""]}], "usage": {"output": 0}}], "the answer has no text"),
        ({"choices": [{"message": {"role": "assistant", "content": ""}}]}, "the answer has no text"),
        ([{"choices": [{"tokens": ["a"]}]}, {"choices": [{"tokens": []}]}], ""),
        ({"images": [], "image_url": "https://example.com/1.png"}, ""),
        ({"data": []}, ""),
        ({"text": "", "segments": []}, ""),  # nothing was said
        ({"choices": [{"index": 0}]}, ""),
        ({"status": "success"}, ""),
        (0, ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_an_empty_answer_of_a_common_worker_is_known_by_its_shape(output, lack):
    assert empty(output).startswith(lack) and bool(empty(output)) == bool(lack)
    own = checks(asked(expect="output"))
    assert not own.known


def test_an_option_may_be_given_again_and_the_first_replaces_the_default():
    parser = argparse.ArgumentParser()
    run_options.add(parser, {"one": SENT})
    for given, expected in (([], "auto"), (["a"], "a"), (["a", "b > 1"], "a; b > 1")):
        assert parser.parse_args([word for one in given for word in ("--expect", one)]).expect == expected


@pytest.mark.parametrize(
    ("unit", "content", "units"),
    [
        ("images=length(output.images)", JOB, 2.0),
        ("tokens=output.usage.total", JOB, 12.5),
        ("tokens=output.usage.total", {"usage": {"total": 3}}, 3.0),
        ("tokens=output[-1].usage.total", CHUNKS, 2.0),
        ("n=output.n", {"output": {"n": [1, 2]}}, 3.0),  # numbers in a list are added
        ("n=output.seed", JOB, 0.0),
        ("n=length(output.missing)", JOB, None),
        ("n=output.status", JOB, None),
        ("n=output.status == 'done'", JOB, None),
        ("", JOB, None),
    ],
)
def test_units_are_the_number_that_the_expression_finds(unit, content, units):
    assert checks(asked(unit=unit)).units(content).get("units") == units


@pytest.mark.parametrize("text", ["=output.n", "tokens", "Images=output.n", "images=", "a b=output.n", "length(output.images)"])
def test_a_unit_has_a_name_and_an_expression(text):
    with pytest.raises(OptionError, match="is not NAME=EXPRESSION: write it as in images='length"):
        checks(asked(unit=text))
