"""What children of a run get of its environment."""

import re

from coldburst import keys
from coldburst.record import provenance
from tests.support.locusts import ROOT

OF_KEYS = {name: value for name, value in vars(keys).items() if name.endswith("_KEY")}


def test_no_key_is_passed_to_the_report_or_an_embedded_service(monkeypatch):
    variables = {*OF_KEYS.values(), "API_TOKEN", "COLDBURST_CLUSTER_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    for variable in variables:
        monkeypatch.setenv(variable, "sesame-7c1f0e")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-1")
    passed = provenance.environment()
    assert passed["AWS_DEFAULT_REGION"] == "eu-1"
    assert not [name for name, value in passed.items() if "sesame" in value]


def test_every_variable_of_a_key_in_the_source_is_among_them():
    named = {
        match
        for path in (ROOT / "coldburst").rglob("*.py")
        for match in re.findall(r'"([A-Z_]+_API_KEY|COLDBURST_\w+_KEY)"', path.read_text())
    }
    assert len(named) > 4
    assert named <= set(provenance.SECRETS)
