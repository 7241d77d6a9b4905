"""A handler of a user's own: a generator that yields numbers, and can be stopped while it sleeps after them."""

import asyncio

import runpod


async def handler(job):
    for number in range(job["input"]["count"]):
        yield {"number": number}
    await asyncio.sleep(job["input"].get("sleep_s", 0))


runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
