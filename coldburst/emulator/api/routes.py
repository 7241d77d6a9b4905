"""The emulator's requests, told apart: queue API, worker side, load balancer, REST v2, and what is its own."""

from __future__ import annotations

import hmac
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from coldburst.emulator import faults
from coldburst.emulator.api import load_balancer, queue, worker
from coldburst.emulator.api.management import Management
from coldburst.emulator.api.responses import RefusedError, answer, content, refusal
from coldburst.emulator.faults import FaultError
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.workers.process_backend import ProcessBackend

FAULT_BYTES = 1e5


class Routes:
    """All of them.

    Args:
        hosted: the endpoints, by name.
        key: that clients must show; "" lets everyone in.
    """

    def __init__(self, hosted: Mapping[str, HostedEndpoint], management: Management, key: str) -> None:
        self._hosted, self._management, self._key = hosted, management, key.encode()
        self._by_host = {name.lower(): name for name in hosted}  # the case of a host's name says nothing

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request."""
        try:
            return await self._serve(request)
        except RefusedError as error:
            return refusal(error)
        except ConnectionError:
            raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return refusal(RefusedError(500, "the emulator failed: its standard error says where"))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if (name := self._of_host(request.headers.get("Host", ""))) is not None:
            return await self._balance(name, request, request.raw_path)
        parts = path.split("/")[1:]
        match parts:
            case ["v2", "serverless", *rest]:
                self._permit(request)
                return await self._management.serve(request, [part for part in rest if part])
            case ["v2", name, operation, *rest]:
                return await self._queue(name, operation, [part for part in rest if part], request)
            case ["lb", name, *rest]:
                return await self._balance(name, request, f"/{'/'.join(rest)}{'?' if query else ''}{query}")
            case ["emulator", *rest]:
                self._permit(request)
                return await self._own(request, [part for part in rest if part])
        raise RefusedError(404, "no such path: there are /v2/NAME/…, /lb/NAME/…, /v2/serverless and /emulator")

    def _of_host(self, host: str) -> str | None:
        """The endpoint that a host names, as NAME.api.runpod.ai, NAME.api.localhost or NAME.localhost do."""
        said, _, rest = host.lower().partition(":")[0].partition(".")
        name = self._by_host.get(said, said)
        return name if rest.startswith("api.") or (rest == "localhost" and name in self._hosted) else None

    def _find(self, name: str) -> HostedEndpoint:
        try:
            return self._hosted[name]
        except KeyError:
            raise RefusedError(404, "endpoint not found") from None

    def _permit(self, request: web.BaseRequest) -> None:
        """Lets a client in; the bodies of its refusal are those of RunPod's gateway."""
        if not self._key:
            return
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ").encode(errors="surrogateescape")
        if not hmac.compare_digest(shown, self._key):
            raise RefusedError(401, "invalid api key" if shown else "no token provided")

    async def _queue(self, name: str, operation: str, rest: list[str], request: web.BaseRequest) -> web.StreamResponse:
        if operation in queue.OPERATIONS and len(rest) <= 1:
            self._permit(request)
            return await queue.serve(self._find(name), request, operation, rest[0] if rest else "")
        if operation in worker.OPERATIONS and len(rest) <= 2:
            hosted = self._find(name)
            if not isinstance(hosted.crew, ProcessBackend):
                raise RefusedError(404, f"endpoint '{name}' has modelled workers: no others take its jobs")
            return await worker.serve(hosted, hosted.crew.lines, request, operation, *[*rest, "", ""][:2])
        self._permit(request)
        raise RefusedError(404, f"no such path: endpoints have {', '.join(queue.OPERATIONS)}")

    async def _balance(self, name: str, request: web.BaseRequest, path: str) -> web.StreamResponse:
        self._permit(request)
        hosted = self._find(name)
        if hosted.is_queue:
            raise RefusedError(400, "not allowed for QB API")
        return await load_balancer.serve(hosted, request, path)

    async def _own(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if not rest:
            return answer({name: _view(hosted) for name, hosted in self._hosted.items()})
        hosted = self._find(rest[0])
        if not rest[1:]:
            return answer(_view(hosted))
        if rest[1:] != ["fault"]:
            raise RefusedError(404, "no such path: there are /emulator, /emulator/NAME and /emulator/NAME/fault")
        if request.method != "POST":
            raise RefusedError(405, f"{request.method} is not for faults: use POST", {"Allow": "POST"})
        asked = content(await queue.body_of(hosted, request, FAULT_BYTES), "the fault")
        try:
            hosted.inject(faults.fault(asked))
        except FaultError as error:
            raise RefusedError(400, str(error)) from None
        return answer(_view(hosted))


def _view(hosted: HostedEndpoint) -> dict[str, Any]:
    """An endpoint at this moment: jobs, workers as they really are, bill, settings."""
    now = hosted.now()
    endpoint = hosted.endpoint
    return {
        "now_s": round(now, 6),
        "jobs": endpoint.health(now)["jobs"],
        "workers": endpoint.workers(now),
        "bill": asdict(endpoint.bill(now)),
        "policy": asdict(endpoint.policy),
    }
