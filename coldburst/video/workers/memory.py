"""The GPU's memory: how many workers fit, and a ledger of the models on the card. Pure; sizes in GB.

The ledger is a model of a card: it counts the sizes that the options name, so that a plan can be tried without a GPU.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

SPEECH, VIDEO = "speech", "video"
# Sums of sizes such as 3.4 + 3.3 miss the card's size by rounding alone.
ROUNDING_GB = 1e-6


class OutOfMemoryError(Exception):
    """A model does not fit; ``code`` is double_load if it would fit without duplicates, else out_of_memory."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Sizes in GB: the card, the models that all workers share, the models of each worker; ``headroom`` is the usable share."""

    card_gb: float = 24.0
    shared_gb: float = 3.4
    per_worker_gb: float = 3.3
    headroom: float = 0.8

    def usage_gb(self, workers: int) -> float:
        """What so many workers use: shared + workers × per worker."""
        return self.shared_gb + workers * self.per_worker_gb

    @property
    def fit(self) -> int:
        """Workers that fit: floor((card × headroom − shared) ÷ per worker), at least 0."""
        return max(math.floor((self.card_gb * self.headroom - self.shared_gb) / self.per_worker_gb + ROUNDING_GB), 0)

    def size_gb(self, model: str) -> float:
        """The size of a model, SPEECH or VIDEO."""
        return self.shared_gb if model == SPEECH else self.per_worker_gb


class Card:
    """The models on the card, by the process that loaded them.

    Attributes:
        peak_gb: the most that was in use.
        loads: how often each model was loaded.
        kills: how many processes were killed because their model did not fit.
    """

    def __init__(self, plan: MemoryPlan) -> None:
        self._plan = plan
        self._models: Counter[tuple[str, str]] = Counter()
        self.peak_gb, self.kills = 0.0, 0
        self.loads: Counter[str] = Counter()

    @property
    def used_gb(self) -> float:
        """Memory in use, duplicates included."""
        return sum(count * self._plan.size_gb(model) for (_, model), count in self._models.items())

    @property
    def duplicates_gb(self) -> float:
        """Memory of models that are loaded more than once: the speech model on the card, a video model in its process."""
        return max(self._of(SPEECH) - 1, 0) * self._plan.shared_gb + sum(
            (count - 1) * self._plan.per_worker_gb for (_, model), count in self._models.items() if model == VIDEO and count > 1
        )

    def load(self, owner: str, model: str) -> None:
        """Put a model of the process ``owner`` on the card; OutOfMemoryError."""
        size_gb, used_gb, card_gb = self._plan.size_gb(model), self.used_gb, self._plan.card_gb
        if used_gb + size_gb > card_gb + ROUNDING_GB:
            needs = f"the {model} model needs {size_gb:g} GB, and {max(card_gb - used_gb, 0):.1f} of {card_gb:g} GB are free"
            again = self._of(SPEECH) > 0 if model == SPEECH else self._models[owner, VIDEO] > 0
            if again or used_gb - self.duplicates_gb + size_gb <= card_gb + ROUNDING_GB:
                raise OutOfMemoryError("double_load", f"double load: {needs}: models are on the card more than once ({self._listed()})")
            raise OutOfMemoryError("out_of_memory", f"out of memory: {needs} ({self._listed()})")
        self._models[owner, model] += 1
        self.loads[model] += 1
        self.peak_gb = max(self.peak_gb, self.used_gb)

    def free(self, owner: str, model: str) -> None:
        """Take one model of ``owner`` off the card."""
        if self._models[owner, model] > 0:
            self._models[owner, model] -= 1

    def free_all(self, owner: str) -> None:
        """The process has ended: its models are gone."""
        for key in [key for key in self._models if key[0] == owner]:
            del self._models[key]

    def _of(self, model: str) -> int:
        return sum(count for (_, name), count in self._models.items() if name == model)

    def _listed(self) -> str:
        return ", ".join(f"{model} × {self._of(model)}" for model in (SPEECH, VIDEO))
