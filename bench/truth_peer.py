"""FastHttpUser as bench/truth.py runs it: each user at a rate, and at the end one line of JSON with what Locust reports."""

import json
import os
from pathlib import Path

from locust import FastHttpUser, constant_throughput, events, task

from bench.other_clients import CONTENT_TYPE, ROUTE

BODY = Path(os.environ["BODY"]).read_bytes()


class Asking(FastHttpUser):
    """A closed loop, as Locust's documentation suggests for a rate."""

    wait_time = constant_throughput(float(os.environ["RATE"]))
    connection_timeout = network_timeout = float(os.environ["LIMIT_S"])

    @task
    def ask(self):
        self.client.post(ROUTE, data=BODY, headers={"Content-Type": CONTENT_TYPE})


@events.quitting.add_listener
def tell(environment, **_):
    stats = environment.stats
    times = {share: stats.total.get_response_time_percentile(share) / 1000 for share in (0.5, 0.95, 0.99)}
    errors = {error.error if isinstance(error.error, str) else repr(error.error): error.occurrences for error in stats.errors.values()}
    print(json.dumps({"times": times, "ok": stats.total.num_requests - stats.total.num_failures, "errors": errors}), flush=True)
