"""An aiohttp service of a test as a process of its own: it listens on a port of the kernel's choice, and says on which."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def reserved() -> Iterator[int]:
    """A port of 127.0.0.1 for a process that has to be told one: the kernel gives it to nobody else meanwhile."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # who listens says so too, and may then share it
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


async def serve(answer) -> None:
    """Answers each transcription with ``answer(request)``, for ever."""
    app = web.Application()
    app.router.add_post("/v1/audio/transcriptions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()
