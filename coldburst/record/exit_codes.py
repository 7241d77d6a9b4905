"""Exit codes of a run and of ``python -m analysis gate``, in their order of precedence. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping

GOOD, ERRORS, NOTHING_SENT, LEFT_ALONE, DEGRADED, INVALID, MISSED = range(7)
MEANINGS: Mapping[int, str] = {
    GOOD: "the verdict is valid, and every planned request was ok; with objectives: they are met",
    ERRORS: "some requests were not ok, or results could not be written (`--exit-code-on-error` changes this code)",
    NOTHING_SENT: "nothing was sent, or nothing could be read; one sentence says why",
    LEFT_ALONE: "a generator lost its master; its rows are kept",
    DEGRADED: "the verdict is degraded: the figures hold with the limits that the report names "
    "(`--exit-code-on-verdict no` turns this code off)",
    INVALID: "the verdict is invalid: do not use the figures (`--exit-code-on-verdict no` turns this code off)",
    MISSED: "an objective is missed, or cannot be told",
}
# ``ended_by`` in run.json after Locust's option of that name ended the run, as asked.
RUN_TIME = "--run-time"
OF_VERDICT: Mapping[str, int] = {"degraded": DEGRADED, "invalid": INVALID}


def code(*, verdict: str, kept: bool | None, good: bool = True, errors: int = ERRORS) -> int:
    """The exit code of a run that sent and recorded requests. Precedence: invalid, objectives, degraded, requests that are not ok.

    Args:
        verdict: the report's; "" to ignore it.
        kept: whether the objectives are met; None if there are none, so that ``good`` decides.
        good: whether every request was ok.
        errors: the code used for ERRORS.
    """
    if verdict == "invalid":
        return INVALID
    if kept is False:
        return MISSED
    if verdict in OF_VERDICT:
        return OF_VERDICT[verdict]
    return GOOD if kept or good else errors
