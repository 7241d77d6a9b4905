"""REST v2's list of an endpoint's releases: each rolling release since the emulator's start, newest first.

Source of the format: api-reference-v2/openapi.json, ListEndpointReleasesResponse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from coldburst.emulator.hosted_endpoint import HostedEndpoint


def releases(endpoint: HostedEndpoint, text: Callable[[float], str]) -> dict[str, Any]:
    """The answer; ``text`` writes an instant of the endpoint's clock."""
    on = Counter(endpoint.worker_versions.values())
    latest, total = on[endpoint.version], on.total()
    return {
        "endpointVersion": endpoint.version,
        "rollout": {
            "inProgress": latest < total,
            "workersOnLatest": latest,
            "workersTotal": total,
            "percentOnLatest": round(100 * latest / total) if total else 0,
        },
        "releases": [
            {
                "id": f"{endpoint.name}-{version}",
                "version": version,
                "source": "MANUAL",
                "buildId": None,
                "createdByUserId": None,
                "workerCount": on[version],
                "createdAt": text(at_s),
                "diff": diff,
            }
            for version, at_s, diff in reversed(endpoint.releases)
        ],
    }
