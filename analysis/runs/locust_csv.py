"""Reads the files of ``locust --csv PREFIX``, written by any version, into the columns of Locust 2.47.

What each version writes (its locust/stats.py; issue 1198 and pull requests 1146 and 1873 of locustio/locust):

* until 0.13.2: PREFIX_requests.csv ("Method", "# requests", "Median response time" …, a last row "None","Total"), and
  PREFIX_distribution.csv with the percentiles, its rows named ``GET /path``. No history, no failures.
* 0.13.3 to 0.14: PREFIX_stats.csv ("Type", "# requests", "Requests Failed/s", "99.999" without its sign), a history without the
  number of users, later PREFIX_failures.csv. No line end after the last line.
* 1.0 on: "Request Count", "Failures/s", and in the history "User Count" and cumulative columns "Total …"; at first a "99.999%" too.

Percentiles of the history are of Locust's own sliding window (about ten seconds) until 1.1, cumulative from August 2020 to September
2021 (about 1.2 to 2.2), and since then sliding with --csv-full-history and cumulative without; the documentation says sliding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from coldburst.lines import one_line

from .locust_cells import COUNTS, REMEDY, TEXTS, LocustFile, read_file

_MEASURES = ("Median Response Time", "Average Response Time", "Min Response Time", "Max Response Time")
# Column names of older versions → those of 2.47.
STATS: Mapping[str, str] = {
    "Method": "Type",
    "# requests": "Request Count",
    "# failures": "Failure Count",
    "Requests Failed/s": "Failures/s",
    "99.999": "99.999%",
    **{name.capitalize(): name for name in _MEASURES},
}
HISTORY: Mapping[str, str] = {
    **STATS,
    "# requests": "Total Request Count",
    "# failures": "Total Failure Count",
    "Average Content Size": "Total Average Content Size",
    **{name.capitalize(): f"Total {name}" for name in _MEASURES},
}
# What the history's percentiles cover: about the last ten seconds, everything since the start, or unknown.
WINDOW, CUMULATIVE, UNTOLD = "window", "cumulative", "untold"
SAID: Mapping[str, str] = {
    WINDOW: "Percentiles in the history cover about the last ten seconds (2 to 18), and are empty before that.",
    CUMULATIVE: "Percentiles in the history cover all since the start: slowness late in the run hardly shows (see --csv-full-history).",
    UNTOLD: "Percentiles in the history cover about the last ten seconds or (Locust 1.2 to 2.2) all since the start: unknown which.",
}


@dataclass(frozen=True)
class LocustTotals:
    """The output of ``locust --csv`` in the columns of 2.47; a missing file is None.

    Attributes:
        stats: one row per request name, and usually "Aggregated" with an empty Type.
        history: one row per write and name.
        failures: one row per error.
        exceptions: one row per exception in a task; Locust does not count these as failures.
        percentiles: what the history's percentiles cover: WINDOW, CUMULATIVE or UNTOLD.
    """

    stats: pd.DataFrame
    history: pd.DataFrame | None = None
    failures: pd.DataFrame | None = None
    percentiles: str = UNTOLD
    exceptions: pd.DataFrame | None = None


def read_totals(prefix: Path) -> tuple[LocustTotals, list[str]]:
    """Reads Locust's files; the first notes say what was read, the others what was missing or doubtful.

    Raises:
        ValueError: the file with the totals cannot be used; the message is one sentence.
        OSError: a file cannot be read.
    """
    notes = [told] if (told := unread_folder(prefix)) else []
    path = totals_file(prefix)
    doubts: list[str] = []
    read = [read_file(path, STATS, doubts)]
    rows = read[0].rows
    older = "# requests" in rows.columns
    stats = _named(rows.rename(columns=STATS))
    _check(stats, path)
    stats = stats.reset_index(drop=True).astype(dict.fromkeys(COUNTS, "int64"))
    if path.name.endswith("_requests.csv"):
        stats = _with_percentiles(stats, beside(prefix, "_distribution.csv"), read, doubts)
        return LocustTotals(stats), [*notes, _summary(read), *doubts, _old("0.13.2 and older")]
    history = _optional(beside(prefix, "_stats_history.csv"), HISTORY, ("Timestamp", "Type", "Name"), read, doubts)
    failures = _optional(beside(prefix, "_failures.csv"), STATS, ("Name", "Error", "Occurrences"), read, doubts)
    if failures is not None:
        failures = failures.astype({"Occurrences": "int64"})
    exceptions = _exceptions(beside(prefix, "_exceptions.csv"), read, doubts)
    kind = _over(history, early=older, between="99.999%" in stats.columns)
    doubts += [_old("0.13.3 to 0.14")] if older else []
    doubts += [SAID[kind]] if history is not None and len(history) else []
    return LocustTotals(stats, history, failures, kind, exceptions), [*notes, _summary(read), *doubts]


def _summary(read: Sequence[LocustFile]) -> str:
    return f"Read {', '.join(file.summary for file in read)}."


def _old(versions: str) -> str:
    last = " Version 0.13.3 wrote percentiles of the last ten seconds instead of the whole run." if "0.14" in versions else ""
    return f"Locust {versions} wrote these files: times are whole milliseconds.{last}"


def _optional(
    path: Path, names: Mapping[str, str], needed: tuple[str, ...], read: list[LocustFile], notes: list[str]
) -> pd.DataFrame | None:
    """A file that may be missing or unusable, which is then noted."""
    if not path.is_file():
        notes.append(f"{path.name} is missing.")
        return None
    try:
        file = read_file(path, names, notes)
    except ValueError as error:
        notes.append(f"{error}; the file is ignored.")
        return None
    table = _named(file.rows.rename(columns=names))
    lost = [name for name in needed if name not in table.columns]
    if lost:
        notes.append(f"{path.name} has no column {lost[0]!r}, which every version of Locust writes; the file is ignored.")
        return None
    key = next(name for name in needed if name not in TEXTS)
    if holes := int(table[key].isna().sum()):
        file.left_out.append(f"{holes:,} of these rows, without a value for {key!r}")
    read.append(file)
    return table.dropna(subset=[key]).reset_index(drop=True)


def _exceptions(path: Path, read: list[LocustFile], notes: list[str]) -> pd.DataFrame | None:
    table = _optional(path, {}, ("Count", "Message"), read, notes) if path.is_file() else None
    if table is None:
        return None
    by_message = table["Count"].groupby(table["Message"].fillna("")).sum().astype("int64")
    n = int(by_message.sum())
    if n:
        most, message = int(by_message.max()), str(by_message.idxmax())
        of = f"{most:,} of them " if most < n else "all of them " if n > 1 else ""
        said = repr(message) if message else "without a message"
        notes.append(
            f"{n:,} exception{' was raised in a task' if n == 1 else 's were raised in tasks'}, {of}{said}: Locust does not count them "
            "as failures, and these totals lack whatever the task would have done next."
        )
    return table.astype({"Count": "int64"})


def _named(table: pd.DataFrame) -> pd.DataFrame:
    if not {"Type", "Name"} <= set(table.columns):
        return table
    untyped = table["Type"].isna() | (table["Type"] == "None")
    name = table["Name"].mask(untyped & (table["Name"] == "Total"), "Aggregated")
    return table.assign(Type=table["Type"].mask(untyped & (name == "Aggregated")), Name=name)


def _check(stats: pd.DataFrame, path: Path) -> None:
    lost = [name for name in ("Type", "Name", *COUNTS) if name not in stats.columns]
    if lost:
        said = one_line(",".join(map(str, stats.columns[:4])), 80)
        raise ValueError(
            f"{path} is not a statistics file of a known Locust version (up to 2.47): its first line begins with {said!r} "
            f"and has no {lost[0]!r}; it should begin with 'Type,Name,Request Count'"
        )
    if stats.empty:
        raise ValueError(f"{path} has no rows: the run was killed before Locust wrote one")
    for name in COUNTS:
        if stats[name].isna().any():
            place = stats[name].isna().idxmax()
            raise ValueError(f"{path}: {name!r} in row {place} should be a whole number, such as 120, but is empty; {REMEDY}")


def _with_percentiles(stats: pd.DataFrame, path: Path, read: list[LocustFile], notes: list[str]) -> pd.DataFrame:
    """``stats`` with the percentiles that 0.13.2 and older wrote into a file of their own."""
    if not path.is_file():
        notes.append(f"{path.name} is missing, so there are no percentiles.")
        return stats
    try:
        read.append(read_file(path, {}, notes))
    except ValueError as error:
        notes.append(f"{error}; the file is ignored.")
        return stats
    ends = read[-1].rows
    if "Name" not in ends.columns:
        notes.append(f"{path.name} has no column 'Name'; the file is ignored.")
        return stats
    keys = (stats["Type"].fillna("None") + " " + stats["Name"].fillna("")).str.replace("None Aggregated", "None Total")
    percentiles = ends.set_index("Name")[[name for name in ends.columns if str(name).endswith("%")]]
    percentiles = percentiles[~percentiles.index.duplicated()]
    return pd.concat([stats, percentiles.reindex(keys).set_index(stats.index)], axis=1)


def _over(history: pd.DataFrame | None, *, early: bool, between: bool) -> str:
    """What the history's percentiles cover. A cumulative maximum never falls, and is not 0 once a request was counted.

    ``early``: a version before 1.0. ``between``: a version that may have done either.
    """
    if history is None or early:
        return WINDOW if early else UNTOLD
    whole = history[history["Type"].isna() & (history["Name"] == "Aggregated")]
    if {"100%", "Total Request Count", "Total Max Response Time"} <= set(history.columns):
        none_yet = (whole["100%"] == 0) & (whole["Total Request Count"] > 0) & (whole["Total Max Response Time"] >= 1)
        if none_yet.any() or (whole["100%"].dropna().diff() < 0).any():
            return WINDOW
    return UNTOLD if between or len(whole) < len(history) else CUMULATIVE


# Every version writes one of these.
PARTS = ("_stats.csv", "_requests.csv")
MOST_NAMED = 5


def has_files(prefix: Path) -> bool:
    """Whether Locust wrote files with this prefix; raises OSError if the name is too long."""
    return _beside_folder(prefix) or _in_folder(prefix)


def beside(prefix: Path, part: str) -> Path:
    """The path of a file with this prefix: ``results/one`` and ``_stats.csv`` give ``results/one_stats.csv``.

    After ``--csv results/`` the files are ``results/_stats.csv`` and so on. A Path keeps no slash, so a folder stands for that
    prefix, unless files with the folder's own name as prefix (``results_stats.csv``) are next to it.
    """
    return prefix / part if _in_folder(prefix) and not _beside_folder(prefix) else prefix.with_name(f"{prefix.name}{part}")


def totals_file(prefix: Path) -> Path:
    """The file with the totals, which exists if ``has_files``."""
    return next(path for part in PARTS if (path := beside(prefix, part)).is_file())


def unread_folder(prefix: Path) -> str:
    """A sentence if the prefix also names a folder with files; otherwise ""."""
    if not (_beside_folder(prefix) and _in_folder(prefix)):
        return ""
    inside = next(prefix / part for part in PARTS if (prefix / part).is_file())
    return f"{inside} was not read, because {totals_file(prefix)} has precedence; move one of them to read the other."


def other_prefixes(folder: Path) -> str:
    """The first prefixes in ``folder`` as the command line takes them, or ""; raises OSError if it cannot be listed."""
    names = sorted({path.name.removesuffix(part) for part in PARTS for path in folder.glob(f"?*{part}")})
    shown = [str(folder / name) for name in names[:MOST_NAMED]]
    more = f" … ({len(names)} in all)" if len(names) > MOST_NAMED else ""
    return " or ".join(shown) + more


def _beside_folder(prefix: Path) -> bool:
    return prefix.name != "" and any(prefix.with_name(f"{prefix.name}{part}").is_file() for part in PARTS)


def _in_folder(prefix: Path) -> bool:
    return any((prefix / part).is_file() for part in PARTS)


PERCENTILE_COLUMNS = ("50%", "90%", "95%", "99%")
HISTORY_COLUMNS = {
    "requests_per_s": "Requests/s",
    "failures_per_s": "Failures/s",
    "users": "User Count",
    "requests": "Total Request Count",
    "failures": "Total Failure Count",
    "mean_s": "Total Average Response Time",
    "p50_s": "50%",
    "p95_s": "95%",
}


def by_name(totals: LocustTotals) -> pd.DataFrame:
    """One row per request name and "Aggregated": requests, failures, requests_per_s, and in seconds mean_s, max_s, p50_s … p99_s.

    Locust's percentiles include failures and are rounded to two digits.
    """
    stats = totals.stats
    names = stats["Name"].where(stats["Type"].isna(), stats["Type"] + " " + stats["Name"])
    table = pd.DataFrame({"name": names.fillna(""), "requests": stats["Request Count"], "failures": stats["Failure Count"]})
    table["requests_per_s"] = _column(stats, "Requests/s")
    table["mean_s"] = _column(stats, "Average Response Time") / 1000
    table["max_s"] = _column(stats, "Max Response Time") / 1000
    return table.assign(**{f"p{label[:-1]}_s": _column(stats, label) / 1000 for label in PERCENTILE_COLUMNS})


def aggregated(totals: LocustTotals) -> pd.Series[float]:
    """The "Aggregated" row of ``by_name``, or the sums of requests and failures if there is none."""
    table = by_name(totals)
    found = table[table["name"] == "Aggregated"]
    return found.iloc[-1] if len(found) else table[["requests", "failures"]].sum()


def floor_s(totals: LocustTotals) -> float | None:
    """The least time of a request: the minimum of each name, weighted by its requests; None if unknown."""
    stats = totals.stats[totals.stats["Type"].notna() & (totals.stats["Request Count"] > 0)]
    least, n = _column(stats, "Min Response Time"), stats["Request Count"]
    value = float((least * n).sum(skipna=False) / n.sum()) / 1000 if len(stats) else math.nan
    return None if math.isnan(value) else value


def headline(totals: LocustTotals) -> str:
    """The totals in one sentence."""
    row = aggregated(totals)
    requests, failures = int(row["requests"]), int(row["failures"])
    return f"Locust's totals: {requests:,} requests, {failures:,} of them failed; the number planned is not known."


def history(totals: LocustTotals) -> pd.DataFrame:
    """One row per second: at_s from the first row, and HISTORY_COLUMNS, NaN if the file lacks one.

    Counts and mean_s cover the time since the start, percentiles what ``totals.percentiles`` says.
    """
    table = totals.history
    if table is None:
        return pd.DataFrame(columns=["at_s", *HISTORY_COLUMNS])
    rows = table[table["Type"].isna() & (table["Name"] == "Aggregated")].drop_duplicates("Timestamp", keep="last")
    found = {
        name: _column(rows, column) / (1000 if name.endswith("_s") and not name.endswith("per_s") else 1)
        for name, column in HISTORY_COLUMNS.items()
    }
    made = pd.DataFrame({"at_s": rows["Timestamp"] - rows["Timestamp"].min(), **found}).reset_index(drop=True)
    if totals.percentiles != CUMULATIVE:
        ends = ["p50_s", "p95_s"]
        made[ends] = made[ends].mask(made["p95_s"] == 0)
    return made


def _column(table: pd.DataFrame, name: str) -> pd.Series[float]:
    if name not in table.columns:
        return pd.Series(float("nan"), table.index)
    return pd.to_numeric(table[name], errors="coerce").astype(float)
