"""Main effects of a factorial sweep: the effect of one setting, averaged over the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from jepa_lab.report.comparison.arms import Arm, arms, telling_keys
from jepa_lab.report.comparison.differences import natural, setting_text
from jepa_lab.report.comparison.paired_text import number_text
from jepa_lab.report.comparison.statistics import PairedDifference, holm, paired_difference
from jepa_lab.report.comparison.table import Comparison


@dataclass(frozen=True)
class Effect:
    """The effect of one factor: the metric at `level` minus the metric at `base`, paired by seed.

    `difference` compares means over the `cells` combinations of the other factors. `p_holm` is
    adjusted over the effects of this metric."""

    factor: str
    level: str
    base: str
    metric: str
    cells: int
    difference: PairedDifference
    p_holm: float


def main_effects(
    comparison: Comparison, metrics: Sequence[str], base: Mapping[str, Any] | None = None
) -> list[Effect]:
    """Returns the effects of every level of every factor.

    Returns [] unless the arms are all combinations of at least two factors. Only seeds that have
    the metric in every arm count. `base` maps factors to base levels (default: the lowest level).
    """
    found, factors = arms(comparison.rows), telling_keys(comparison.rows)
    levels = {f: sorted({natural(arm.settings[f]) for arm in found}) for f in factors}
    cells = {tuple(natural(arm.settings[f]) for f in factors): arm for arm in found}
    if len(factors) < 2 or len(cells) != len(found) or set(cells) != set(product(*levels.values())):
        return []
    effects = []
    for metric in metrics:
        rows = _of_metric(
            cells, factors, levels, metric, {k: natural(v) for k, v in (base or {}).items()}
        )
        adjusted = holm({str(i): d.p for i, (*_, d) in enumerate(rows)})
        effects += [
            Effect(
                f,
                _text(found, f, level),
                _text(found, f, first),
                metric,
                len(cells) // len(levels[f]),
                d,
                adjusted[str(i)],
            )
            for i, (f, level, first, d) in enumerate(rows)
        ]
    return effects


def effects_text(effects: Sequence[Effect]) -> str:
    """Returns a block of lines for each metric, "" without effects."""
    if not effects:
        return ""
    lines = [
        "main effects: a level minus the base level, mean over all combinations of the other"
        " settings, paired by seed,\n  with the 95 % t interval, p of the two-sided sign-flip test,"
        " and p adjusted by Holm"
    ]
    for metric in dict.fromkeys(e.metric for e in effects):
        lines += ["", metric]
        own = [e for e in effects if e.metric == metric]
        names = [f"{e.factor}={e.level} minus {e.base}" for e in own]
        for name, e in zip(names, own, strict=True):
            d = e.difference
            low, high, mean = (number_text(x, metric) for x in (d.low, d.high, d.mean))
            lines.append(
                f"  {name.ljust(max(map(len, names)))}  {mean} [{low}, {high}]  p {d.p:.3f}  Holm"
                f" {e.p_holm:.3f}  {d.n} seeds, {e.cells} combinations"
            )
    return "\n".join(lines)


def _of_metric(
    cells: Mapping[tuple[Any, ...], Arm],
    factors: Sequence[str],
    levels: Mapping[str, list[Any]],
    metric: str,
    base: Mapping[str, Any],
) -> list[tuple[str, Any, Any, PairedDifference]]:
    values = {cell: arm.values(metric) for cell, arm in cells.items()}
    seeds = set.intersection(*(set(v) for v in values.values()))
    rows = []
    for at, factor in enumerate(factors):
        means = {}
        for level in levels[factor]:
            inside = [v for cell, v in values.items() if cell[at] == level]
            means[level] = {seed: sum(v[seed] for v in inside) / len(inside) for seed in seeds}
        first = base[factor] if base.get(factor) in levels[factor] else levels[factor][0]
        for level in levels[factor]:
            difference = None if level == first else paired_difference(means[level], means[first])
            if difference is not None:
                rows.append((factor, level, first, difference))
    return rows


def _text(found: Sequence[Arm], factor: str, level: Any) -> str:
    return next(
        setting_text(arm.settings[factor])
        for arm in found
        if natural(arm.settings[factor]) == level
    )
