"""What a sweep comes to: its settings, the decision, and what to know before one decides by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..figures.style import MissingPlot, Plot
from ..sweep.decision import UNDECIDED, Decision, decide
from ..sweep.sweep_result import SweepResult, sweep_result
from ..tables.run_tables import Tables
from ..text.sheet import Sheet
from . import sweep_figures, sweep_metrics, sweep_sheets
from .sweep_notes import sweep_notes


@dataclass(frozen=True, eq=False)
class SweepAnswer:
    """A sweep with its decision and notes."""

    sweep: SweepResult
    decision: Decision
    notes: tuple[str, ...]

    def headline(self, verdict: str) -> str:
        """The decision in a sentence; says so first where the run's verdict is that its figures may not be believed."""
        sentence = self.decision.sentence
        doubted = verdict == "invalid" and not sentence.startswith(UNDECIDED)
        return f"Nothing to decide by, as the run is invalid: {sentence}" if doubted else sentence

    @property
    def policies(self) -> Sheet:
        """The three policies side by side."""
        return sweep_sheets.policies_sheet(self.sweep, self.decision)

    @property
    def main(self) -> Sheet:
        """The table of settings."""
        return sweep_sheets.settings_sheet(self.sweep)

    def sheets(self) -> list[Sheet]:
        """Every table of the sweep but the policies."""
        return sweep_sheets.sweep_sheets(self.sweep)

    def plots(self) -> list[Plot | MissingPlot]:
        """Every figure of the sweep."""
        return sweep_figures.sweep_plots(self.sweep)

    def metrics(self) -> dict[str, Any]:
        """The sweep for other programs."""
        return sweep_metrics.metrics(self.sweep, self.decision, list(self.notes))


def sweep_answer(of: Tables) -> SweepAnswer | None:
    """What the run comes to; None where it is no sweep."""
    found = sweep_result(of)
    return None if found is None else SweepAnswer(found, decide(found), tuple(sweep_notes(of, found)))
