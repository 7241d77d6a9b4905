"""The emulator's management token: where the emulator leaves it, and where our own client finds it. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import stat
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

VARIABLE = "COLDBURST_EMULATOR_TOKEN"
# Files of this process's emulators, by port. Each is locked while it is open, so that the file of a killed emulator is known as such.
_published: dict[int, TextIO] = {}


@lru_cache(256)
def is_loopback(host: str) -> bool:
    """Whether ``host`` names this machine: localhost or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def find(url: str) -> str:
    """The token of the emulator at ``url``: from the environment, or from the file of an emulator on this machine; "" = none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.endswith((".runpod.ai", ".runpod.io")):
        return ""
    if token := os.environ.get(VARIABLE, ""):
        return token
    if is_loopback(host) and (folder := _private_folder()):
        with contextlib.suppress(OSError, ValueError), _file(folder, parts.port or 0).open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read()
    return ""


def publish(port: int, token: str) -> None:
    """Leave ``token`` where ``find`` looks, readable by this user alone, until "" or the end of this process."""
    folder = _private_folder()
    if folder is None:
        return
    file = _file(folder, port)
    file.unlink(missing_ok=True)
    if earlier := _published.pop(port, None):
        earlier.close()
    if token:
        out = _published[port] = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii")
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(token)
        out.flush()


def _file(folder: Path, port: int) -> Path:
    return folder / f"emulator-{port}"


def _private_folder() -> Path | None:
    """A folder that only this user can enter; None where there is none, or another user made it."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"coldburst-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    return None
