"""Restore the endpoint settings that a run changed and could not restore itself, for example after kill -9.

    python -m coldburst restore runs/ID
    python -m coldburst restore runs/ID --yes     for an endpoint that costs money

The settings are read from the run's settings.json, the key from RUNPOD_API_KEY. Running it twice does no harm.
"""

# As under Locust: gevent patches TLS sockets only if this comes first.
from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from coldburst.control.compose import ComposeControl
from coldburst.control.desired_state import Control, ControlError
from coldburst.control.rest import RestControl
from coldburst.installation import program
from coldburst.keys import RUNPOD_KEY, read_key
from coldburst.option import OptionError
from coldburst.targets.address import EndpointAddress

FILE = "settings.json"
PROGRAM = "python -m coldburst restore"
CONSOLE = "restore the endpoint in the console"


class SavedSettings(msgspec.Struct, frozen=True):
    """settings.json: what a run changed.

    Attributes:
        way: the way of control, one of ``choice.WAYS``.
        before: the settings before the first change, as ``Control.settings`` returned them.
        restored: None if a person has to restore them.
        note: why they were not restored, or by what they were.
        usd_per_worker_hour: price of an endpoint worker; None if it is not known.
    """

    way: str
    before: dict[str, Any]
    where: str = ""
    harmless: bool = False
    restored: bool | None = False
    note: str = ""
    usd_per_worker_hour: float | None = None


def standing_cost(workers: int | None, usd_per_worker_hour: float | None) -> str:
    """What an endpoint costs while its settings are not restored, as a sentence; "" if no minimum of workers is known."""
    if not workers:
        return ""
    many = f"{workers} worker{'s' if workers > 1 else ''} is"
    if usd_per_worker_hour is None:
        return f"Until then the minimum of {many} billed; --price shows what that costs."
    return f"Until then the minimum of {many} billed: {workers * usd_per_worker_hour:.2f} USD an hour."


def save(folder: Path, settings: SavedSettings) -> None:
    """Writes settings.json atomically; it is on the disk when this returns."""
    new = folder / f"{FILE}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(msgspec.to_builtins(settings), file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)


def load(folder: Path) -> SavedSettings:
    """The content of settings.json. Raises ControlError if it does not exist or cannot be read."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=SavedSettings)
    except FileNotFoundError:
        raise ControlError(f"'{folder}' has no {FILE}: the run changed nothing, or this is not a run directory (runs/ID)") from None
    except (OSError, msgspec.DecodeError) as error:
        raise ControlError(f"'{path}' could not be read ({error}): {CONSOLE}") from error


def _control(settings: SavedSettings, key: str) -> Control | None:
    """The control that made the changes; None if they ended with the run, or a person made them."""
    before = settings.before
    if settings.way == "rest":
        address = EndpointAddress("queue", "", str(before["endpoint"]), management=str(before["management"]))
        return RestControl(address, key, str(before["concurrency"]["variable"]))
    if settings.way == "compose":
        return ComposeControl(Path(before["file"]), str(before["service"]), str(before.get("proxy", "")))
    return None


def restore_settings(folder: Path, key: str, yes: bool) -> str:
    """Restores what the run in ``folder`` changed and records it there; a sentence that says what was done, or ControlError.

    ``yes`` is the consent to change an endpoint that is not on this machine.
    """
    settings = load(folder)
    if settings.restored:
        return f"{settings.where}: already restored ({settings.note or 'by the run'})"
    control = None
    try:
        control = _control(settings, key)
        if control is None:
            return f"{settings.where}: nothing to restore with this command ({settings.way})"
        if not control.harmless and not yes:
            raise ControlError(f"this changes {control.where} with the key in {RUNPOD_KEY}: add --yes")
        try:
            done = control.restore(settings.before)
        except ControlError as error:
            raise ControlError(f"{error}. {standing_cost(control.standing_workers(), settings.usd_per_worker_hour)}".strip()) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ControlError(f"{folder / FILE} does not contain the earlier settings ({error!r}): {CONSOLE}") from error
    finally:
        if control:
            control.close()
    save(folder, msgspec.structs.replace(settings, restored=True, note=f"restored by {PROGRAM}"))
    return done


def main(words: Sequence[str] | None = None) -> int:
    """Restores what a run changed; exit code 0: done, or nothing to do; 1: not possible."""
    parser = argparse.ArgumentParser(prog=program(PROGRAM), description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory, such as runs/20261121-091858-scaling")
    parser.add_argument("--yes", action="store_true", help="allow changes to an endpoint that is not on this machine")
    options = parser.parse_args(words)
    try:
        print(restore_settings(options.run, read_key(RUNPOD_KEY), options.yes))
    except (ControlError, OptionError, OSError) as error:
        print(f"{program(PROGRAM)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
