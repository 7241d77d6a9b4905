"""The setting that a sweep recommends: three policies, one of which decides, and a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..text.number_format import number, percent, seconds
from . import ratios
from .alike import MOST_REPEATS, Alike, alike, repeats_to_tell
from .setting_result import SettingResult, failures_text
from .sweep_result import RelativeResult, SweepResult
from .sweep_settings import SweepObjective

UNDECIDED = "No decision"
# A possible loss above this is not worth a figure: nothing is known.
MOST_LESS = 0.5


@dataclass(frozen=True, eq=False)
class Choice:
    """The setting that one policy picks.

    Attributes:
        policy, rule: the policy's name, and how it picks.
        cell: the setting, or None; then ``why`` says why none fits.
        why: the figures behind the choice.
        picked: the predicate of a sentence about the setting.
        rivals: the other settings that the data cannot tell from it, by the policy's own figure.
        change: what would lead to another choice, or "".
        which: which of them to take for what, or "" if that does not matter.
        equal: whether the rivals are shown to be equal, so that more data would change nothing.
        unsure: whether the setting itself may miss the rule.
        repeats: repeats that would probably tell the setting from its rivals, or on which side of the rule it is; None if none or too
            many are needed.
    """

    policy: str
    rule: str
    cell: SettingResult | None
    why: str
    picked: str = ""
    rivals: tuple[SettingResult, ...] = ()
    change: str = ""
    which: str = ""
    equal: bool = False
    unsure: bool = False
    repeats: int | None = None


@dataclass(frozen=True, eq=False)
class Decision:
    """The three choices, the one that decides, its sentence, and what would change it (or "").

    ``reservation``: failures or drift that make it unsure, or ""; ``safer``: the setting that surely keeps the failure limit.
    """

    choices: tuple[Choice, ...]
    main: Choice
    sentence: str
    change: str
    reservation: str = ""
    safer: tuple[str, ...] = ()


def decide(of: SweepResult) -> Decision:
    """The decision of a sweep: by its objectives if it has any, else by goodput (concurrency sweeps) or the worth-it rule."""
    able = [cell for cell in of.deciding if cell.name not in of.unfit]
    choices = tuple(policy(of, able) for policy in (_most, _worth, _cheapest))
    main = choices[_decides(of)]
    change = " ".join(f"{said}." for said in (main.change, _spoilt(of, main)) if said and len(of.deciding) > 1)
    sure = _surely_answering(of, main.cell, able)
    doubt = _both(_failing_doubts(of, main.cell, sure), of.drift) if main.cell else ""
    return Decision(choices, main, _sentence(of, main, able, doubt), change, doubt, (sure.name,) if sure else ())


def _decides(of: SweepResult) -> int:
    return 2 if of.settings.objectives else 0 if of.settings.question == "concurrency" else 1


def _nothing(of: SweepResult) -> str:
    if of.deciding:
        return "; ".join(said.removesuffix(".") for said in of.unfit.values())
    return "no setting answered any request ok" if any(cell.done for cell in of.cells) else "no setting was measured completely"


def _per_s(cell: SettingResult) -> float:
    return cell.throughput.value or 0.0


def setting_names(cells: Sequence[SettingResult]) -> str:
    """``c8``, ``c8 and c16``, ``c8, c16 and c32``."""
    return " and ".join([", ".join(cell.name for cell in cells[:-1]), cells[-1].name] if len(cells) > 1 else [cell.name for cell in cells])


def _most(of: SweepResult, able: list[SettingResult]) -> Choice:
    gain = percent(of.settings.gain)
    policy, rule = "most goodput", f"the smallest of the settings that may give the highest ok per s, or within {gain} of it"
    if not able:
        return Choice(policy, rule, None, _nothing(of))
    found = alike(able, of.settings.gain)
    cell, others = found.smallest, found.cells[1:]
    untried = _untried(of, found.best, "may give more")
    if not others:
        return Choice(policy, rule, cell, f"{number(_per_s(cell))} ok per s", "is best by most goodput", (), untried)
    why = f"{number(_per_s(cell))} ok per s; the highest is {found.best.name} with {number(_per_s(found.best))}"
    picked, change = _of_set(found, "throughput", gain), _both(_more_repeats(found), untried)
    return Choice(policy, rule, cell, why, picked, others, change, _which(found), found.equal, repeats=found.repeats)


def _of_set(found: Alike, what: str, gain: str) -> str:
    if found.equal:
        return f"is the smallest of {setting_names(found.cells)}, whose {what} is equal within {gain}"
    return f"is the smallest of {setting_names(found.cells)}, which cannot be told apart by {what}"


def _which(found: Alike) -> str:
    """Which of the settings that cannot be told apart to take for what."""
    if found.equal:
        return ""
    less = f" (it may give up to {percent(found.most_less)} less)" if found.most_less < MOST_LESS else ""
    return f"take {found.smallest.name} where cost or response time counts{less}, {found.largest.name} where throughput does"


def _more_repeats(found: Alike) -> str:
    more = math.expm1(math.log(_per_s(found.best)) - math.log(_per_s(found.smallest)))
    if found.equal:
        return "" if found.best is found.smallest else f"{found.best.name} gives {percent(more)} more, if that is worth a larger setting"
    if found.repeats is None:
        return f"more than {MOST_REPEATS} repeats would be needed to tell {found.smallest.name} from {found.best.name}"
    return f"--repeats {found.repeats} would probably tell {found.smallest.name} from {found.best.name}"


def _untried(of: SweepResult, cell: SettingResult, may: str) -> str:
    return f"{cell.name} is the largest setting measured; a larger one {may}" if cell is of.deciding[-1] and len(of.deciding) > 1 else ""


def _both(*said: str) -> str:
    return "; ".join(part for part in said if part)


def _worth(of: SweepResult, able: list[SettingResult]) -> Choice:
    sign = "n" if of.settings.by_workers else "c"
    policy, rule = f"the {of.settings.worth:g} rule", f"the largest setting with a multiplier of at least {of.settings.worth:g} × {sign}"
    judged = [(cell, of.relative[cell.name]) for cell in able if cell.name in of.relative]
    good = [(cell, to) for cell, to in judged if to.worth and to.share]
    if not good:
        otherwise = "no setting meets the rule" if judged else "the baseline was not measured" if able else _nothing(of)
        refusal = next((to.refusal for _, to in judged if to.worth is None and to.refusal), otherwise)
        return Choice(policy, rule, None, refusal)
    if (base := of.baseline) is not None and _nothing_against(of, base):
        if said := _nothing_gained(of):
            return Choice(policy, rule, None, said)
        return Choice(policy, rule, None, f"no setting could be compared with the baseline {base.name}, which meets the rule by definition")
    if base is not None and base.name in of.failing:
        return Choice(policy, rule, None, f"the baseline failed too often to compare with: {of.failing[base.name].removesuffix('.')}")
    cell, to = max(good, key=lambda pair: pair[1].share or 0.0)
    larger = [(other, its) for other, its in judged if its.worth is False and (its.share or 0.0) > (to.share or 0.0)]
    change = _untried(of, cell, "may meet the rule too")
    if larger:
        other, its = max(larger, key=lambda pair: (pair[1].multiplier.value or 0.0) / (pair[1].share or 1.0))
        ratio = (its.multiplier.value or 0.0) / (its.share or 1.0)
        failed = f"multiplier {number(its.multiplier.value)} of {its.share:g}"
        change = f"{other.name} misses {policy} ({failed}); a rule of {math.floor(ratio * 100) / 100:.2f} would accept it"
        change += f"; uncertain: {_unsure(its, of.settings.worth)}" if _unsure(its, of.settings.worth) else ""
    why, picked = f"multiplier {number(to.multiplier.value)} of {to.share:g}", f"is the largest setting that meets {policy}"
    picked += f", though uncertain ({_unsure(to, of.settings.worth)})" if _unsure(to, of.settings.worth) else ""
    unsure = [(other, its) for other, its in judged if other not in (cell, of.baseline) and its.share and _unsure(its, of.settings.worth)]
    doubted = [its for _, its in [(cell, to), *unsure] if _unsure(its, of.settings.worth)]
    needed = [_repeats_to_tell(of, its) for its in doubted]
    repeats = None if None in needed else max((one for one in needed if one), default=None)
    return Choice(policy, rule, cell, why, picked, tuple(other for other, _ in unsure), change, unsure=to in doubted, repeats=repeats)


def _repeats_to_tell(of: SweepResult, to: RelativeResult) -> int | None:
    """Repeats that would probably tell on which side of the rule a setting is; None if too many."""
    times, need = to.multiplier, of.settings.worth * (to.share or 0.0)
    if times.lower is None or times.upper is None or times.value is None:
        return max(len(cell.each) for cell in of.deciding) + 2
    return repeats_to_tell(of.deciding, (times.upper - times.lower) / 2, abs(times.value - need))


def _nothing_gained(of: SweepResult) -> str:
    """Workers that nobody saw and that gave no throughput are probably not there."""
    idle = [f"{name} {number(to.multiplier.value)} ×" for name, to in of.relative.items() if to.nothing_gained]
    if not idle or of.baseline is None:
        return ""
    said = f"adding workers changed nothing ({', '.join(idle)} {of.baseline.name}): are they there?"
    return f"{said} Neither answers nor /health name workers"


def _nothing_against(of: SweepResult, base: SettingResult) -> bool:
    others = [cell for cell in of.deciding if cell is not base]
    return bool(others) and all(of.relative[cell.name].worth is None and cell.name not in of.unfit for cell in others)


def _unsure(to: RelativeResult, worth: float) -> str:
    need, times = worth * (to.share or 0.0), to.multiplier
    if times.lower is None or times.upper is None:
        return "the multiplier has no interval"
    if not times.lower < need <= times.upper:
        return ""
    return f"multiplier {number(times.lower)} to {number(times.upper)}, {number(need)} needed"


def _cheapest(of: SweepResult, able: list[SettingResult]) -> Choice:
    limits = of.settings.objectives
    policy = "cheapest within the objective" if limits else "cheapest (no objective given)"
    rule = f"the smallest of the settings that may cost the fewest worker-seconds per answer, or within {percent(of.settings.gain)} of them"
    rule += f", among those with {_texts(limits)}" if limits else ""
    within = [cell for cell in able if not cell.misses(limits)]
    if not able:
        return Choice(policy, rule, None, _nothing(of))
    if not within:
        return Choice(policy, rule, None, _nearest(able, limits))
    found = alike(within, of.settings.gain, [float(one.workers or 1) for one in within])
    cell, least, why = found.smallest, found.best, _cost(found.smallest)
    what = "the cheapest" + (f" with {_texts(limits)}" if limits else "")
    picked = f"is {what}"
    if len(found.cells) > 1:
        picked = _of_set(found, "cost", percent(of.settings.gain)) + (f" (all with {_texts(limits)})" if limits else "")
        why += f"; the least is {least.name} with {_cost(least)}" if least is not cell else ""
    change = _both(
        _looser(cell, able, limits),
        _more_repeats(found) if len(found.cells) > 1 and not found.equal else "",
        _untried(of, least, "may be cheaper"),
    )
    which = _which(found) if len(found.cells) > 1 else ""
    unsure = any(_doubts(cell, limits))
    return Choice(policy, rule, cell, why, picked, found.cells[1:], change, which, found.equal, unsure, found.repeats)


def _texts(limits: Sequence[SweepObjective]) -> str:
    return " and ".join(limit.text for limit in limits)


def _cost(cell: SettingResult) -> str:
    each = f"{number((cell.effort or 0.0) * 1000)} worker-seconds per 1,000"
    return each if cell.usd_per_1000 is None else f"{usd_text(cell.usd_per_1000)} per 1,000 ({each})"


def usd_text(value: float | None) -> str:
    """USD to the cent, or with three digits below a dollar."""
    if value is None:
        return number(None)
    return f"${value:,.2f}" if abs(value) >= 1 else f"${number(value)}"


def limit_text(limit: SweepObjective, cell: SettingResult) -> str:
    """A setting's value for an objective: ``P95 532 ms``."""
    value = cell.metric(limit.metric)
    return f"{_label(limit)} {'not measured' if value is None else _shown(limit, value)}"


def _label(limit: SweepObjective) -> str:
    return limit.metric.upper() if limit.metric[0] in "pw" else limit.metric


def _shown(limit: SweepObjective, value: float | None) -> str:
    return percent(value) if limit.metric in ("success", "wer") else seconds(value)


def _doubts(cell: SettingResult, limits: Sequence[SweepObjective]) -> Iterator[str]:
    unsure: dict[str, list[str]] = {}
    for limit in limits:
        of = cell.interval(limit.metric)
        if limit.metric == "max" or (of.lower is not None and limit.met(of.lower) and limit.met(of.upper)):
            continue
        ends = of.basis if of.lower is None else f"{_label(limit)} {_shown(limit, of.lower)} to {_shown(limit, of.upper)}"
        unsure.setdefault(ends, []).append(limit.text)
    for why, texts in unsure.items():
        yield f"may miss {' and '.join(texts)} ({why})"


def _nearest(able: Sequence[SettingResult], limits: Sequence[SweepObjective]) -> str:
    nearest = min(able, key=lambda cell: max(limit.miss(cell.metric(limit.metric)) for limit in limits))
    missed = ", ".join(limit_text(limit, nearest) for limit in nearest.misses(limits))
    return f"no setting meets {_texts(limits)}; {nearest.name} comes closest with {missed}"


def _looser(cell: SettingResult, able: Sequence[SettingResult], limits: Sequence[SweepObjective]) -> str:
    cheaper = [other for other in able if other.misses(limits) and (other.effort or 0.0) < (cell.effort or 0.0)]
    if not cheaper:
        return ""
    other = min(cheaper, key=lambda one: max(limit.miss(one.metric(limit.metric)) for limit in limits))
    missed = other.misses(limits)
    gain = (cell.effort or 0.0) / (other.effort or 1.0) - 1
    have = " and ".join(limit_text(limit, other) for limit in missed)
    return f"{other.name} gives {percent(gain)} more for the same money but misses {_texts(missed)} with {have}"


def _sentence(of: SweepResult, main: Choice, able: Sequence[SettingResult], doubt: str) -> str:
    cell = main.cell
    if cell is None:
        said = _refusals(of, main)
        return f"{UNDECIDED}: {main.why}{'' if main.why in said else said}."
    sure = cell.throughput
    if len(of.deciding) < 2:
        return f"{UNDECIDED}: only {cell.name} was measured completely, {number(sure.value)} ok per s{_refusals(of, main)}."
    ends = f"95 % {number(sure.lower)} to {number(sure.upper)}, {sure.basis}" if sure.lower is not None else sure.basis
    said = f"{cell.name} {main.picked}: {number(sure.value)} ok per s ({ends})"
    said += f", {usd_text(cell.usd_per_1000)} per 1,000" if cell.usd_per_1000 is not None else ""
    lost = 1 - (cell.success or 0.0)
    failed = [f"{percent(lost)} of its requests failed"] if lost > 0 else []
    parts = [said, main.which, *failed, *_doubts(cell, of.settings.objectives), *_against(of, cell), *_apart(of, cell, main, able)]
    parts = [part for part in [*parts, doubt] if part]
    return f"{'; '.join(parts)}{_refusals(of, main)}."


def _against(of: SweepResult, cell: SettingResult) -> list[str]:
    to = of.relative.get(cell.name)
    if to is None or of.baseline is None or cell is of.baseline:
        return []
    times = f"{number(to.multiplier.value, '×')} {of.baseline.name}"
    if to.multiplier.lower is not None:
        times += f" ({number(to.multiplier.lower)} to {number(to.multiplier.upper)})"
    if to.efficiency.value is None:
        return [times]
    lower, upper = to.efficiency.lower, to.efficiency.upper
    place, sure = "above" if to.efficiency.value > ratios.TARGET else "not above", ""
    if lower is None or upper is None or lower <= ratios.TARGET < upper:
        sure = ", though uncertain"
    claim = f"; {to.claim}" if to.claim else ""
    return [f"{times}, scaling efficiency {percent(to.efficiency.value)} ({place} the target of {percent(ratios.TARGET)}{sure}{claim})"]


def _apart(of: SweepResult, cell: SettingResult, main: Choice, able: Sequence[SettingResult]) -> list[str]:
    if main.rivals:
        more = (
            f"--repeats {main.repeats} would probably tell" if main.repeats else f"more than {MOST_REPEATS} repeats would be needed to tell"
        )
        unsure = f"{setting_names(main.rivals)} may meet {main.policy} too, or miss it: {more}"
        return [unsure] if main.policy.endswith("rule") else []
    others = [other for other in able if other is not cell and _per_s(other) < _per_s(cell)]
    nearest = max(others, key=_per_s, default=None)
    return [] if nearest is None or nearest is of.baseline else [f"{percent(_per_s(cell) / _per_s(nearest) - 1)} above {nearest.name}"]


def _surely_answering(of: SweepResult, cell: SettingResult | None, able: Sequence[SettingResult]) -> SettingResult | None:
    """If ``cell`` may exceed the failure limit: the setting with the highest throughput that does not, or None."""
    if cell is None or not of.may_fail(cell):
        return None
    return max((one for one in able if not of.may_fail(one)), key=_per_s, default=None)


def _failing_doubts(of: SweepResult, cell: SettingResult, sure: SettingResult | None) -> str:
    """Failure rates whose interval includes the limit: of the pick, and of settings that were left out for it."""
    most = percent(of.settings.failures)
    said = [f"{cell.name} may fail more than {most} ({failures_text(cell)})"] if of.may_fail(cell) else []
    said += [f"{sure.name} surely does not, with {number(_per_s(sure))} ok per s"] if sure else []
    said += [f"{name} may fail less than {most} ({why})" for name, why in of.perhaps_failing.items()]
    return "; ".join([*said, "more requests would tell"] if said else [])


def _refusals(of: SweepResult, main: Choice) -> str:
    if not of.settings.by_workers:
        return ""
    whys = {cell.name: of.relative[cell.name].refusal for cell in of.deciding if cell.name in of.relative}
    found = [f"{name}: no efficiency, {why}" for name, why in whys.items() if why]
    return f" ({'; '.join(found)})" if found and not (main.cell is None and _nothing_gained(of)) else ""


def _spoilt(of: SweepResult, main: Choice) -> str:
    pick = (_most, _worth, _cheapest)[_decides(of)](of, list(of.deciding)).cell if of.unfit else None
    return "" if pick is None or pick is main.cell else of.unfit.get(pick.name, "").removesuffix(".")
