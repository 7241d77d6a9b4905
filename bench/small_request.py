"""The CPU of a small request, everything recorded, beside bare FastHttpUser and other clients.

    python -m bench.small_request            # two minutes; needs nginx, wrk and hey (apt-get install nginx-light wrk hey)
    python -m bench.small_request --quick    # 20 seconds, FastHttpUser and coldburst only

How it is measured: bench/generator.py. ``.ci/run`` compares the quick figure with docs/benchmarks.md. It is a ratio of CPU seconds, each
taken by the process itself in turns of the same rounds, so other load on the machine, or another processor, moves both alike. For the
same reason both send a number of requests: in a number of seconds a busy machine sends few, and the CPU of the start counts more.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.generator import SMALL, nginx, turns
from bench.rows import Row, main

REQUESTS, LONGEST_S = 12_000, 300


def rows(quick: bool) -> Iterator[Row]:
    """CPU of each contender."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "runs").mkdir()
        with nginx(Path(name)) as host:
            yield from turns(host, Path(name), SMALL, *((3, LONGEST_S, REQUESTS) if quick else (5, 5)))


if __name__ == "__main__":
    sys.exit(main(rows, __doc__))
