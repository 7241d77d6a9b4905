"""Signals that end a run in good order, with the name that run.json has for each. A test tries one of them in CI, the others nightly."""

import signal

import pytest

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP", signal.SIGQUIT: "SIGQUIT"}


def numbers(in_ci):
    """Parameters: the signals."""
    return [pytest.param(number, marks=_marks(number, in_ci)) for number in NAMES]


def endings(in_ci):
    """Parameters: the signals and their names."""
    return [pytest.param(number, name, marks=_marks(number, in_ci)) for number, name in NAMES.items()]


def _marks(number, in_ci):
    return () if number == in_ci else pytest.mark.nightly
