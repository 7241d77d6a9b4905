"""A load balancer's worker whose input and output are objects in a store, like stored.py: POST /work at $PORT."""

import asyncio
import hashlib
import os

import aiohttp
import boto3
from aiohttp import web

store = boto3.client("s3")


async def work(request):
    given = await request.json()
    async with aiohttp.ClientSession() as session, session.get(given["url"]) as answer:
        content = await answer.read()
    made = given["key"] + ".out"
    await asyncio.to_thread(store.put_object, Bucket=given["bucket"], Key=made, Body=content * 2)
    return web.json_response({"key": made, "sha256": hashlib.sha256(content).hexdigest()})


async def ping(_request):
    return web.Response()


app = web.Application()
app.router.add_get("/ping", ping)
app.router.add_post("/work", work)
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None)
