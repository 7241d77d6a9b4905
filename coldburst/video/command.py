"""The command of the video service; each worker process imports this module again, so it imports little.

python -m coldburst.video --help
"""

# ruff: noqa: PLC0415 - each worker process imports this file, and pays for what it imports

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from coldburst.installation import program
from coldburst.service.process import in_url, listen, start_error
from coldburst.signals import ending_signals
from coldburst.video.settings import PROGRAM, parse


def main(words: Sequence[str] | None = None) -> int:
    """Run the service; the exit code: 0 when stopped, 1 when it could not load, 2 for invalid options."""
    options = parse(words)
    for number in ending_signals():
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        listening = listen(options.host, options.port)
    except OSError as error:
        print(start_error(program(PROGRAM), error, options.host, options.port), file=sys.stderr)
        return 2
    try:
        print(f"listening on http://{in_url(options.host)}:{listening.getsockname()[1]}", flush=True)
    # The parent process has already gone.
    except BrokenPipeError:
        os._exit(0)
    generator = options.generator
    if generator.slots < generator.workers:
        plan = generator.memory
        print(
            f"{generator.slots} of {generator.workers} workers fit: {plan.usage_gb(generator.workers):g} GB would be needed, and "
            f"{plan.card_gb * plan.headroom:g} of {plan.card_gb:g} GB may be used",
            file=sys.stderr,
        )
    import uvloop

    from coldburst.video.api.service import serve

    return uvloop.run(serve(options, listening))
