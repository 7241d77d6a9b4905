"""An endpoint of known capacity as a process of its own: ``python -m tests.support.pool WORKERS SERVICE_S SIGMA``.

WORKERS slots take a request at a time for SERVICE_S × (1 + SIGMA × (WORKERS − 1)) each, so it answers
WORKERS ÷ that many requests a second, and its scaling efficiency is 1 ÷ (1 + SIGMA × (WORKERS − 1)).
It listens on a port of the kernel's choice, and says on which; ``/broken`` is a 500 at once.
"""

import asyncio
import sys

from aiohttp import web


async def serve(workers: int, service_s: float, sigma: float) -> None:
    slots, took_s = asyncio.Semaphore(workers), service_s * (1 + sigma * (workers - 1))

    async def answer(_: web.Request) -> web.Response:
        async with slots:
            await asyncio.sleep(took_s)
        return web.Response(text="done")

    async def broken(_: web.Request) -> web.Response:
        return web.Response(status=500)

    app = web.Application()
    app.router.add_get("/work", answer)
    app.router.add_get("/broken", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
