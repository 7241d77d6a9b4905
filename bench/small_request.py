"""The CPU of a small request, everything recorded, beside bare FastHttpUser and other clients.

    python -m bench.small_request            # two minutes; needs nginx, wrk and hey (apt-get install nginx-light wrk hey)
    python -m bench.small_request --quick    # half a minute, FastHttpUser and coldburst only

How it is measured: bench/generator.py. ``.ci/run`` compares the quick figure with docs/benchmarks.md. It is a ratio of CPU seconds, each
taken by the process itself in turns of the same rounds, so other load on the machine, or another processor, moves both alike.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.generator import SMALL, nginx, turns
from bench.rows import Row, main


def rows(quick: bool) -> Iterator[Row]:
    """CPU of each contender."""
    rounds, seconds = (4, 2) if quick else (5, 5)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "runs").mkdir()
        with nginx(Path(name)) as host:
            yield from turns(host, Path(name), SMALL, rounds, seconds, alone=quick)


if __name__ == "__main__":
    sys.exit(main(rows, __doc__))
