"""What a sweep comes to: its settings, the decision, and what to know before one decides by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.figures.marks import Absent, Plot
from analysis.sheet import Sheet
from analysis.sweep import figures, metrics, sheets
from analysis.sweep.decision import UNDECIDED, Decision, decide
from analysis.sweep.notes import notes
from analysis.sweep.sweep import Sweep, sweep
from analysis.tables import Tables


@dataclass(frozen=True, eq=False)
class Answer:
    """A sweep with its decision and notes."""

    sweep: Sweep
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
        return sheets.policies(self.sweep, self.decision)

    @property
    def main(self) -> Sheet:
        """The table of settings."""
        return sheets.settings(self.sweep)

    def sheets(self) -> list[Sheet]:
        """Every table of the sweep but the policies."""
        return sheets.sheets(self.sweep)

    def plots(self) -> list[Plot | Absent]:
        """Every figure of the sweep."""
        return figures.plots(self.sweep)

    def metrics(self) -> dict[str, Any]:
        """The sweep for other programs."""
        return metrics.metrics(self.sweep, self.decision, list(self.notes))


def answer(of: Tables) -> Answer | None:
    """What the run comes to; None where it is no sweep."""
    found = sweep(of)
    return None if found is None else Answer(found, decide(found), tuple(notes(of, found)))
