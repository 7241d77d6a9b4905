"""The transcription service of the public load-testing guide, rebuilt: FastAPI, slots, fail-fast, its id in /health alone.

python -m tests.support.plain_service --id 1 --seconds 0.3 --slots 2
"""

import argparse
import asyncio

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from coldburst.child_processes import free_port


def service(worker_id: str, seconds: float, slots: int) -> FastAPI:
    """It answers after ``seconds``, and with 503 at once where ``slots`` requests are in progress."""
    app, busy = FastAPI(), []

    @app.post("/v1/audio/transcriptions")
    async def transcribe(request: Request) -> JSONResponse:
        await request.body()
        if len(busy) >= slots:
            return JSONResponse({"detail": "Service busy. Please retry later."}, 503, {"Retry-After": "1"})
        busy.append(request)
        try:
            await asyncio.sleep(seconds)
        finally:
            busy.remove(request)
        return JSONResponse({"text": "a", "language": "en", "duration": 2.0, "segments": []})

    @app.get("/health")
    async def health() -> dict[str, object]:
        return {"status": "healthy", "worker_id": worker_id, "model": "tiny", "device": "cpu", "gpu_available": False}

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--id", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--slots", type=int, required=True)
    options = parser.parse_args()
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(service(options.id, options.seconds, options.slots), port=port, log_level="warning"))

    async def serve() -> None:
        running = asyncio.create_task(server.serve())
        while not server.started and not running.done():
            await asyncio.sleep(0.01)
        print(f"listening on http://127.0.0.1:{port}", flush=True)
        await running

    asyncio.run(serve())


if __name__ == "__main__":
    main()
