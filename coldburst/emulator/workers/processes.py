"""Worker processes: started as on the platform, ended, and never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from coldburst import emulator_token
from coldburst.child_processes import OrphanReaper
from coldburst.emulator.workers.worker_log import LogPipe, WorkerLog
from coldburst.installation import IMPORT_ROOT

KEPT = ("RUNPOD_LOG_LEVEL", "RUNPOD_DEBUG_LEVEL")
"""Variables of the SDK that developers may set for their workers; the platform sets the others."""
SECRETS = ("API_TOKEN", "TRANSCRIPTION_API_KEY", "VIDEO_API_KEY", emulator_token.VARIABLE)
"""Keys of other parts of this project, which no worker needs."""
# Logs of ended workers that are kept.
MOST_LOGS = 200


class WorkerProcesses:
    """The worker processes of one endpoint, by worker id; each in its own session and empty folder.

    Args:
        folder: for the workers' folders.
        grace_s: from SIGTERM to SIGKILL.
        on_exit: called with the worker's id when its process has ended.

    Attributes:
        logs: of the last MOST_LOGS workers.
    """

    def __init__(self, folder: Path, reaper: OrphanReaper, grace_s: float, on_exit: Callable[[str], None]) -> None:
        self._folder, self._reaper, self._grace_s, self._on_exit = folder, reaper, grace_s, on_exit
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, Process] = {}
        self._kill_timers: dict[str, asyncio.TimerHandle] = {}
        self._to_kill: set[str] = set()
        self._ending = False
        self.logs: OrderedDict[str, WorkerLog] = OrderedDict()

    def start(self, worker_id: str, command: Sequence[str], environment: Mapping[str, str], *, quiet: bool) -> None:
        """Start a worker's process, ``quiet`` with its standard output in its log only; ignored once all are being ended."""
        if not self._ending:
            self.logs[worker_id] = WorkerLog()
            while len(self.logs) > MOST_LOGS:
                self.logs.popitem(last=False)
            self._tasks[worker_id] = asyncio.create_task(self._run(worker_id, command, environment, quiet))

    def stop(self, worker_id: str) -> None:
        """Send SIGTERM, and SIGKILL after the grace period."""
        process = self._running.get(worker_id)
        if process is None:
            self.kill(worker_id)
        elif worker_id not in self._kill_timers:
            self._kill_timers[worker_id] = asyncio.get_running_loop().call_later(self._grace_s, self.kill, worker_id)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    def kill(self, worker_id: str) -> None:
        """Kill it and its children at once."""
        if worker_id in self._tasks:
            self._to_kill.add(worker_id)  # its process may still be starting
            self._signal(worker_id, signal.SIGKILL)

    def freeze(self, worker_id: str) -> None:
        """Stop it by SIGSTOP, memory kept, as FlashBoot's cache does."""
        self._signal(worker_id, signal.SIGSTOP)

    def thaw(self, worker_id: str) -> None:
        """Continue it."""
        self._signal(worker_id, signal.SIGCONT)

    async def end(self) -> None:
        """Kill all, and wait until they have ended."""
        self._ending = True
        for worker_id in list(self._tasks):
            self.kill(worker_id)
        await asyncio.gather(*self._tasks.values())

    def _signal(self, worker_id: str, number: int) -> None:
        if process := self._running.get(worker_id):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    async def _run(self, worker_id: str, command: Sequence[str], environment: Mapping[str, str], quiet: bool) -> None:
        folder = Path(tempfile.mkdtemp(prefix=f"{worker_id}-", dir=self._folder))
        try:
            await self._run_in(folder, worker_id, command, environment, quiet)
        # ValueError: a NUL in the command.
        except (OSError, ValueError) as error:
            report(f"worker {worker_id} could not be started: {error}")
            self.logs[worker_id].add(f"could not be started: {error}")
        finally:
            self.logs[worker_id].end()
            shutil.rmtree(folder, ignore_errors=True)
            del self._tasks[worker_id]
            self._to_kill.discard(worker_id)
            self._on_exit(worker_id)

    async def _run_in(self, folder: Path, worker_id: str, command: Sequence[str], environment: Mapping[str, str], quiet: bool) -> None:
        log = self.logs[worker_id]
        pipes = LogPipe(log, None if quiet else sys.stderr.fileno()), LogPipe(log, sys.stderr.fileno())
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=dict(environment),
                stdin=DEVNULL,
                stdout=pipes[0].entry,
                stderr=pipes[1].entry,
                start_new_session=True,
            )
            for pipe in pipes:
                pipe.started()
            await self._until_end(process, worker_id, command)
        finally:
            for pipe in pipes:
                pipe.close()

    async def _until_end(self, process: Process, worker_id: str, command: Sequence[str]) -> None:
        self._reaper.started(process.pid)
        self._running[worker_id] = process
        if worker_id in self._to_kill:
            self.kill(worker_id)
        try:
            exit_code = await process.wait()
            if worker_id not in self._kill_timers and worker_id not in self._to_kill:
                report(unexpected_end(worker_id, exit_code, command))
                self.logs[worker_id].add(f"ended {_way(exit_code)}")
        finally:
            self._signal(worker_id, signal.SIGKILL)  # its children
            del self._running[worker_id]
            if timer := self._kill_timers.pop(worker_id, None):
                timer.cancel()
            self._reaper.ended(process.pid)


def report(line: str) -> None:
    """Print a line on standard error, which may be closed."""
    with contextlib.suppress(BrokenPipeError):
        print(line, file=sys.stderr)


def unexpected_end(worker_id: str, exit_code: int, command: Sequence[str]) -> str:
    """A line for the emulator's log on a worker process that ended by itself."""
    return f"worker {worker_id} ended by itself, {_way(exit_code)}: {shlex.join(command)}"


def _way(exit_code: int) -> str:
    return f"with exit code {exit_code}" if exit_code >= 0 else f"by signal {-exit_code}"


def outside() -> dict[str, str]:
    """The environment without keys and other platforms' variables."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith("RUNPOD_")}
    for secret in SECRETS:
        kept.pop(secret, None)
    path = [str(IMPORT_ROOT), str(Path.cwd()), *filter(None, [kept.get("PYTHONPATH")])]
    local = ",".join(filter(None, [kept.get("no_proxy"), "127.0.0.1,localhost"]))
    return kept | {"PYTHONPATH": os.pathsep.join(path), "no_proxy": local, "NO_PROXY": local}


def sdk_block(base: str, endpoint: str, worker_id: str, gpu: str, key: str, ping_s: float) -> dict[str, str]:
    """The variables by which the runpod SDK finds its platform (read by its serverless modules, version 1.12.0).

    Args:
        base: URL of the emulator, without a path.
        key: in each URL, as on RunPod, and in Authorization; without one the SDK sends no pings.
        ping_s: between two pings; the SDK counts whole seconds.
    """
    api, query = f"{base}/v2/{endpoint}", urlencode({"gpu": gpu, "key": key})
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{api}/job-take/$ID?{query}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{api}/job-done/$RUNPOD_POD_ID/$ID?{query}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{api}/job-stream/$RUNPOD_POD_ID/$ID?{query}",
        "RUNPOD_WEBHOOK_PING": f"{api}/ping/$RUNPOD_POD_ID?{query}",
        "RUNPOD_POD_ID": worker_id,
        "RUNPOD_POD_HOSTNAME": worker_id,
        "RUNPOD_ENDPOINT_ID": endpoint,
        "RUNPOD_AI_API_KEY": key,
        "RUNPOD_PING_INTERVAL": str(1000 * max(1, round(ping_s))),
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }
