"""Locust's own options that have no effect on a schedule of arrivals, and what to use instead."""

from __future__ import annotations

import os
import socket
from typing import Any

from coldburst.option import OptionError

REFUSED = {
    "--users": "load is arrivals, not users: use --schedule, and --max-in-flight as the limit",
    "--spawn-rate": "load is arrivals, not users: write rates in --schedule",
    "--tags": "a test has no tasks to choose from: name its class, as in 'locust -f locustfiles/ Burst'",
    "--exclude-tags": "a test has no tasks to choose from: name the class to run",
    "--stop-timeout": "use --drain-timeout, the time that requests in flight get",
    "--reset-stats": "every request counts: give the schedule a stage to warm up instead",
    "--config-users": "set the option of that name, or the attribute in the class",
    "--equal-weights": "one test runs at a time: name its class",
    "--enable-rebalancing": "arrivals are always shared again when generators join or leave",
}


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
    """Raises OptionError for the first of these options that was given."""
    for flag, instead in REFUSED.items():
        name = flag.removeprefix("--").replace("-", "_")
        value = getattr(parsed, "num_users" if flag == "--users" else name, None)
        if value is None or value is False or (flag, value) == ("--stop-timeout", 0):
            continue
        variable = f"LOCUST_{name.upper()}"
        source = f" (set by {variable})" if variable in os.environ else ""
        raise OptionError(f"{flag}{source} has no effect here: {instead}")
