"""The fields of the live page's form: six that most runs need, the others by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coldburst.option import Option, attribute

# The fields that are not folded, if the tests have them; "host" is Locust's own.
FIRST = ("host", "schedule", "data", "max_in_flight", "price", "objectives")
# Title of a test's own options.
OWN = "This test"
# What an empty host means.
HOST_SHOWN = "embedded"
HOST = Option("--host", "", "URL", "Endpoint, such as https://api.runpod.ai/v2/ID; embedded: one that is started on this machine")


@dataclass(frozen=True)
class Field:
    """One field: the option's name and label, its help text, the value at the start, and the values to choose from (none: any text)."""

    name: str
    label: str
    what: str
    value: str
    choices: tuple[str, ...]


@dataclass(frozen=True)
class FieldGroup:
    """Fields below a title; the first group has none."""

    title: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class StartForm:
    """The form as it is now: Locust's ``web_ui`` knows the options' values and the test classes to choose from."""

    web_ui: Any
    options: Mapping[str, Sequence[Option]]

    @property
    def groups(self) -> list[FieldGroup]:
        """The fields with the values that the next run would have."""
        environment = self.web_ui.environment
        return field_groups(self.options, vars(environment.parsed_options) | {"host": environment.host or HOST_SHOWN})

    @property
    def tests(self) -> list[str]:
        """The test classes, if there are several to choose from."""
        return sorted(self.web_ui.environment.available_user_classes) if self.web_ui.userclass_picker_is_active else []


def field_groups(groups: Mapping[str, Sequence[Option]], values: Mapping[str, Any]) -> list[FieldGroup]:
    """The fields of options by group title, with their ``values``; those of FIRST are not folded.

    Nor are those of the test itself, the first group, where it has no schedule: they say what is sent.
    """
    own, *others = groups.items()
    known = {attribute(option): option for option in (HOST, *(option for group in groups.values() for option in group))}
    first = [known[name] for name in FIRST if name in known]
    if "schedule" not in known:
        first += [option for option in own[1] if option not in first]
    rest = [(title, [option for option in group if option not in first]) for title, group in ((OWN, own[1]), *others)]
    shown = [("", first), *rest]
    return [FieldGroup(title, tuple(_field(option, values) for option in group)) for title, group in shown if group]


def _field(option: Option, values: Mapping[str, Any]) -> Field:
    name = attribute(option)
    value = values.get(name, option.default)
    return Field(name, name.replace("_", " ").capitalize(), option.what, "" if value is None else str(value), option.choices or ())
