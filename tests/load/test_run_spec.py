"""Test classes are read: attributes become the defaults of options, and what is wrong with one is a sentence."""

import argparse
from pathlib import Path

import pytest

from coldburst.load.run_options import OPTIONS
from coldburst.load.run_spec import RunKind, add_options, shared_options, spec_of, unused
from coldburst.option import Option, OptionError, attribute


class User:
    """In the place of Locust's: its attributes are no misspelt ones."""

    host = None
    weight = 1


class Arrivals(User):
    kind = RunKind()


class Workers(User):
    kind = RunKind((Option("--workers", "1,2", "N,N", "Numbers"),), 64, stages=lambda _: ())


class Times(User):
    kind = RunKind((Option("--workers", 1, "N", "Workers"),), stages=lambda _: ())


def made(base, name="Burst", **attributes):
    """A test class, as a locustfile would write it."""
    return type(name, (base,), attributes)


def defaults(test):
    return {attribute(option): option.default for option in spec_of(test).options}


def test_attributes_are_the_defaults_and_the_rest_stays_as_it_is():
    spec = spec_of(made(Arrivals, schedule="burst 30", max_in_flight=30, host="http://127.0.0.1:9"))
    assert (spec.name, spec.class_name, spec.host, spec.problem) == ("burst", "Burst", "http://127.0.0.1:9", "")
    own = {"schedule": "burst 30", "max_in_flight": 30}
    assert {attribute(option): option.default for option in spec.options} == own | {attribute(one): one.default for one in OPTIONS}


@pytest.mark.parametrize(
    ("given", "default"),
    [
        ({"workers": (1, 2, 3)}, "1,2,3"),
        ({"workers": range(1, 4)}, "1,2,3"),
        ({"workers": 2}, "2"),
        ({"yes": True}, "yes"),
        ({"figures": False}, "no"),
        ({"max_wer": 0.3}, "0.3"),
        ({"expect": ["output.images", "length(a) > 1"]}, "output.images,length(a) > 1"),
        ({"input": {"input": {"n": "{{seq}}"}}}, '{"input": {"n": "{{seq}}"}}'),
        ({"deadline": 60}, 60.0),
        ({"clips": Path("samples")}, "samples"),
    ],
)
def test_a_value_may_be_written_as_python_has_it(given, default):
    found = defaults(made(Workers, **given))[next(iter(given))]
    assert (found, type(found)) == (default, type(default))


@pytest.mark.parametrize(
    ("base", "given", "sentence"),
    [
        (Arrivals, {"max_in_flight": "many"}, "Burst.max_in_flight = 'many' is not a whole number: write it as in max_in_flight = 500"),
        (Arrivals, {"max_in_flight": 1.5}, "Burst.max_in_flight = 1.5 is not a whole number: write it as in max_in_flight = 500"),
        (Arrivals, {"max_in_flight": True}, "Burst.max_in_flight = True is not a whole number: write it as in max_in_flight = 500"),
        (Arrivals, {"schedule": None}, "Burst.schedule = None is not text: write it as in schedule = 'burst 30'"),
        (Arrivals, {"deadline": "soon"}, "Burst.deadline = 'soon' is not a number: write it as in deadline = 300.0"),
        (Arrivals, {"schedul": "burst 3"}, "Burst.schedul is not an option: did you mean schedule?"),
        (Arrivals, {"max_inflight": 3}, "Burst.max_inflight is not an option: did you mean max_in_flight?"),
        (Workers, {"worker": (1, 2)}, "Burst.worker is not an option: did you mean workers?"),
        (Workers, {"schedule": "burst 3"}, "Burst.schedule has no effect: this kind of test makes its schedule from other options"),
        (Workers, {"workers": ()}, "Burst.workers = () is not text: write it as in workers = '1,2'"),
    ],
)
def test_a_wrong_attribute_is_one_sentence(base, given, sentence):
    assert spec_of(made(base, **given)).problem == sentence


def test_a_misspelt_attribute_is_found_in_a_class_between_too():
    assert "did you mean schedule?" in spec_of(made(made(Arrivals, "Shared", schedul="burst 3"))).problem


def test_attributes_that_resemble_no_option_are_the_users_own():
    spec = spec_of(made(Arrivals, schedule="burst 3", _schedul=1, voices=("a", "b"), weight=3, on_start=lambda self: None))
    assert spec.problem == ""


def test_where_classes_differ_the_command_lines_default_is_empty_and_stands_for_each_ones_own():
    one, other = spec_of(made(Arrivals, "One", schedule="burst 3")), spec_of(made(Arrivals, "Other", schedule="burst 4", deadline=9))
    shared = shared_options((one, other))
    assert [shared[name].default for name in ("schedule", "deadline", "max_in_flight", "language")] == ["", "", 500, "en"]
    assert "One burst 3, Other burst 4" in shared["schedule"].what
    given = {name: option.default for name, option in shared.items()}
    assert [spec.values(given, shared)["schedule"] for spec in (one, other)] == ["burst 3", "burst 4"]
    assert [spec.values(given, shared)["deadline"] for spec in (one, other)] == [300.0, 9.0]
    changed = one.values(given | {"schedule": "burst 9", "deadline": "5", "language": ""}, shared)
    assert (changed["schedule"], changed["deadline"], changed["language"]) == ("burst 9", 5.0, "")


def test_one_name_may_be_a_number_in_one_class_and_a_list_in_another():
    some, each = spec_of(made(Workers, "Some")), spec_of(made(Times, "Each"))
    shared = shared_options((some, each))
    given = {name: option.default for name, option in shared.items()} | {"workers": "3"}
    assert some.values(given, shared)["workers"] == "3"
    assert each.values(given, shared)["workers"] == 3
    with pytest.raises(OptionError, match="'1,2' is not a number: workers needs one, as in 1"):
        each.values(given | {"workers": "1,2"}, shared)
    with pytest.raises(OptionError, match="--yes 'perhaps' is not one of no, yes"):
        some.values(given | {"yes": "perhaps"}, shared)


def test_an_option_of_another_class_is_told():
    burst, workers = spec_of(made(Arrivals, schedule="burst 3")), spec_of(made(Workers, "Scaling"))
    shared = shared_options((burst, workers))
    given = {name: option.default for name, option in shared.items()}
    assert unused(burst, (burst, workers), given, shared) == ""
    assert unused(burst, (burst, workers), given | {"workers": "3"}, shared) == (
        "Burst has no --workers, which is an option of Scaling: leave it out"
    )


def test_no_schedule_at_all_is_told():
    spec = spec_of(made(Arrivals))
    with pytest.raises(OptionError, match="Burst has no schedule: give the class one"):
        spec.stages({"schedule": " "})


def test_the_command_line_shows_each_option_once():
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser, [spec_of(made(Arrivals, schedule="burst 3")), spec_of(made(Workers, "Scaling")), spec_of(made(Times, "Matrix"))])
    text = parser.format_help()
    assert "coldburst, the tests: Burst, Scaling, Matrix:" in text
    parsed = vars(parser.parse_args(["--workers", "2", "--deadline", "9"]))
    assert (parsed["schedule"], parsed["workers"], parsed["deadline"]) == ("burst 3", "2", 9.0)


@pytest.mark.parametrize(("words", "agreed"), [([], "no"), (["--yes"], "yes"), (["--yes", "yes"], "yes"), (["--yes", "no"], "no")])
def test_an_agreement_is_a_flag_and_may_have_its_earlier_value(words, agreed):
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser, [spec_of(made(Workers, "Scaling"))])
    assert parser.parse_args([*words, "--workers", "2"]).yes == agreed


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "9" * 400, "two"])
def test_a_number_is_finite(text, capsys):
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser, [spec_of(made(Arrivals, schedule="burst 3"))])
    with pytest.raises(SystemExit):
        parser.parse_args([f"--deadline={text}"])
    assert "--deadline: invalid" in capsys.readouterr().err
