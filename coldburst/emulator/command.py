"""The command of the emulator: RunPod's serverless platform on this machine.

python -m coldburst.emulator --help
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import uvloop

from coldburst import emulator_token
from coldburst.child_processes import OrphanReaper
from coldburst.emulator.api.access import Access
from coldburst.emulator.application import Emulator, serving, until_ready
from coldburst.emulator.certificate import serve_as
from coldburst.emulator.settings.arguments import PROGRAM
from coldburst.emulator.settings.endpoint_specs import EmulatorOptions, EndpointSpec
from coldburst.emulator.settings.parsing import parse
from coldburst.installation import program
from coldburst.keys import RUNPOD_KEY
from coldburst.service.process import in_url, listen, on_stop, open_log, start_error

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""Loopback addresses of a server that listens on all addresses."""


async def run(options: EmulatorOptions, specs: Sequence[EndpointSpec], listening: socket.socket, folder: Path, log: TextIO | None) -> int:
    """Serve until stopped; the exit code."""
    host = in_url(options.host)
    port = listening.getsockname()[1]
    context, authority = serve_as(options.host, folder, [spec.name for spec in specs]) if options.https else (None, None)
    sockets = [(listening, context)]
    worker_url = f"http://{ANYWHERE.get(options.host, host)}:{port}"
    if options.https:
        plain = listen("127.0.0.1", 0)
        sockets.append((plain, None))
        worker_url = f"http://127.0.0.1:{plain.getsockname()[1]}"
    stop = asyncio.Event()
    on_stop(stop.set, until_stdin_closes=options.until_stdin_closes)
    reaper = OrphanReaper(folder)
    key = os.environ.get(RUNPOD_KEY, "")
    token = os.environ.get(emulator_token.VARIABLE) or key or secrets.token_urlsafe()
    access = Access(options.host, options.allow_host, key, token)
    emulator = Emulator(options, specs, f"{'https' if options.https else 'http'}://{host}:{port}", worker_url, folder, reaper, log, access)
    emulator_token.publish(port, "" if key else token)
    try:
        async with serving(emulator, sockets):
            emulator.start()
            if options.ready and not await until_ready(emulator, stop):
                return 0
            lines = [f"listening on {emulator.url}", *emulator.addresses(), *([f"authority {authority}"] if authority else [])]
            if not (key or os.environ.get(emulator_token.VARIABLE)):
                lines.append(f"token {token}  (to change settings and inject faults: Authorization: Bearer TOKEN)")
            print("\n".join(lines), flush=True)
            await stop.wait()
    finally:
        reaper.close()
        emulator_token.publish(port, "")
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the emulator; the exit code: 0 when stopped, 2 for invalid options."""
    options, specs = parse(words)
    try:
        log = open_log(options.log)
        listening = listen(options.host, options.port)
    except OSError as error:
        print(start_error(program(PROGRAM), error, options.host, options.port), file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="coldburst-"))
    try:
        return uvloop.run(run(options, specs, listening, folder, log))
    # The parent process has already gone.
    except BrokenPipeError:
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)
