"""Checks the options of a run once, from a form or before a headless run; the next run starts with the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coldburst.load import preflight, run_options, spend_limit
from coldburst.load.objective_watch import check_abort
from coldburst.load.permitted import Permitted
from coldburst.load.run_options import RunPlan
from coldburst.load.run_spec import RunSpec, unused
from coldburst.load.spend_limit import SpendLimit
from coldburst.option import Option, OptionError, attribute
from coldburst.record import objectives, provenance
from coldburst.record.objectives import ObjectiveError, Objectives
from coldburst.redact import redact
from coldburst.targets import factory
from coldburst.targets.address import infer
from coldburst.targets.survey import Survey


@dataclass(frozen=True)
class CheckedRun:
    """A run that may start.

    Attributes:
        spec, values: its test, and the given values.
        plan: made from them.
        limit: what it may spend; None: no limit.
        found: what REST v2 says of the endpoint; None if it was not asked.
    """

    spec: RunSpec
    values: Mapping[str, Any]
    plan: RunPlan
    key: str
    objectives: Objectives
    limit: SpendLimit | None = None
    found: Survey | None = None


class OptionChecker:
    """Checks the options in Locust's ``environment`` for its test classes.

    Args:
        specs: the tests that Locust can run, by class name.
        shared: the options of the command line.
    """

    def __init__(self, environment: Any, specs: Mapping[str, RunSpec], shared: Mapping[str, Option]) -> None:
        self._environment, self._specs, self._shared = environment, specs, shared
        self._checked: CheckedRun | None = None
        given = [
            (option, value)
            for spec in specs.values()
            for option in spec.options
            for value in (option.default, getattr(environment.parsed_options, attribute(option), ""))
        ]
        self._permitted = Permitted([self.host, *(spec.host for spec in specs.values())], given)

    @property
    def host(self) -> str:
        """The given endpoint, or ""."""
        return str(self._environment.host or self._environment.parsed_options.host or "")

    def only(self, names: Sequence[str] | None = None) -> RunSpec:
        """The single test among the user classes of these names (None: those that Locust runs). Raises OptionError if there is none."""
        names = [user.__name__ for user in self._environment.user_classes] if names is None else names
        if len(names) != 1 or names[0] not in self._specs:
            raise OptionError(self._several(names))
        spec = self._specs[names[0]]
        if spec.problem:
            raise OptionError(spec.problem)
        return spec

    def _several(self, names: Sequence[str]) -> str:
        parsed, tests = self._environment.parsed_options, ", ".join(self._specs)
        plain = [name for name in names if name not in self._specs]
        besides = f" (and {', '.join(plain)}, which coldburst does not run)" if plain else ""
        pick = "pick it in the form" if parsed.class_picker else "choose it in the web UI with --class-picker"
        example = f"locust -f {parsed.locustfile} --headless {next(iter(self._specs))}"
        return f"one test runs at a time, and there are {tests}{besides}: name one, as in '{example}', or {pick}"

    def check(self, form: Mapping[str, str] | None = None, picked: Sequence[str] | None = None) -> CheckedRun:
        """The run of the present options, or of the values of a form.

        Args:
            picked: the classes picked in the form; None if it offers none.

        Raises:
            ValueError: an option is wrong, or needs consent; one sentence.
        """
        spec = self.only(picked)
        given = vars(self._environment.parsed_options)
        if form is None and (sentence := unused(spec, tuple(self._specs.values()), given, self._shared)):
            raise OptionError(sentence)
        self._checked = found = self._check(spec, self._values(spec, form or {}))
        if form is not None and spec.kind.consent:
            spec.kind.consent({**found.plan.options, "host": found.plan.host})
        return found

    def take(self) -> CheckedRun:
        """The options of the run that starts now, from an earlier check if none has changed. Raises ValueError if one is wrong."""
        before, self._checked = self._checked, None
        spec = self.only()
        values = self._values(spec, {})
        return before if before and (before.spec, before.values) == (spec, values) else self._check(spec, values)

    def plan_for_generator(self, values: Mapping[str, Any], test: str, keyed: bool) -> RunPlan:
        """The plan of a generator's part in a distributed run.

        Args:
            values: the master's options.
            test: the name of the master's test.
            keyed: whether the master has a key. Keys are not transmitted, so each generator needs it in its environment.

        Raises:
            ValueError: this generator cannot take part; one sentence.
        """
        spec = next((spec for spec in self._specs.values() if spec.name == test), None)
        if spec is None:
            own = ", ".join(f"'{spec.name}'" for spec in self._specs.values())
            raise OptionError(f"its locustfile has {own} but the master runs '{test}': start both with the same locustfile")
        place = {"runs": values["runs"] or next(option.default for option in spec.general if option.name == "--runs")}
        plan = run_options.check({**values, **place}, spec.stages(values), own=self._own_request(spec))
        if keyed and not run_options.key(plan):
            raise OptionError(f"{run_options.key_variable(plan)} is set on the master but not here: set it on each generator")
        return plan

    def _values(self, spec: RunSpec, form: Mapping[str, str]) -> dict[str, Any]:
        values = spec.values({**vars(self._environment.parsed_options), **form}, self._shared)
        host = form.get("host", self.host) or spec.host
        return values | {"host": "" if host == run_options.EMBEDDED else host}

    def _check(self, spec: RunSpec, values: Mapping[str, Any]) -> CheckedRun:
        if self._environment.web_ui:
            self._permitted.check_files(spec.options, values)
        plan = run_options.check(values, spec.stages(values), confined=bool(self._environment.web_ui), own=self._own_request(spec))
        key = run_options.key(plan)
        if self._environment.web_ui and key:
            self._permitted.check_key(plan.host, run_options.key_variable(plan))
        self._preflight(plan, key)
        found = spend_limit.look(plan, key)
        return CheckedRun(spec, values, plan, key, _objectives(spec, plan), spend_limit.check(plan, found), found)

    def _own_request(self, spec: RunSpec) -> Callable[[Any], object] | None:
        """The test's own ``request``, of an instance for this run."""
        return spec.requester(self._environment).request if spec.requester else None

    def _preflight(self, plan: RunPlan, key: str) -> None:
        """Raises OptionError if the endpoint is not there. A master checks only what it polls: services are reached by its generators."""
        address = infer(plan.host, plan.kind)
        if plan.own and not address.api:
            # The route that the code calls is not known: the check only connects.
            address = replace(address, kind="balancer")
        if not plan.host or plan.options["no_preflight"] == "yes":
            return
        if address.api or not self._environment.parsed_options.master:
            credentials = preflight.Credentials(key, run_options.key_variable(plan), plan.options["auth"])
            preflight.check(address, credentials, factory.route(address, plan.options["path"]))


def command() -> list[str] | None:
    """The words that started this Locust, without secrets; None in another program."""
    words = provenance.command()
    return words and [redact(word) for word in words]


def _objectives(spec: RunSpec, plan: RunPlan) -> Objectives:
    """The objectives of --objectives. Raises ValueError if the run cannot use one."""
    if plan.options["objectives"] and plan.options["report"] == "no":
        raise ObjectiveError("--objectives are checked by the report: leave out --report no, or check them later with coldburst gate")
    if not plan.options["objectives"]:
        return Objectives(())
    read = objectives.load(Path(plan.options["objectives"]))
    for one in read.objectives:
        if one.abort and spec.kind.sweeps:
            raise ObjectiveError(f"objective '{one.text}': abort is not possible in a sweep; compare its settings with --objective")
        if one.abort:
            check_abort(one)
    return read
