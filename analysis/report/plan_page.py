"""The page of a plan: cost and P95 of every setting, with the settings to move; one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..figures.plot_files import inline_plot
from ..figures.setting_points import PICKED, POINT, axes_of, draw_points, mark, of_day, row, words
from ..figures.style import Plot
from .page import render
from .setting_moves import moves

TITLE = "Cost and P95 of each setting"
CAPTION = f"The line leads over settings that none beats in both. {PICKED} A day has the load again and again, or as often as --every says."


def write(plan: Any, path: Path) -> None:
    """Writes a plan's data, as ``--json`` has it, as a page.

    Raises:
        ValueError: it has no settings to move.
    """
    answers: Sequence[Mapping[str, Any]] = plan if isinstance(plan, list) else []
    shown = moves(answers) if answers and "rate_per_s" not in answers[0] else None
    if shown is None:
        raise ValueError("a page shows settings to move: ask for several with sweep or idle, as in sweep --workers-max 1..8")
    axes = axes_of(answers)
    names = [name for name, _ in axes]
    rows = [
        row(words(one["settings"], names), POINT, one["figures"], of_day(one["figures"]), mark(one["settings"], axes)) for one in answers
    ]
    plot = Plot("plan", TITLE, CAPTION, pd.DataFrame(rows), draw_points, 3.6)
    path.write_text(render("settings.html", {"plot": plot, "svg": Markup(inline_plot(plot)), "moves": shown}), encoding="utf-8")
