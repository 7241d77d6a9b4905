"""A transcription service that is faster the more it is asked, and forgets words when it is asked too much at a time.

    python -m tests.support.forgetful --most 4

It knows the samples' texts. With more than ``--most`` requests in flight the last two words of each answer are missing.
"""

import argparse
import asyncio
import csv
from pathlib import Path

from aiohttp import web

from tests.support import serving

SAMPLES = Path(__file__).parents[2] / "samples"
SERVICE_S = 0.05


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, required=True)
    asyncio.run(serve(parser.parse_args().most))


async def serve(most: int) -> None:
    with (SAMPLES / "transcripts.csv").open(encoding="utf-8", newline="") as lines:
        texts = {(SAMPLES / row["file"]).read_bytes(): row["text"] for row in csv.DictReader(lines)}
    flying = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal flying
        flying += 1
        try:
            words = texts[(await request.post())["file"].file.read()].split()
            await asyncio.sleep(SERVICE_S)
            return web.json_response({"text": " ".join(words[:-2] if flying > most else words)})
        finally:
            flying -= 1

    await serving.serve(answer)


if __name__ == "__main__":
    main()
