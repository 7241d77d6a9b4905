"""Exit codes of a run and of ``python -m analysis gate``, in their order of precedence. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

GOOD, ERRORS, NOTHING_SENT, LEFT_ALONE, DEGRADED, INVALID, MISSED, UNTOLD = range(8)
MEANINGS: Mapping[int, str] = {
    GOOD: "the verdict is valid, and every planned request was ok; with objectives: they are met",
    ERRORS: "some requests were not ok, or results could not be written (`--exit-code-on-error` changes this code)",
    NOTHING_SENT: "nothing was sent, or nothing could be read; one sentence says why",
    LEFT_ALONE: "a generator lost its master; its rows are kept",
    DEGRADED: "the verdict is degraded: the figures hold with the limits that the report names "
    "(`--exit-code-on-verdict no` turns this code off)",
    INVALID: "the verdict is invalid: do not use the figures (`--exit-code-on-verdict no` turns this code off)",
    MISSED: "an objective is missed, or `--max-spend` was reached",
    UNTOLD: "no objective is missed, but one cannot be told: its interval includes the limit, or the run has no such figure",
}
# ``ended_by`` in run.json after Locust's option of that name ended the run, as asked.
RUN_TIME = "--run-time"
# Start of ``ended_by`` after the limit on spending ended the run.
SPENT = "--max-spend"
OF_VERDICT: Mapping[str, int] = {"degraded": DEGRADED, "invalid": INVALID}


def code(*, verdict: str, kept: bool | None, told: bool = True, good: bool = True, errors: int = ERRORS) -> int:
    """The exit code of a run that sent and recorded requests. Precedence: invalid, objectives, degraded, not ok.

    Args:
        verdict: the report's; "" to ignore it.
        kept: whether no objective is missed; None if there are none, so that ``good`` decides.
        told: whether every objective can be told.
        good: whether every request was ok.
        errors: the code used for ERRORS.
    """
    if verdict == "invalid":
        return INVALID
    if kept is False:
        return MISSED
    if not told:
        return UNTOLD
    if verdict in OF_VERDICT:
        return OF_VERDICT[verdict]
    return GOOD if kept or good else errors
