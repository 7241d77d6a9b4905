"""A worker on SDK 1.7.6, unmodified, as in RunPod's trace GP18: four jobs of 5 s at concurrency 4.

That SDK begins a job that comes while others run only when one of them has ended. On RunPod all four began in the same millisecond, and
soon after another job three of them.
"""

import subprocess
import sys
import venv

import pytest

from tests.support.emulators import emulator, limit
from tests.support.engine import UNREACHABLE
from tests.support.transcribers import DEADLINE_S, ROOT, until

pytestmark = pytest.mark.nightly
HANDLER = ROOT / "tests/support/handlers/four_at_a_time.py"
SDK = "runpod==1.7.6"
WAIT_S = 5.0


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """A Python with that SDK and what it needs."""
    place = tmp_path_factory.mktemp("sdk")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", SDK]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode and UNREACHABLE in done.stdout + done.stderr:
        pytest.skip(f"NO NETWORK: pip reaches no package index, so that {SDK} cannot be installed")
    assert done.returncode == 0, done.stdout + done.stderr
    return python


@pytest.mark.parametrize(
    ("options", "jobs_before", "together"),
    [
        # A second instead of 0.127 s, so that four submissions arrive in it on any machine.
        (("--platform", "hand_over_s=1"), 0, 4),
        (("--platform", "hand_over_s=0"), 0, 1),
        # The worker's poll was opened beside that job, and asks for three.
        (("--platform", "hand_over_s=1", "--poll-hold", "80"), 1, 3),
    ],
    ids=["collected", "at once", "soon after another"],
)
def test_four_jobs_begin_together_if_they_come_together(old_python, options, jobs_before, together):
    command = ("--worker", "command", "--command", f"{old_python} {HANDLER}", "--start", "0", "--workers-min", "1", "--workers-max", "1")
    with limit(4 * DEADLINE_S), emulator(*command, *options) as platform:
        until(lambda: platform.states("demo") == ["READY"], "a worker that asks for jobs")
        for _ in range(jobs_before):
            platform.ended("demo", platform.submit("demo", wait_s=0.5))
        ids = [platform.submit("demo", wait_s=WAIT_S) for _ in range(4)]
        times = sorted(platform.ended("demo", job_id)["output"] for job_id in ids)
    first_end_s = min(ended_s for _, ended_s in times)
    assert sum(begun_s < first_end_s for begun_s, _ in times) == together, times
