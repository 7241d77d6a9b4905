"""The command of the transcription service: a stand-in for a GPU server, with OpenAI's API and a real recogniser.

    python -m coldburst.transcriber --help

Each slot process imports this module again, so it imports little.
"""

# ruff: noqa: PLC0415 - each slot process imports this file, and pays for what it imports

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from coldburst.installation import program
from coldburst.service.process import in_url, listen, open_log, start_error
from coldburst.signals import ending_signals
from coldburst.transcriber.settings import PROGRAM, parse


def main(words: Sequence[str] | None = None) -> int:
    """Run the service; the exit code: 0 when stopped, 1 when it could not load, 2 for invalid options."""
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
    # The parent process has already gone.
    except BrokenPipeError:
        os._exit(0)
    from coldburst.transcriber.slots import start_slots

    slots = start_slots(options.engine, options.model, options.max_concurrent, options.service_time_s)

    import uvloop

    # Imported while the slots load.
    from coldburst.transcriber.service import serve

    return uvloop.run(serve(options, listening, slots, log))
