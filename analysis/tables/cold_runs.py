"""The result of a cold-start test: cold, warm and the penalty between them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..runs.csv_columns import floats
from ..statistics.percentiles import TimeSummary, time_summary
from .run_tables import Tables, cached_table

# An option that only locustfiles/coldstart.py has.
OWN_OPTION = "zero_timeout"
COLD_STAGE, WARM_STAGE = re.compile(r"cold-\d+"), re.compile(r"warm-\d+")


@dataclass(frozen=True)
class ColdRun:
    """Response times of requests answered ok.

    Attributes:
        cold: first requests after scale to zero, without those that are known to have been warm.
        warm: requests to the worker that had started.
    """

    cold: TimeSummary
    warm: TimeSummary

    @property
    def penalty_s(self) -> float | None:
        """Median cold − median warm."""
        cold, warm = self.cold.at(50).value, self.warm.at(50).value
        return None if cold is None or warm is None else cold - warm


@cached_table
def cold_run(of: Tables) -> ColdRun | None:
    """The ColdRun of a cold-start test; None for other runs."""
    options = of.run.about.get("options")
    if not isinstance(options, dict) or OWN_OPTION not in options or of.requests.empty:
        return None
    rows = of.requests.loc[of.requests["outcome"] == "ok", ["stage", "cold", "response_s"]]
    stage = rows["stage"].astype(str)
    first, later = rows[stage.str.fullmatch(COLD_STAGE)], rows[stage.str.fullmatch(WARM_STAGE)]
    was_warm = first["cold"].eq(False).fillna(False)
    cold, warm = (floats(part["response_s"]) for part in (first[~was_warm], later))
    return ColdRun(time_summary(cold, len(cold)), time_summary(warm, len(warm)))
