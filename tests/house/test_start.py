"""What a run's process has not imported when it sends its first request: each of these packages takes as long as a third of Locust."""

import json
import subprocess
import sys

import pytest

from tests.support.locusts import ROOT

LATER = ("rich", "numpy", "pandas", "scipy", "matplotlib", "soundfile", "boto3", "duckdb", "PIL")
LOCUSTFILE = """
import json, sys
from coldburst import ArrivalUser
from coldburst.targets.http import HttpClient

class Probe(ArrivalUser):
    schedule = "burst 1"

send = HttpClient.send

def probe(self, *args, **kwargs):
    print("SENDS WITH", json.dumps(sorted(sys.modules)), flush=True)
    HttpClient.send = send
    return send(self, *args, **kwargs)

HttpClient.send = probe
"""


@pytest.mark.slow
def test_a_run_sends_its_first_request_without_the_packages_of_reports_and_stores(tmp_path):
    (tmp_path / "probe.py").write_text(LOCUSTFILE, encoding="utf-8")
    # Port 9 refuses the connection: only what comes before the request matters.
    words = ["--headless", "--host", "http://127.0.0.1:9", "--clips", str(ROOT / "samples"), "--runs", str(tmp_path)]
    command = [sys.executable, "-m", "locust", "-f", str(tmp_path / "probe.py"), *words, "--no-preflight", "--report", "no"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SENDS WITH ")]
    loaded = json.loads(line.removeprefix("SENDS WITH "))
    assert "coldburst.load.run" in loaded
    assert [name for name in LATER if name in loaded] == []
