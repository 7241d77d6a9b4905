"""Restore the endpoint settings that a run changed and could not restore itself, as after kill -9.

    python -m coldburst restore runs/ID
    python -m coldburst restore runs/ID --yes     for an endpoint that costs money

What was, stands in the run's settings.json; the key is read from RUNPOD_API_KEY. Doing it twice does no harm.
"""

# As under Locust: TLS sockets are gevent's only where this comes first.
from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coldburst.control.compose import ComposeControl
from coldburst.control.desired_state import Control, ControlError
from coldburst.control.rest import RestControl
from coldburst.installation import program
from coldburst.keys import RUNPOD_KEY, read_key
from coldburst.option import OptionError
from coldburst.targets.address import EndpointAddress

FILE = "settings.json"
PROGRAM = "python -m coldburst restore"
DONE = "put back by python -m coldburst restore"
NOT_SAID = "does not say what was before"
CONSOLE = "set the endpoint back in the console"


def save(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes settings.json, whole or not at all, on the disk when it returns."""
    new = folder / f"{FILE}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(settings, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / FILE)


def load(folder: Path) -> dict[str, Any]:
    """What settings.json says.

    Raises:
        ControlError: there is none, or it cannot be read.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content["way"], str) and isinstance(content["before"], dict):
            return dict(content)
        raise TypeError("other types than expected")
    except FileNotFoundError:
        raise ControlError(f"'{folder}' has no {FILE}: that run changed nothing, or is no run's directory (runs/ID)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ControlError(f"'{path}' cannot be read ({error!r}): {CONSOLE}") from error


def again(settings: Mapping[str, Any], key: str) -> Control | None:
    """The control that made those settings; None where the run's end has ended all that it changed, or a person changed it.

    Raises:
        ControlError: it cannot be used here.
    """
    before = settings["before"]
    try:
        if settings["way"] == "rest":
            where = EndpointAddress("queue", "", str(before["endpoint"]), management=str(before["management"]))
            return RestControl(where, key, str(before["concurrency"]["variable"]))
        if settings["way"] == "compose":
            return ComposeControl(Path(before["file"]), str(before["service"]))
    except (KeyError, TypeError) as error:
        raise ControlError(f"{FILE} {NOT_SAID} ({error!r}): {CONSOLE}") from error
    return None


def restore_settings(folder: Path, key: str, yes: bool) -> str:
    """Puts back what the run in ``folder`` changed, and notes it there; a sentence on what was done.

    Args:
        yes: whether an endpoint that is not this machine's own may be changed.

    Raises:
        ControlError: it cannot be done.
    """
    settings = load(folder)
    if settings.get("restored") is True:
        return f"{settings.get('where')}: put back already ({settings.get('note') or 'by the run'})"
    control = again(settings, key)
    if control is None:
        return f"{settings.get('where')}: nothing to put back from here ({settings['way']})"
    try:
        if not control.harmless and not yes:
            raise ControlError(f"this changes {control.where} with the key in {RUNPOD_KEY}: add --yes")
        done = control.restore(settings["before"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ControlError(f"{folder / FILE} {NOT_SAID} ({error!r}): {CONSOLE}") from error
    finally:
        control.close()
    save(folder, settings | {"restored": True, "note": DONE})
    return done


def main(words: Sequence[str] | None = None) -> int:
    """Put back what a run changed; the exit code: 0 done or nothing to do, 1 it cannot be done."""
    parser = argparse.ArgumentParser(prog=program(PROGRAM), description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path, help="the run's directory, as in runs/20261121-091858-scaling")
    parser.add_argument("--yes", action="store_true", help="change an endpoint that is not this machine's own")
    options = parser.parse_args(words)
    try:
        print(restore_settings(options.run, read_key(RUNPOD_KEY), options.yes))
    except (ControlError, OptionError, OSError) as error:
        print(f"{program(PROGRAM)}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
