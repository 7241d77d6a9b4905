"""uvicorn as the services use it: no signal handlers, no log, connections that outlive the clients' idle time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn

# Longer than clients keep idle connections, so no request meets a closing one.
KEEP_ALIVE_S = 75.0


class Server(uvicorn.Server):
    """uvicorn without signal handlers, which would end the process by the signal instead of with exit code 0.

    Args:
        application: an ASGI application.
        grace_s: how long running requests have when the service stops.
    """

    def __init__(self, application: Any, grace_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                ws="none",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                timeout_keep_alive=round(KEEP_ALIVE_S),
                timeout_graceful_shutdown=round(grace_s),
            )
        )

    def stop(self) -> None:
        """Finish running requests, then end."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn: nothing is captured."""
        yield
