"""Verdicts as Markdown tables, as text for a terminal, and as plain data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from jepa_lab.claims.claim import Claim
from jepa_lab.claims.judge import WORDS
from jepa_lab.claims.statistics import statistics
from jepa_lab.claims.verdicts import Judgement
from jepa_lab.report.comparison.ranking_text import metric_name

Number = Callable[[float], str]


def table(verdicts: Sequence[Judgement]) -> str:
    """Returns a Markdown table of claim, source, budget, verdict and evidence, and the counts
    below."""
    lines = ["| claim | of | at | verdict | evidence |", "|---|---|---|---|---|"]
    for v in verdicts:
        claim = v.claim
        cells = map(_cell, (claim.statement, claim.source, claim.budget, v.word, evidence(v)))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", counted(verdicts)])


def pages(verdicts: Sequence[Judgement]) -> str:
    """Returns a Markdown page with a table for each file of claims."""
    files = dict.fromkeys(v.claim.file for v in verdicts)
    blocks = [
        f"## {file}\n\n{table([v for v in verdicts if v.claim.file == file])}" for file in files
    ]
    return "\n\n".join(["# Claims and verdicts", *blocks]) + "\n"


def counted(verdicts: Sequence[Judgement]) -> str:
    """Returns a sentence on how many claims have which verdict."""
    found = Counter(v.word for v in verdicts)
    listed = ", ".join(f"{found[word]} {word}" for word in WORDS if found[word])
    return f"{len(verdicts)} claim{'s' * (len(verdicts) != 1)}: {listed}."


def plain(verdicts: Sequence[Judgement]) -> str:
    """Returns a line for each claim and a line with its evidence, for a terminal."""
    lines = []
    for v in verdicts:
        lines += [
            f"{v.word:<13}{v.claim.file}: {v.claim.id}: {v.claim.statement}{_at(v.claim)}",
            f"{'':13}{evidence(v)}",
        ]
    return "\n".join([*lines, "", counted(verdicts)])


def _at(claim: Claim) -> str:
    return f" (at {claim.budget})" if claim.budget else ""


def evidence(v: Judgement) -> str:
    """Returns effect, interval, number of seeds, the claim as a condition, and p.

    If an effect is not shown, the text includes the effect that could have been detected. Returns
    the reason if the claim is not testable."""
    d = v.difference
    if d is None:
        return v.reason
    number = _number(d.high - d.low, v.logarithm)
    at = 0.0
    if v.claim.control is None:
        at = math.log10(v.claim.reference) if v.logarithm else v.claim.reference
    shown: Number = (
        number if v.claim.control is None else lambda x: f"{'+' if x >= 0 else ''}{number(x)}"
    )
    interval = "" if d.confidence == 0.95 else f" ({100 * d.confidence:.0f} %)"
    count = f"{d.n} {'seeds' if v.claim.control is None else 'pairs'}"
    parts = [
        (
            f"{quantity(v.claim)} {shown(d.mean + at)} [{shown(d.low + at)},"
            f" {shown(d.high + at)}]{interval}, {count}"
        ),
        f"claimed {claimed(v.claim)}",
    ]
    if v.p_holm is not None:
        alone = f"{v.alone} alone, " if v.alone != v.word else ""
        over = f" over {v.family} claims" if v.family > 1 else ""
        parts.append(f"{alone}p by Holm{over} {_p(v.p_holm)}")
    if v.alone == "not shown" and v.claim.test == "difference" and d.detectable > 0:
        found = 10**d.detectable if v.logarithm else d.detectable
        parts.append(
            f"{'a factor of ' * v.logarithm}{_short(found)} would have been found with power .8"
        )
    collapsed = [f"{n} of the {side}'s" for side, n in (v.collapsed or {}).items() if n]
    if collapsed:
        parts.append(f"collapsed: {', '.join(collapsed)} runs")
    return "; ".join(parts)


def quantity(claim: Claim) -> str:
    """Returns the name of the measured quantity."""
    if claim.statistic is None:
        return _name(str(claim.metric))
    names = {
        key: ", ".join(map(_name, value)) if isinstance(value, list) else _name(str(value))
        for key, value in claim.parameters.items()
    }
    return statistics()[claim.statistic].description.format(**names)


def claimed(claim: Claim) -> str:
    """Returns the claim as a condition on the printed number, e.g. "above 0.5"."""
    factor = bool(claim.statistic and statistics()[claim.statistic].logarithm)
    base, margin = claim.reference, claim.margin
    if claim.test == "equivalence":
        return f"within a factor {margin:g} of {base:g}" if factor else f"{base:g} ± {margin:g}"
    away = claim.direction == "above" if claim.test == "difference" else claim.direction == "below"
    bound = base * margin ** (1 if away else -1) if factor else base + (margin if away else -margin)
    return f"{claim.direction} {bound:g}"


def as_data(verdicts: Sequence[Judgement]) -> dict[str, Any]:
    """Returns the verdicts for JSON, as plain numbers, texts and None."""
    return {
        "claims": [_data(v) for v in verdicts],
        "counts": dict(Counter(v.word for v in verdicts)),
    }


def _data(v: Judgement) -> dict[str, Any]:
    claim, d = v.claim, v.difference
    return {
        "file": claim.file,
        "id": claim.id,
        "statement": claim.statement,
        "source": claim.source,
        "budget": claim.budget or None,
        "verdict": v.word,
        "reason": v.reason or None,
        "evidence": evidence(v),
        "verdict_alone": v.alone or None,
        "test": None if claim.not_testable else claim.test,
        "direction": claim.direction,
        "margin": claim.margin,
        "metric": claim.metric,
        "statistic": claim.statistic,
        "reference": claim.reference,
        "unit": "log10" if v.logarithm else None,
        "n": None if d is None else d.n,
        "effect": None if d is None else d.mean,
        "interval": None if d is None else [d.low, d.high],
        "confidence": None if d is None else d.confidence,
        "p": v.p,
        "p_holm": v.p_holm,
        "family": claim.family or None,
        "family_size": v.family or None,
        "p_sign_flip": None if d is None else d.p,
        "detectable": None if d is None else d.detectable,
        "values": {
            side: {str(seed): x for seed, x in own.items()}
            for side, own in (v.values or {}).items()
        },
        "missing": [{"side": side, "seed": seed} for side, seed in v.missing],
        "collapsed": dict(v.collapsed or {}),
        "results_version": v.version,
    }


def _number(width: float, logarithm: bool) -> Number:
    """Returns a function that formats numbers to the second significant digit of an interval's
    width.

    Logarithms are printed as factors."""
    if logarithm:
        return lambda x: _short(10**x)
    decimals = 3 if width <= 0 else min(max(1 - math.floor(math.log10(width)), 0), 4)
    return lambda x: f"{x:.{decimals}f}"


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _short(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


def _name(metric: str) -> str:
    """Returns the name of a metric, or its key if it has no name.

    The keys of the linear BYOL toy have one split only, which is left out."""
    name = metric_name(metric)
    return metric.removeprefix("val/") if name == metric and metric.count("/") == 1 else name


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
