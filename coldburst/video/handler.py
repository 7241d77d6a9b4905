"""A worker of a RunPod queue endpoint on the real SDK, which makes videos.

    python -m coldburst.video.handler --workers 2

Takes the service's options. The job's input is what POST /v1/videos takes; the output has the times of the job, and the video as Base64.
The handler takes as many jobs at a time as workers fit, or CONCURRENCY in the environment: more of them wait inside the handler, where
RunPod counts the wait as execution time. With ``--unsafe`` and CONCURRENCY=20, twenty jobs share one worker's models.
"""

# ruff: noqa: PLC0415 - each worker process imports this file, and pays for what it imports

from __future__ import annotations

import base64
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coldburst.installation import require
from coldburst.video import job as states
from coldburst.video.generator import VideoGenerator
from coldburst.video.job import VideoRequest, read_request
from coldburst.video.settings import GeneratorOptions, parse
from coldburst.video.workers.single_flight import SingleFlight

# RunPod's limit on the result of /run is 10 MB, and Base64 takes a third more.
MOST_BYTES = 7_000_000


class VideoHandler:
    """The SDK's handler. The workers start with the first job, in the SDK's event loop; its models load meanwhile."""

    def __init__(self, options: GeneratorOptions, folder: Path) -> None:
        self._generator = VideoGenerator(options, folder)
        self._starting = SingleFlight(self._start)

    async def _start(self) -> None:
        self._generator.start()

    async def handle(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """The output of one job; RuntimeError where it fails, ValueError for an invalid input."""
        await self._starting.get()
        made = self._generator.submit(_request(job["input"]))
        try:
            await self._generator.result(made)
        finally:
            # The SDK cancels a job that is no longer wanted.
            self._generator.cancel(made)
        if made.state != states.DONE or made.file is None:
            raise RuntimeError(made.error)
        output = made.view() | {"video": ""}
        if made.file.stat().st_size <= MOST_BYTES:
            output["video"] = base64.b64encode(made.file.read_bytes()).decode()
        return output


def _request(job_input: Any) -> VideoRequest:
    asked = read_request(job_input)
    if asked.portrait:
        from coldburst.video.workers.picture import check_picture

        check_picture(asked.portrait)
    return asked


def main() -> int:
    """Serve jobs until stopped; the exit code."""
    require("emulator")
    options = parse(sys.argv[1:]).generator
    concurrency = int(os.environ.get("CONCURRENCY") or options.slots)

    import runpod

    # The SDK reads the command line too.
    del sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="coldburst-video-", ignore_cleanup_errors=True) as folder:
        handler = VideoHandler(options, Path(folder))
        runpod.serverless.start({"handler": handler.handle, "concurrency_modifier": lambda _: concurrency})
    return 0


if __name__ == "__main__":
    sys.exit(main())
