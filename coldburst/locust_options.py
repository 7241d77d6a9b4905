"""Locust's own options that mean nothing to a schedule of arrivals, and what to use instead."""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple

from coldburst.option import OptionError


class Refused(NamedTuple):
    """An option of Locust: its attribute, flag and environment variable, the value that stands for "not given", what to do instead."""

    attribute: str
    flag: str
    variable: str
    unset: object
    instead: str


REFUSED = (
    Refused("num_users", "--users", "LOCUST_USERS", None, "load is arrivals, not users: use --schedule, and --max-in-flight as the limit"),
    Refused("spawn_rate", "--spawn-rate", "LOCUST_SPAWN_RATE", None, "load is arrivals, not users: write rates in --schedule"),
    Refused(
        "tags", "--tags", "LOCUST_TAGS", None, "a test has no tasks to choose from: name its class, as in 'locust -f locustfiles/ Burst'"
    ),
    Refused("exclude_tags", "--exclude-tags", "LOCUST_EXCLUDE_TAGS", None, "a test has no tasks to choose from: name the class to run"),
    Refused("stop_timeout", "--stop-timeout", "LOCUST_STOP_TIMEOUT", 0, "use --drain-timeout, the time that requests in flight get"),
    Refused(
        "reset_stats", "--reset-stats", "LOCUST_RESET_STATS", False, "every request counts: give the schedule a stage to warm up instead"
    ),
    Refused("config_users", "--config-users", "LOCUST_CONFIG_USERS", None, "set the option of that name, or the attribute in the class"),
    Refused("equal_weights", "--equal-weights", "", False, "one test runs at a time: name its class"),
    Refused("enable_rebalancing", "--enable-rebalancing", "", False, "generators that join or leave always share the arrivals anew"),
)


def check_port(host: str, port: int, flag: str) -> None:
    """Raises OptionError if no server can listen at ``host`` ("" or "*": every interface) and ``port``."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("" if host == "*" else host, port))
    except OSError as error:
        where = f"{host}:{port}" if host else f"port {port}"
        raise OptionError(f"cannot listen on {where} ({error.strerror}): stop the program there, or choose another with {flag}") from error


def refuse(parsed: Any) -> None:
    """Raises OptionError for the first of Locust's options that was given and has no effect; one sentence."""
    for option in REFUSED:
        if getattr(parsed, option.attribute, option.unset) != option.unset:
            source = f" (set by {option.variable})" if option.variable in os.environ else ""
            raise OptionError(f"{option.flag}{source} has no effect here: {option.instead}")
