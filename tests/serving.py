"""An aiohttp service of a test as a process of its own: it listens on a port of the kernel's choice, and says on which."""

import asyncio

from aiohttp import web


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
