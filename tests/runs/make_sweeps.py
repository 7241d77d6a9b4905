"""Writes the sweeps beside it, which the tests of analysis/ start from: ``python -m tests.runs.make_sweeps``."""

import json
from pathlib import Path

from coldburst.record.attempt import ENDPOINT, line
from tests.support.sweeps import P95, PRICE, cut, guide, methodology, whisper, write

HERE = Path(__file__).parent
CARD = {"vram_gb": 24.0, "shared_gb": 3.4, "per_worker_gb": 3.3, "headroom": 0.9}
RUNPOD = {"kind": "queue", "host": "http://127.0.0.1:40123/v2/demo", "embedded": True}


def watched(folder):
    """What the endpoint said of itself: five workers at work, and a queue while a stage goes."""
    names = [column.name for column in ENDPOINT]
    said = []
    for at_s in range(0, 216, 2):
        said.append(
            {"at_s": at_s, "view": "health", "in_queue": at_s // 20 % 4, "in_progress": 5, "completed": at_s, "failed": 0, "retried": 0}
        )
        said.append({"at_s": at_s, "view": "workers", "running": 5, "idle": 0, "initializing": 0, "throttled": 0, "unhealthy": 0})
    (folder / "endpoint.csv").write_text(line(names) + "".join(line(row.get(n, "") for n in names) for row in said), encoding="utf-8")


def main():
    write(HERE / "sweep-whisper", list(whisper()), objectives=[P95], price=PRICE)
    watched(write(HERE / "sweep-matrix", list(methodology()), "matrix", {"target": RUNPOD}, price=PRICE, card=CARD))
    write(HERE / "sweep-scaling", list(guide()), "scaling")
    folder = write(HERE / "sweep-cut", cut(), "scaling", {"ended_by": "Ctrl-C"})
    settings = {"way": "rest", "where": "endpoint demo", "before": {}, "restored": False, "note": ""}
    (folder / "settings.json").write_text(json.dumps(settings) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
