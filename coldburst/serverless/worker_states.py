"""The states of a worker: host, image pull, container, model, jobs, cache, end. States of zero length are skipped.

THROTTLED → PULLING → STARTING → LOADING → READY ⇄ RUNNING → DRAINING → STOPPED
↓ ↑ RESUMING
CACHED                     UNHEALTHY
"""

WAITING = ("PULLING", "STARTING", "LOADING", "RESUMING")
SERVING = ("READY", "RUNNING")
WANTED = ("THROTTLED", *WAITING, *SERVING)
STATES = ("THROTTLED", *WAITING, "DRAINING", "CACHED", "UNHEALTHY", "STOPPED", "")
