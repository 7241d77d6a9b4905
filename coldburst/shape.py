"""The load shape that ends a Locust test when the schedule has ended."""

from __future__ import annotations

from typing import Any, cast

from locust import LoadTestShape

# As Locust.
EVERY_S = 1.0
# Users, and users per second.
ONE_USER = (1, 1.0)


class ScheduleShape(LoadTestShape):
    """One user until the schedule or Locust's ``--run-time`` has ended; then none."""

    # Otherwise Locust warns that it ignores --run-time.
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """(users, users per second), called by Locust each second; None ends the run.

        Locust subtracts what a call took from its pause, so this waits instead: a run ends with its last answer, not up to a second later.
        """
        runner = cast("Any", self.runner)
        session, limit_s = runner.environment.coldburst, runner.environment.parsed_options.run_time
        if runner.shape_last_tick is None:
            # Not by returning it: Locust would pause then, and end a short run a second late.
            runner.start(*ONE_USER)
            runner.shape_last_tick = ONE_USER
        session.wait_over(min(EVERY_S, max(0.0, limit_s - session.elapsed_s)) if limit_s else EVERY_S)
        if limit_s and session.elapsed_s >= limit_s:
            session.time_is_up(limit_s)
            return None
        return None if session.over else ONE_USER
