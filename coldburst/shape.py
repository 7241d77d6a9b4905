"""The load shape that ends a Locust test when the schedule has ended."""

from __future__ import annotations

from typing import Any, Protocol, cast

from locust import LoadTestShape


class _Session(Protocol):
    """What the shape asks of a session."""

    over: bool
    elapsed_s: float

    def time_is_up(self, limit_s: float) -> None: ...


class ScheduleShape(LoadTestShape):
    """One user until the schedule has ended, or Locust's ``--run-time`` is over; then none."""

    # or Locust says that it ignores --run-time
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """(users, users per second) as Locust asks for it each second; None ends the run."""
        environment = cast("Any", self.runner).environment
        session: _Session = environment.coldburst
        limit_s = environment.parsed_options.run_time
        if limit_s and session.elapsed_s >= limit_s:
            session.time_is_up(limit_s)
            return None
        return None if session.over else (1, 1.0)
