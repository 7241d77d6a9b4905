"""The command of the transcription service: the stand-in for a GPU box, with an OpenAI-style surface and a real recogniser.

    python -m coldburst.transcriber --help

This module is light on purpose: each slot process imports it again.
"""

# ruff: noqa: PLC0415 - each slot process imports this file, and pays for what it imports

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coldburst.installation import program
from coldburst.signals import ending_signals
from coldburst.transcriber.service_process import in_url, listen, open_log, start_error
from coldburst.transcriber.settings import PROGRAM, TranscriberOptions, parse

if TYPE_CHECKING:
    from coldburst.transcriber.slots import Slots


def start_slots(options: TranscriberOptions) -> Slots:
    """The slots that the options ask for, loading already when they are processes."""
    from coldburst.transcriber.slots import FixedSlots, ProcessSlots

    if options.engine == "fixed":
        return FixedSlots(options.service_time_s)
    slots = ProcessSlots(options.max_concurrent, options.engine, options.model)
    for slot in range(options.max_concurrent):
        slots.start(slot)
    return slots


def main(words: Sequence[str] | None = None) -> int:
    """Run the service; the exit code: 0 when told to stop, 1 when it could not load, 2 when the options are not right."""
    options = parse(words)
    for number in ending_signals():
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        log = open_log(options.access_log)
        listening = listen(options.host, options.port)
    except OSError as error:
        print(start_error(program(PROGRAM), error, options.host, options.port), file=sys.stderr)
        return 2
    try:
        print(f"listening on http://{in_url(options.host)}:{listening.getsockname()[1]}", flush=True)
    # Whoever started it has gone already.
    except BrokenPipeError:
        os._exit(0)
    slots = start_slots(options)

    import uvloop

    # Imported while the slots load.
    from coldburst.transcriber.service import serve

    return uvloop.run(serve(options, listening, slots, log))
