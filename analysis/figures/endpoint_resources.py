"""The figure of the service's own resources: CPU, and memory of its processes and of the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..tables.run_tables import Tables
from . import layout
from .style import BLUE, GREEN, QUEUED, Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESOURCES = ("cpu", "rss_bytes", "gpu_memory_bytes", "gpu_utilisation")
MOST_SAMPLES = 600
GB = 1e9


def endpoint_resources(tables: Tables) -> list[Plot]:
    """CPU and memory as the service reported them; nothing if it did not."""
    rows = tables.run.endpoint
    if rows is None or not rows[list(RESOURCES)].notna().any(axis=None):
        return []
    data = rows.loc[rows[list(RESOURCES)].notna().any(axis=1), ["at_s", *RESOURCES]].astype("float64").sort_values("at_s")
    step = -(-len(data) // MOST_SAMPLES)
    data = data.iloc[::step].reset_index(drop=True)
    caption = f"{len(data):,} samples of /health: CPU in cores (1.0 = a full core) and memory, of the service and its workers."
    if data["gpu_utilisation"].notna().any():
        caption += " GPU utilisation: share of the time in which it worked (NVML)."
    return [Plot("resources", "Resources of the service", caption, data, _draw, 3.4)]


def _draw(figure: Figure, data: pd.DataFrame) -> None:
    above, below = figure.subplots(2, 1, sharex=True)
    for column, label, colour in (("cpu", "CPU (cores)", GREEN), ("gpu_utilisation", "GPU utilisation", BLUE)):
        if data[column].notna().any():
            above.step(data["at_s"], data[column], where="post", color=colour, label=label)
    for column, label, colour in (("gpu_memory_bytes", "GPU", BLUE), ("rss_bytes", "resident", QUEUED)):
        if data[column].notna().any():
            below.step(data["at_s"], data[column] / GB, where="post", color=colour, label=label)
    above.set_ylabel("busy")
    below.set_ylabel("memory (GB)")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        layout.legend(axes)
    below.set_xlim(left=min(0.0, float(data["at_s"].min())))
    layout.time_axis(below, "time ({unit})", float(data["at_s"].max()))
