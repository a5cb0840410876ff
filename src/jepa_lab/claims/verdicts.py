"""Judges claims from the existing runs: values by seed, the rule, and Holm over each family."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jepa_lab.claims.claim import Claim
from jepa_lab.claims.judge import FEWEST, after_holm, judge
from jepa_lab.claims.selection import (
    Chosen,
    check_settings,
    choose,
    differs_in,
    short_place,
    version_of,
)
from jepa_lab.claims.statistics import has_metric, measure, statistics, study_of
from jepa_lab.errors import UserError, nearest
from jepa_lab.ledger.finished_run import Run, diverged
from jepa_lab.report.comparison.statistics import PairedDifference, holm


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim.

    `word` is confirmed, refuted, not shown or not testable, and `alone` is the word before Holm
    over `family` claims. `reason` explains why the claim is not testable. `difference` is arm -
    control, or value - reference. `values` are by side and seed. `missing` lists (side, seed)
    without a usable run. `version` is the version of the results of these runs."""

    claim: Claim
    word: str
    reason: str = ""
    alone: str = ""
    difference: PairedDifference | None = None
    p: float | None = None
    p_holm: float | None = None
    family: int = 0
    values: Mapping[str, Mapping[int, float]] | None = None
    missing: tuple[tuple[str, int], ...] = ()
    collapsed: Mapping[str, int] | None = None
    version: int | None = None
    logarithm: bool = False


@dataclass(frozen=True)
class _Side:
    name: str
    chosen: Chosen
    values: dict[int, float]
    gone: dict[int, str]  # seed: run that diverged, if the claim has no value `worst` for it


def judge_claims(claims: Sequence[Claim], runs: Sequence[Run]) -> list[Judgement]:
    """Returns a judgement for each claim, in their order.

    p is adjusted over the claims of a family; claims with missing runs have p = 1. Raises UserError
    for an unknown setting, and for a metric that none of the matching runs has measured."""
    for claim in claims:
        check_settings(claim, runs)
    verdicts = [_judge(claim, runs) for claim in claims]
    families = [None if claim.not_testable else (claim.file, claim.family) for claim in claims]
    for family in dict.fromkeys(found for found in families if found):
        own = {i: v for i, v in enumerate(verdicts) if families[i] == family}
        for i, adjusted in holm(
            {str(i): 1.0 if v.p is None else v.p for i, v in own.items()}
        ).items():
            verdict = verdicts[int(i)]
            if verdict.p is None:
                continue
            word = after_holm(verdict.word, adjusted)
            verdicts[int(i)] = replace(verdict, word=word, p_holm=adjusted, family=len(own))
    return verdicts


def _judge(claim: Claim, runs: Sequence[Run]) -> Judgement:
    if claim.not_testable is not None:
        return Judgement(claim, "not testable", claim.not_testable)
    by_version: dict[int | None, list[Run]] = {}
    for run in runs:
        by_version.setdefault(version_of(run), []).append(run)
    best: tuple[int, int, list[_Side]] | None = None
    for version in sorted(by_version, key=lambda v: -1 if v is None else v):
        sides = _sides(claim, by_version[version])
        pairs = len(set.intersection(*(set(side.values) | set(side.gone) for side in sides)))
        if best is None or (pairs, version or 0) >= best[:2]:
            best = (pairs, version or 0, sides)
    return (
        _judgement(claim, best[2], best[1] or None)
        if best is not None
        else _judgement(claim, _sides(claim, []), None)
    )


def _sides(claim: Claim, runs: Sequence[Run]) -> list[_Side]:
    axes = statistics()[claim.statistic].axes if claim.statistic else ()
    return [
        _side(name, claim, choose(runs, claim, settings, axes)) for name, settings in claim.sides()
    ]


def _side(name: str, claim: Claim, chosen: Chosen) -> _Side:
    values: dict[int, float] = {}
    gone: dict[int, str] = {}
    cells = max(map(len, chosen.runs.values()), default=0)
    if chosen.clash is not None:
        return _Side(name, chosen, values, gone)
    _require_metric(claim, chosen)
    for seed, own in chosen.runs.items():
        lost = (
            []
            if claim.statistic and statistics()[claim.statistic].axes
            else [r for r in own if _is_lost(r, claim)]
        )
        if claim.over and len(own) < cells:
            continue  # means over different numbers of settings cannot be compared
        if lost and claim.worst is None:
            gone[seed] = short_place(lost[0].path)
            continue
        value = _value(claim, own)
        if value is not None:
            values[seed] = value
    return _Side(name, chosen, values, gone)


def _value(claim: Claim, runs: Sequence[Run]) -> float | None:
    if claim.statistic:
        try:
            value = measure(claim.statistic, runs, claim.parameters)
        except UserError as error:
            raise UserError(f"{claim.place}: statistic: {error}") from None
        if value is None or math.isfinite(value) or claim.worst is None:
            return value
        return math.log10(claim.worst) if statistics()[claim.statistic].logarithm else claim.worst
    assert claim.metric is not None
    found = [claim.worst if _is_lost(run, claim) else run.last().get(claim.metric) for run in runs]
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(found) else None


def _is_lost(run: Run, claim: Claim) -> bool:
    return diverged(run, claim.metric)


def _judgement(claim: Claim, sides: Sequence[_Side], version: int | None) -> Judgement:
    clash = next((side for side in sides if side.chosen.clash), None)
    if clash is not None:
        return Judgement(claim, "not testable", f"{clash.name}: {clash.chosen.clash}")
    logarithm = bool(claim.statistic and statistics()[claim.statistic].logarithm)
    missing = tuple(
        (s.name, seed) for s in sides for seed in claim.seeds if seed not in {*s.values, *s.gone}
    )
    details: dict[str, Any] = {
        "values": {side.name: side.values for side in sides},
        "missing": missing,
        "version": version,
        "collapsed": {side.name: side.chosen.collapsed() for side in sides},
        "logarithm": logarithm,
    }
    why = _why_not(claim, sides, missing)
    if why:
        return Judgement(claim, "not testable", why, **details)
    reference, margin = claim.reference, claim.margin
    if logarithm:
        reference, margin = math.log10(reference), math.log10(margin)
    control = sides[1].values if len(sides) == 2 else dict.fromkeys(claim.seeds, reference)
    found = judge(sides[0].values, control, claim.test, claim.direction, margin)
    if found is None:
        return Judgement(claim, "not testable", _not_finite(sides), **details)
    return Judgement(
        claim, found.word, alone=found.word, difference=found.difference, p=found.p, **details
    )


def _why_not(claim: Claim, sides: Sequence[_Side], missing: Sequence[tuple[str, int]]) -> str:
    n = len(claim.seeds)
    if n < FEWEST:
        return f"{n} seed{'s' * (n > 1)}; {FEWEST} or more are needed"
    if missing:
        absent = len({seed for _, seed in missing})
        what = "pairs" if len(sides) == 2 else "seeds"
        bad = [(seed, state, path) for side in sides for seed, state, path in side.chosen.unusable]
        note = (
            f"; {bad[0][2]} is {bad[0][1]}" + f" (and {len(bad) - 1} more)" * (len(bad) > 1)
            if bad
            else ""
        )
        return f"not yet: {absent} of {n} {what} missing{note}"
    gone = [(side.name, seed, path) for side in sides for seed, path in side.gone.items()]
    if gone:
        pairs = len({seed for _, seed, _ in gone})
        return f"{pairs} of {n} diverged ({gone[0][2]}); the key worst sets the value of such runs"
    if len(sides) == 2:
        assert claim.control is not None
        both = {run.path for run in sides[0].chosen.all()} & {
            run.path for run in sides[1].chosen.all()
        }
        if both:
            return (
                f"{short_place(min(both))} is in arm and control; name the setting that differs in"
                " the contrast"
            )
        odd = differs_in(
            sides[0].chosen, sides[1].chosen, [*claim.arm, *claim.control, *claim.over]
        )
        return "" if odd is None else f"different protocols: {odd}"
    return ""


def _not_finite(sides: Sequence[_Side]) -> str:
    seeds = sorted(
        {seed for side in sides for seed, value in side.values.items() if not math.isfinite(value)}
    )
    return f"no finite value of seed {', '.join(map(str, seeds))}"


def _require_metric(claim: Claim, chosen: Chosen) -> None:
    """Raises UserError if a matching run is of another study than the statistic, or if no matching
    run has measured the metric."""
    runs = chosen.all()
    study = study_of(claim.statistic) if claim.statistic else None
    other = next(
        (run for run in runs if study is not None and run.config.get("study") != study), None
    )
    if other is not None:
        raise UserError(
            f"{claim.place}: statistic: {claim.statistic}: reads runs with study={study}, and "
            f"{short_place(other.path)} is of another study; add a setting to of, or to where"
        )
    wanted = [claim.metric, *(claim.parameters.get(key) for key in ("metric", "less"))]
    wanted += claim.parameters.get("metrics", [])
    known = {key for run in runs for key in run.last()}
    for metric in wanted:
        if (
            runs
            and metric is not None
            and metric not in known
            and not any(has_metric(run, metric) for run in runs)
        ):
            advice = nearest(metric, known, 3)
            raise UserError(
                f"{claim.place}: metric: {metric}: none of the {len(runs)} runs that fit has"
                f" it{advice}"
            )
