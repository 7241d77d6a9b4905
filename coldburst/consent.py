"""Before a run: what it would take and cost, and whether the user agrees to it where it costs money."""

from __future__ import annotations

import logging
import math
import shlex
import sys
from datetime import date
from typing import TYPE_CHECKING, Any

from gevent.socket import wait_read

from coldburst.load.checked_run import CheckedRun, command
from coldburst.load.spend_limit import paid
from coldburst.record.prices import PriceError

if TYPE_CHECKING:
    from coldburst.planner.estimate import Estimate

logger = logging.getLogger("coldburst")
YES = ("y", "yes")


class Consent:
    """The estimate of each checked run, made and logged once, and the user's agreement to it."""

    def __init__(self) -> None:
        self._checked: CheckedRun | None = None
        self._ahead: Estimate | None = None
        self._shown: Any = None

    def estimated(self, checked: CheckedRun) -> dict[str, Any] | None:
        """The entry ``estimate`` of run.json; None where nothing tells what the run takes."""
        ahead = self._estimate(checked)
        return ahead.plain() if ahead else None

    def confirm(self, checked: CheckedRun) -> str:
        """Why a run may not start, "" if it may: a terminal is asked, and without one --yes or --max-spend must agree to the cost."""
        if _agreed(checked):
            return ""
        ahead = self._estimate(checked)
        if _changes_unasked(checked):
            # A sweep lists its changes and is refused before anything is sent: --yes agrees to both.
            return ""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return (
                f"this run costs money, and there is no terminal to ask: {_cost(ahead)}. Nothing was sent; "
                f"agree with --yes, or limit the cost with --max-spend USD, as in '{_again()}'"
            )
        if not _asked(f"This run costs money: {_cost(ahead)}. Start it? [y/N] "):
            return "nothing was sent: you did not agree to the cost; --yes agrees without a question"
        return ""

    def confirm_form(self, checked: CheckedRun) -> str:
        """As ``confirm`` where Start was pressed in a form: the cost is shown once, and the same form sent again agrees."""
        shown, self._shown = self._shown, None
        if _agreed(checked) or shown == (checked.spec, checked.values):
            return ""
        self._shown = (checked.spec, checked.values)
        return f"this run costs money: {_cost(_estimate(checked))}; press Start again to send it"

    def _estimate(self, checked: CheckedRun) -> Estimate | None:
        if self._checked is not checked:
            self._checked, self._ahead = checked, _estimate(checked)
            if self._ahead:
                logger.info("Estimate: %s", self._ahead.text)
        return self._ahead


def _agreed(checked: CheckedRun) -> bool:
    """Whether there is nothing to ask. A limit is an agreement too: its amount is what the user would pay at most."""
    return not paid(checked.plan) or checked.plan.options["yes"] == "yes" or checked.limit is not None


def _changes_unasked(checked: CheckedRun) -> bool:
    """Whether the run would change an endpoint without --yes."""
    try:
        if checked.spec.kind.consent:
            checked.spec.kind.consent({**checked.plan.options, "host": checked.plan.host})
    except ValueError:
        return True
    return False


def _estimate(checked: CheckedRun) -> Estimate | None:
    """None without the endpoint's settings, and where the price is not known and nobody has to agree."""
    plan, found = checked.plan, checked.found
    try:
        price = found.price(str(plan.options["price"]), date.today()) if found else None
    except PriceError:
        price = None
    if found is None or not (price or (found.settings and paid(plan))):
        return None
    # Imported here because other runs do not need it.
    from coldburst.planner.estimate import estimate, known_from  # noqa: PLC0415
    from coldburst.planner.model.scenario import Client  # noqa: PLC0415

    # The planner's deadline counts from the schedule, a run's from the sending: only without a wait at the cap they are the same.
    deadline_s = plan.limits.total_s if (plan.planned or math.inf) <= plan.max_in_flight else None
    client = Client(plan.max_in_flight, deadline_s, plan.retries)
    usd_per_s = price.usd_per_s if price else 0.0
    return estimate(plan.schedule, found.settings, usd_per_s, client=client, known=known_from(plan.runs, plan.host), seed=plan.seed)


def _cost(ahead: Estimate | None) -> str:
    if ahead is None:
        return "how much is not known, as the endpoint's settings and price could not be read"
    return ahead.brief if ahead.usd_per_s else f"{ahead.brief}; the price of a worker is not known, --price tells it"


def _again() -> str:
    """The command that was given, with --yes."""
    return shlex.join([*(command() or ["locust"]), "--yes"])


def _asked(question: str) -> bool:
    """The answer to the question in the terminal; Enter alone and the end of the input are a no."""
    print(question, end="", file=sys.stderr, flush=True)
    # Generators are served meanwhile, and a signal ends the wait.
    wait_read(sys.stdin.fileno())
    return sys.stdin.readline().strip().lower() in YES
