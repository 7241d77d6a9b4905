"""Signals that end a run in good order, with the name that run.json has for each."""

import signal

ENDINGS = [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP"), (signal.SIGQUIT, "SIGQUIT")]
NUMBERS = [number for number, _ in ENDINGS]
