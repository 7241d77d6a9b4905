"""The routes: which part of the emulator serves a request, by its host name or path."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from coldburst.emulator.api import load_balancer, openai_route, queue, sdk_protocol
from coldburst.emulator.api.access import Access
from coldburst.emulator.api.management import Management
from coldburst.emulator.api.responses import HttpError, answer, refusal
from coldburst.emulator.hosted_endpoint import HostedEndpoint
from coldburst.emulator.settings.fault_notation import FaultError, parse_fault
from coldburst.emulator.workers.process_backend import ProcessBackend

FAULT_BYTES = 1e5


class Routes:
    """All routes; ``access`` checks each request first."""

    def __init__(self, endpoints: Mapping[str, HostedEndpoint], management: Management, access: Access) -> None:
        self._endpoints, self._management, self._access = endpoints, management, access
        self._by_host = {name.lower(): name for name in endpoints}  # host names are case-insensitive

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request."""
        try:
            return await self._serve(request)
        except HttpError as error:
            return refusal(error)
        except ConnectionError:
            raise
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return refusal(HttpError(500, "the emulator failed: see its standard error"))

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if (name := self._of_host(self._access.check_source(request))) is not None:
            return await self._balance(name, request, request.raw_path)
        parts = path.split("/")[1:]
        match parts:
            case ["v2", "serverless", *rest]:
                self._access.require_key(request)
                if request.method == "PATCH":
                    self._access.require_token(request)
                return await self._management.serve(request, ["serverless", *(part for part in rest if part)])
            case ["v2", "catalog", "gpus"] | ["v2", "billing", "serverless"]:
                self._access.require_key(request)
                return await self._management.serve(request, parts[1:])
            case ["v2", name, operation, *rest]:
                return await self._queue(name, operation, [part for part in rest if part], request)
            case ["lb", name, *rest]:
                return await self._balance(name, request, f"/{'/'.join(rest)}{'?' if query else ''}{query}")
            case ["emulator", *rest]:
                self._access.require_key(request)
                return await self._inspect(request, [part for part in rest if part])
        raise HttpError(404, "no such path: use /v2/NAME/…, /lb/NAME/…, /v2/serverless or /emulator")

    def _of_host(self, host: str) -> str | None:
        """The endpoint named by a host such as NAME.api.runpod.ai, NAME.api.localhost or NAME.localhost."""
        label, _, rest = host.partition(".")
        name = self._by_host.get(label, label)
        return name if rest.startswith("api.") or (rest == "localhost" and name in self._endpoints) else None

    def _find(self, name: str) -> HostedEndpoint:
        try:
            return self._endpoints[name]
        except KeyError:
            raise HttpError(404, "endpoint not found") from None

    async def _queue(self, name: str, operation: str, rest: list[str], request: web.BaseRequest) -> web.StreamResponse:
        if operation in queue.OPERATIONS and len(rest) <= 1:
            self._access.require_key(request)
            return await queue.serve(self._find(name), request, operation, rest[0] if rest else "")
        if operation == openai_route.OPERATION and rest:
            self._access.require_key(request)
            return await openai_route.serve(self._find(name), request, f"/{'/'.join(rest)}")
        if operation in sdk_protocol.OPERATIONS and len(rest) <= 2:
            endpoint = self._find(name)
            if not isinstance(endpoint.backend, ProcessBackend):
                raise HttpError(404, f"endpoint '{name}' has modelled workers only")
            self._access.require_worker_key(request, endpoint.backend.worker_key)
            return await sdk_protocol.serve(endpoint, endpoint.backend.polls, request, operation, *[*rest, "", ""][:2])
        self._access.require_key(request)
        raise HttpError(404, f"no such path: use one of {', '.join(queue.OPERATIONS)}, openai/v1/…")

    async def _balance(self, name: str, request: web.BaseRequest, path: str) -> web.StreamResponse:
        self._access.require_key(request)
        endpoint = self._find(name)
        if endpoint.is_queue:
            raise HttpError(400, "not allowed for QB API")
        return await load_balancer.serve(endpoint, request, path)

    async def _inspect(self, request: web.BaseRequest, rest: list[str]) -> web.StreamResponse:
        if not rest:
            return answer({name: _view(endpoint) for name, endpoint in self._endpoints.items()})
        endpoint = self._find(rest[0])
        if not rest[1:]:
            return answer(_view(endpoint))
        if rest[1:] != ["fault"]:
            raise HttpError(404, "no such path: use /emulator, /emulator/NAME or /emulator/NAME/fault")
        if request.method != "POST":
            raise HttpError(405, f"{request.method} is not allowed for faults: use POST", {"Allow": "POST"})
        self._access.require_token(request)
        body = await queue.json_body(endpoint, request, FAULT_BYTES, "the fault")
        try:
            endpoint.faults.inject(parse_fault(body))
        except FaultError as error:
            raise HttpError(400, str(error)) from None
        return answer(_view(endpoint))


def _view(endpoint: HostedEndpoint) -> dict[str, Any]:
    """An endpoint's jobs, workers, bill and settings, by the model's own names."""
    now, core = endpoint.now(), endpoint.core
    return {
        "now_s": round(now, 6),
        "jobs": core.health(now)["jobs"],
        "workers": core.workers(now),
        "bill": asdict(core.bill(now)),
        "refused": +core.limits.refused,
        "policy": asdict(core.policy),
    }
