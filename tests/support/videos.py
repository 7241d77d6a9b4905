"""A video service of its own for a test: started on a free port, stopped with the test."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager

from tests.support import preloaded
from tests.support.transcribers import Answer, ask, stop, until

ROUTE = "/v1/videos"
FIXED = ("--engine", "fixed", "--tts", "0.02", "--video", "0.1", "--model-load", "0")


@contextmanager
def video_service(*args: str, **env: str):
    """``python -m coldburst.video *args`` once its models are loaded; its URL and process."""
    words = ("--until-stdin-closes", "--worker-id", "box", *args)
    environment = {name: value for name, value in os.environ.items() if name != "API_TOKEN"} | env
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with preloaded.start("coldburst.video", *words, env=environment, **streams) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://"), f"the service said {line!r} and ended with {process.poll()}"
            url = line.split()[-1]
            until(lambda: ask(url, "/health").status == 200, "healthy service", gone=lambda: process.poll() is not None)
            yield url, process
        finally:
            stop(process)


def create(url: str, wait: bool = False, **fields) -> Answer:
    """The answer to one request for a video."""
    return ask(url, ROUTE + ("?wait=true" if wait else ""), "POST", json.dumps({"script": "one two", **fields}))
