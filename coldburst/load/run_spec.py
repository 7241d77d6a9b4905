"""Test classes: their kinds, and their attributes as defaults of the command-line options."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from os import PathLike
from typing import Any

from coldburst.lines import one_line
from coldburst.load import run_options
from coldburst.load.run_options import RunPlan
from coldburst.load.stage_hooks import StageHooks
from coldburst.option import Option, OptionError, attribute, parser
from coldburst.schedule.stages import EXAMPLE, Stage

# From this similarity (difflib's ratio) an unknown attribute counts as a misspelt option.
ALIKE = 0.8
# Longest default of a class in the help of several.
LONGEST = 30
SCHEDULE = Option("--schedule", "", "STAGES", f"Load, stage by stage, such as '{EXAMPLE}'")
MAX_IN_FLIGHT = 500
CAP = Option("--max-in-flight", MAX_IN_FLIGHT, "N", "Limit on requests in flight, such as 15; a closed loop has its own number")
MISSING = object()


@dataclass(frozen=True)
class RunKind:
    """What one kind of test adds to a run.

    Attributes:
        options: its options, in addition to those of every run.
        max_in_flight: default of --max-in-flight.
        stages: makes the schedule from the options; None: it is read from --schedule.
        hooks: makes the hooks around stages from plan and API key, or None; with hooks a stage begins after the last response of the
            one before.
        consent: raises ValueError if options cost money and the user did not agree; called before a run starts from a form.
        embedded: arguments for the embedded emulator.
    """

    options: tuple[Option, ...] = ()
    max_in_flight: int = MAX_IN_FLIGHT
    stages: Callable[[Mapping[str, Any]], tuple[Stage, ...]] | None = None
    hooks: Callable[[RunPlan, str], StageHooks | None] | None = None
    consent: Callable[[Mapping[str, Any]], None] | None = None
    embedded: tuple[str, ...] = ()

    @property
    def sweeps(self) -> bool:
        """Whether it compares settings by --objective."""
        return any(option.name == "--objective" for option in self.options)


@dataclass(frozen=True)
class RunSpec:
    """What a test class says.

    Attributes:
        name: of the run: the class's name in lower case.
        own, general: the options of its kind, and of every run, with the class's defaults.
        host: the class's endpoint.
        problem: an error in its attributes, or "".
        requester: the class if it has a method ``request``, which then makes the requests.
    """

    class_name: str
    name: str
    kind: RunKind
    own: tuple[Option, ...]
    general: tuple[Option, ...]
    host: str
    problem: str
    requester: Any = None

    @property
    def options(self) -> tuple[Option, ...]:
        """Own and general options."""
        return (*self.own, *self.general)

    def values(self, given: Mapping[str, Any], shared: Mapping[str, Option]) -> dict[str, Any]:
        """The values of this test's options by name, from the command line or a form. Raises OptionError if one is wrong.

        In ``shared``, the command line's options, an empty default stands for the class's own.
        """
        return {attribute(option): _value(option, given[attribute(option)], shared[attribute(option)]) for option in self.options}

    def stages(self, values: Mapping[str, Any]) -> tuple[Stage, ...] | None:
        """The schedule if the kind makes it; None if it is read from --schedule. Raises OptionError if there is none."""
        if "schedule" in values and not str(values["schedule"]).strip():
            raise OptionError(f"{self.class_name} has no schedule: give the class one, as in schedule = '{EXAMPLE}', or use --schedule")
        return self.kind.stages(values) if self.kind.stages else None


@cache
def spec_of(test: Any) -> RunSpec:
    """The spec of a test class (a subclass of ``coldburst.ArrivalUser``)."""
    kind: RunKind = test.kind
    schedule = () if kind.stages else (SCHEDULE,)
    known = (*schedule, *kind.options, CAP._replace(default=kind.max_in_flight))
    try:
        _check_names(test, (*known, *run_options.OPTIONS))
        own, general = (tuple(_with_default(test, option) for option in options) for options in (known, run_options.OPTIONS))
        problem = ""
    except OptionError as error:
        own, general, problem = known, run_options.OPTIONS, str(error)
    return RunSpec(
        test.__name__,
        test.__name__.lower(),
        kind,
        own,
        general,
        test.host or "",
        problem,
        test if callable(getattr(test, "request", None)) else None,
    )


def shared_options(specs: Sequence[RunSpec]) -> dict[str, Option]:
    """The options of all ``specs`` by attribute name. A default in which classes differ is "", which stands for the class's own."""
    found: dict[str, list[tuple[str, Option]]] = {}
    for spec in specs:
        for option in spec.options:
            found.setdefault(attribute(option), []).append((spec.class_name, option))
    return {name: _shared(options) for name, options in found.items()}


def option_groups(specs: Sequence[RunSpec]) -> dict[str, tuple[Option, ...]]:
    """The options of all ``specs`` by group title, their own first."""
    shared = shared_options(specs)
    own = {attribute(option): shared[attribute(option)] for spec in specs for option in spec.own}
    title = f"the test{'s' if len(specs) > 1 else ''}: {', '.join(spec.class_name for spec in specs)}"
    groups = {title: tuple(own.values())}
    return groups | {title: tuple(shared[attribute(option)] for option in options) for title, options in run_options.GROUPS.items()}


def add_options(parser: Any, specs: Sequence[RunSpec]) -> None:
    """Adds the options of all ``specs`` to Locust's parser (or another of argparse)."""
    groups = option_groups(specs)
    # Options of one test among several would make the short help long.
    run_options.add(
        parser, groups, [name for name in run_options.MAIN if all(name in {one.name for one in spec.options} for spec in specs)]
    )


def unused(spec: RunSpec, others: Sequence[RunSpec], given: Mapping[str, Any], shared: Mapping[str, Option]) -> str:
    """A sentence about the first given option that this test does not have, or ""."""
    has = {attribute(option) for option in spec.options}
    for name, option in shared.items():
        if name not in has and given[name] != option.default:
            of = ", ".join(other.class_name for other in others if option.name in {one.name for one in other.options})
            return f"{spec.class_name} has no {option.name}, which is an option of {of}: leave it out"
    return ""


def _shared(options: Sequence[tuple[str, Option]]) -> Option:
    first = options[0][1]
    whats = {option.what: name for name, option in reversed(options)}
    what = first.what if len(whats) == 1 else "; ".join(f"{name}: {option.what}" for name, option in options if whats[option.what] == name)
    if len({(type(option.default), option.default) for _, option in options}) == 1:
        return first._replace(what=what)
    defaults = ", ".join(f"{name} {one_line(str(option.default), LONGEST)}" for name, option in options)
    choices = ("", *first.choices) if first.choices else None
    return first._replace(default="", what=f"{what} (default by class: {defaults})", choices=choices)


def _value(option: Option, given: Any, shared: Option) -> Any:
    if given == "" and shared.default == "":
        return option.default
    try:
        value = parser(option)(given)
    except ValueError as error:
        name = attribute(option).replace("_", " ")
        raise OptionError(f"'{given}' is not a number: {name} needs one, as in {option.default}") from error
    if option.choices and value not in option.choices:
        raise OptionError(f"{option.name} '{value}' is not one of {', '.join(option.choices)}")
    return value


def _check_names(test: Any, known: Sequence[Option]) -> None:
    """Raises OptionError for an attribute that looks like a misspelt option, and for a schedule if the kind makes its own."""
    names = [attribute(option) for option in known]
    for one in test.__mro__:
        if "kind" in vars(one):
            return  # one of coldburst's own
        for name in vars(one):
            if name == "schedule" and name not in names:
                raise OptionError(f"{test.__name__}.schedule has no effect: this kind of test makes its schedule from other options")
            if name.startswith("_") or name in ("request", *names) or hasattr(test.__mro__[-2], name):
                continue
            if alike := get_close_matches(name, names, n=1, cutoff=ALIKE):
                raise OptionError(f"{test.__name__}.{name} is not an option: did you mean {alike[0]}?")


def _with_default(test: Any, option: Option) -> Option:
    value = getattr(test, attribute(option), MISSING)
    return option if value is MISSING else option._replace(default=_default(test, option, value))


def _default(test: Any, option: Option, value: Any) -> str | int | float:
    """A class attribute as an option's default: a list becomes text with commas, a bool yes or no, the object in ``input`` JSON."""
    kind = type(option.default)
    if isinstance(value, dict) and option.name == "--input":
        return json.dumps(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, bool) and option.choices and {*option.choices} == {"yes", "no"}:
        return "yes" if value else "no"
    if kind is str and isinstance(value, list | tuple | range) and value:
        return ",".join(map(str, value))
    if kind is str and (number or isinstance(value, str | PathLike)):
        return str(value)
    if number and (kind is float or isinstance(value, int)):
        return kind(value)
    what = {str: "text", int: "a whole number", float: "a number"}[kind]
    example = option.default if option.default != "" else "burst 30"
    raise OptionError(f"{test.__name__}.{attribute(option)} = {value!r} is not {what}: write it as in {attribute(option)} = {example!r}")
