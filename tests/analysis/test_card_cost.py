"""What the card of a report says of the cost."""

from dataclasses import replace

import pandas as pd
import pytest

from analysis.report.card import card
from analysis.report.report import report
from analysis.runs.load import load
from tests.support.kept import RUNS


def card_of(run):
    """What the card says of the cost."""
    made = report(run)
    return card(made.headline, made.tables, made.verdict, made.confidence, made.answer).cost


@pytest.mark.slow
def test_an_endpoint_of_this_machine_costs_nothing_and_its_gpu_would():
    """10 s of one worker in the list, at 0.001 USD a second."""
    run = load(RUNS / "burst")
    listed = pd.DataFrame({"view": "workers", "error": "", "at_s": [0.0, 10.0], "running": [1.0, 0.0]})
    listed = listed.reindex(columns=run.endpoint.columns if run.endpoint is not None else listed.columns)
    counts = ["idle", "initializing", "running", "throttled", "unhealthy"]
    listed = listed.assign(**{name: listed.get(name, pd.Series([0.0, 0.0])).fillna(0.0) for name in counts})
    priced = replace(run, endpoint=listed, about={**run.about, "options": {"price": "0.001"}})
    assert card_of(run) == "none: the endpoint ran on this machine."
    assert card_of(priced) == "none: the endpoint ran on this machine; at its GPU's price it would be $0.0100."
