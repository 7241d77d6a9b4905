"""The load shape that ends a Locust test when the schedule has ended."""

from __future__ import annotations

from typing import Any, cast

from locust import LoadTestShape


class ScheduleShape(LoadTestShape):
    """One user until the schedule or Locust's ``--run-time`` has ended; then none."""

    # Otherwise Locust warns that it ignores --run-time.
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """(users, users per second), called by Locust each second; None ends the run."""
        environment = cast("Any", self.runner).environment
        session = environment.coldburst
        limit_s = environment.parsed_options.run_time
        if limit_s and session.elapsed_s >= limit_s:
            session.time_is_up(limit_s)
            return None
        return None if session.over else (1, 1.0)
