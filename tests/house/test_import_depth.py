"""How deep the imports inside one package go: at most five modules in a chain, and no circles."""

import ast
from functools import cache

import pytest

from tests.support.locusts import ROOT
from tests.support.sources import nodes

DEEPEST = 5
PACKAGES = sorted(
    str(path.parent.relative_to(ROOT)) for path in (ROOT / "coldburst").rglob("__init__.py") if len(list(path.parent.glob("*.py"))) > 1
)


@cache
def imports(folder):
    """For each module of a package, the modules of the same package that it imports, wherever in the file.

    Without ``__init__``, which imports its public names when they are first used.
    """
    package, modules = folder.replace("/", "."), {path.stem: path for path in (ROOT / folder).glob("*.py") if path.stem != "__init__"}
    found = {}
    for name, path in modules.items():
        used = set()
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom):
                used |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
        found[name] = {other for other in modules if f"{package}.{other}" in used and other != name}
    return found


def longest_chain(graph):
    """The longest chain of imports; fails where there is a circle."""

    @cache
    def below(name, above):
        assert name not in above, f"a circle of imports: {' > '.join((*above, name))}"
        return max(((name, *below(other, (*above, name))) for other in graph[name]), key=len, default=(name,))

    return max((below(name, ()) for name in graph), key=len)


@pytest.mark.parametrize("folder", PACKAGES)
def test_no_chain_of_imports_inside_a_package_is_longer_than_five(folder):
    graph = imports(folder)
    chain = longest_chain(graph)
    assert len(chain) <= DEEPEST, " > ".join(chain)


def test_every_package_is_looked_at():
    assert {"coldburst", "coldburst/targets", "coldburst/live/web", "coldburst/emulator/workers"} <= set(PACKAGES)
    assert sum(len(others) for folder in PACKAGES for others in imports(folder).values()) > 100


def test_a_circle_and_a_long_chain_are_seen():
    with pytest.raises(AssertionError, match="a circle of imports: a > b > a"):
        longest_chain({"a": {"b"}, "b": {"a"}})
    assert longest_chain({"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}) == ("a", "b", "c")
