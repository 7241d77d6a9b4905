"""The table of costs: what the endpoint workers' time cost, by what they did, and what a request, a cold start and a minimum cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from coldburst.lines import one_line
from coldburst.record.bill import Bill
from coldburst.record.prices import HOUR_S, Price, PriceError, stale

from ..tables.billing import BilledTime, billed_time
from ..tables.cost import cost
from ..tables.platform_bill import platform_bill
from ..tables.price import started_on, worker_price
from ..tables.run_tables import Tables
from ..tables.units import units
from ..text.number_format import number, percent
from ..text.sheet import Sheet

DAY_S = 86_400
Row = tuple[str, str, str, str]


def cost_sheets(of: Tables) -> Iterator[Sheet]:
    """The table, if the price and the workers' time are known."""
    try:
        price = worker_price(of.run.about)
    except PriceError:
        return
    found = cost(of)
    if price is None or found.worker_s is None or found.usd is None:
        return
    time, bill = billed_time(of.run.about, of.attempts), platform_bill(of.run.about)
    rows = [*(_phases(time, price) if time else ()), _row("total", found.worker_s, price, "all endpoint workers, to their stop")]
    rows += [*_billed(bill, found.usd), *_each(of, found.worker_s, price), *_standing(time, price)]
    remark = " ".join(filter(None, [_remark(of, time, price), _later(bill, of)]))
    yield Sheet("Cost", ("", "Worker-seconds", "USD", "How"), tuple(rows), remark, aside=True)


def _row(name: str, seconds: float, price: Price, how: str) -> Row:
    return name, number(seconds, "s"), number(seconds * price.usd_per_s, "USD"), how


def _phases(time: BilledTime, price: Price) -> Iterator[Row]:
    parts = (
        ("start", time.start_s, "containers from their start to ready"),
        ("execution", time.execution_s, "workers with at least one request"),
        (
            "idle",
            time.idle_s,
            "ready workers without a request, the idle timeout after the last one, and each container's last second rounded up",
        ),
    )
    whole = sum(seconds for _, seconds, _ in parts)
    for name, seconds, how in parts:
        yield _row(name, seconds, price, f"{how}: {percent(seconds / whole if whole else 0.0)}")


def _billed(bill: Bill | None, usd: float) -> Iterator[Row]:
    """The platform's own figure beside the total."""
    if bill is None or bill.run_usd is None:
        return
    # Adding 0.0 makes a rounded -0.0 positive.
    difference = f"{round(bill.run_usd / usd - 1, 3) + 0.0:+.1%}" if usd > 0 else "no difference to show"
    before = f", less {number(bill.before_usd, 'USD')} before the run" if bill.before_usd else ""
    how = f"the billing API on {bill.read[:16]}: the whole endpoint, {bill.hours}{before}; {difference} against the total"
    yield "billed by the platform", "", number(bill.run_usd, "USD"), how


def _later(bill: Bill | None, of: Tables) -> str:
    """What to do where the platform's figure is not there, or may not be complete."""
    if bill is None:
        return ""
    words = bill.words[0].upper() + bill.words[1:]
    return one_line(f"{words}; records may come later: coldburst bill {of.run.path} reads them again.")


def _each(of: Tables, worker_s: float, price: Price) -> Iterator[Row]:
    """Per request, per unit and per hour of the run."""
    ok, elapsed_s = of.ledger.counts.get("ok", 0), float(of.run.about.get("elapsed_s") or 0.0)
    if ok:
        yield _row("per request ok", worker_s / ok, price, f"total ÷ {ok:,}")
    if (counted := units(of)) and counted.total > 0:
        count, name = counted.priced_by
        yield _row(f"per {name}", worker_s / counted.total * count, price, f"total ÷ {number(counted.total)} {counted.shown}")
    if elapsed_s > 0:
        yield _row(
            "per hour of this load",
            worker_s / elapsed_s * HOUR_S,
            price,
            "total ÷ the run's length; a short run has a larger share of starts",
        )


def _standing(time: BilledTime | None, price: Price) -> Iterator[Row]:
    """What one cold start costs, and what a minimum of workers costs a day."""
    if time and time.starts_s:
        middle_s = statistics.median(time.starts_s)
        yield _row("one cold start", middle_s, price, f"median of {len(time.starts_s)}, from the container's start to ready")
    most = time.maximum if time and time.maximum and time.maximum < 1000 else None
    for n in sorted({1, most or 1}):
        yield _row(f"min workers = {n}, a day", n * DAY_S, price, "billed whether requests come or not")


def _remark(of: Tables, time: BilledTime | None, price: Price) -> str:
    said = [f"Price: {number(price.usd_per_s)} USD per worker-second, {price.name}, {price.source}, {price.date.isoformat()}."]
    said.append(stale(price, started_on(of.run.about)) if "catalogue" not in price.source else "")
    if time is None:
        said.append("The worker list has no starts of containers: workers that it lists are counted from the start to the end of the run.")
    else:
        said.append("An estimate from the worker list: the platform counts for itself.")
    return " ".join(filter(None, [*said, *_limit(of.run.about.get("spending"))]))


def _limit(spending: object) -> Iterator[str]:
    """What --max-spend did."""
    if not isinstance(spending, dict) or not isinstance(limit_usd := spending.get("limit_usd"), int | float):
        return
    spent_usd, reached_s, shut = (spending.get(name) for name in ("spent_usd", "reached_s", "shutdown"))
    metered = f"{number(spent_usd, 'USD')} USD were metered" if isinstance(spent_usd, int | float) else "nothing was metered"
    if not isinstance(reached_s, int | float):
        yield f"--max-spend {limit_usd:g} USD was not reached: {metered}."
        return
    yield f"--max-spend {limit_usd:g} USD was reached after {reached_s:.0f} s: nothing more was sent, and {metered} in all."
    if isinstance(shut, dict):
        yield one_line(
            f"Workers left by the worker list: {shut.get('workers')} (minimum {shut.get('minimum')}); settings {shut.get('settings')}"
            f"{'; ' + str(shut['billed']) if shut.get('billed') else ''}."
        )
    if left := spending.get("left_to_do"):
        yield one_line(f"Left to do: {left}.")
