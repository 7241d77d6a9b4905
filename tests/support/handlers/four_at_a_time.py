"""A handler that waits, four jobs at a time: its answer is when the job began and ended."""

import asyncio
import time

import runpod


async def handler(job):
    begun_s = time.time()
    await asyncio.sleep(job["input"]["wait_s"])
    return [begun_s, time.time()]


runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda now: 4})
