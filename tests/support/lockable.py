"""A service of known capacity for a test: so many workers by name, each answer a while apart, a part of it under a lock that all share.

    python -m tests.support.lockable --workers FILE --alone 0.3 --locked 0.2

FILE holds the number of workers; it is read for each request. Requests go to the workers in turn.
"""

import argparse
import asyncio
import itertools
from pathlib import Path

from aiohttp import web

from tests.support import serving


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=Path, required=True)
    parser.add_argument("--alone", type=float, required=True)
    parser.add_argument("--locked", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args()))


async def serve(options: argparse.Namespace) -> None:
    lock, numbers = asyncio.Lock(), itertools.count()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        worker = 1 + next(numbers) % int(options.workers.read_text())
        await asyncio.sleep(options.alone)
        async with lock:
            await asyncio.sleep(options.locked)
        return web.json_response({"text": ""}, headers={"X-Worker-Id": f"w{worker}"})

    await serving.serve(answer)


if __name__ == "__main__":
    main()
