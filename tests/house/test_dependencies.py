"""Dependencies stand in pyproject.toml, as ranges; requirements.txt pins one set of them; the extras' modules are theirs."""

import tomllib
from importlib.metadata import packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import coldburst
from coldburst.installation import EXTRAS
from coldburst.record import provenance
from tests.support.locusts import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OF_EXTRAS = PROJECT["optional-dependencies"]


def requirements(lines):
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def pinned():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return requirements(line for line in lines if line and not line.startswith("#"))


def asked_for():
    return requirements([*PROJECT["dependencies"], *(line for extra in EXTRAS for line in OF_EXTRAS[extra])])


def test_every_dependency_is_pinned_and_nothing_else_is():
    assert pinned().keys() == asked_for().keys()


def test_every_pin_is_within_its_range():
    for name, one in asked_for().items():
        (pin,) = pinned()[name].specifier
        assert pin.operator == "=="
        assert one.specifier.contains(pin.version), f"{name} {pin.version} is not within {one.specifier}"
        assert ">=" in {part.operator for part in one.specifier}, name


def test_an_extras_modules_are_those_of_its_distributions():
    assert set(OF_EXTRAS) == {*EXTRAS, "all"}
    assert OF_EXTRAS["all"] == [f"coldburst[{','.join(EXTRAS)}]"]
    of = packages_distributions()
    for extra, modules in EXTRAS.items():
        brought = {canonicalize_name(name) for module in modules for name in of[module]}
        assert brought == requirements(OF_EXTRAS[extra]).keys(), extra


def test_the_version_stands_in_one_place():
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT
    assert provenance.versions()["coldburst"] == coldburst.__version__
