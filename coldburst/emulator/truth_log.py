"""The truth log: what the emulator did, one line of JSON each, for a load tester's figures to be held against."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, TextIO


class TruthLog:
    """Writes lines; each is on its way to the file before ``tell`` returns.

    Args:
        out: where the lines go; None = nowhere.
        zero_s: second 0 of the emulator's clock, in seconds since 1970.
    """

    def __init__(self, out: TextIO | None, zero_s: float) -> None:
        self._out, self._zero_s = out, zero_s

    def tell(self, kind: str, endpoint: str, instants: Mapping[str, float | None], **more: Any) -> None:
        """One line.

        Args:
            kind: "job", "request" (of a load balancer) or "worker".
            endpoint: its name.
            instants: by name, in seconds of the emulator's clock; each is written as NAME_s, and as NAME in seconds since 1970.
            more: as it stands; seconds are rounded to the microsecond.
        """
        if self._out is None:
            return
        row: dict[str, Any] = {"kind": kind, "endpoint": endpoint}
        for name, at_s in instants.items():
            row[name] = None if at_s is None else round(self._zero_s + at_s, 6)
            row[f"{name}_s"] = None if at_s is None else round(at_s, 6)
        row |= {name: round(value, 6) if isinstance(value, float) else value for name, value in more.items()}
        try:
            self._out.write(json.dumps(row) + "\n")
            self._out.flush()
        except OSError as error:  # jobs go on: what was promised to clients counts for more
            print(f"the truth log cannot be written any more, and ends here: {error.strerror}", file=sys.stderr)
            self._out = None
