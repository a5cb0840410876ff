"""Writes the counts of docs/collapse_bench.md from the table that ships with the package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from documents import write_tables
from jepa_lab.config.statuses import SEVERITY
from jepa_lab.diagnosis import Thresholds, examine
from jepa_lab.diagnosis.odds import QUANTITIES, Odds
from jepa_lab.report.collapse_bench.odds_fit import (
    RULES_ALONE,
    by_rules,
    left_open,
    quantities_by_run,
    verdicts_out_of_group,
)
from jepa_lab.report.collapse_bench.rules import answer_of, taps_of
from jepa_lab.report.collapse_bench.runs import GROUPS, SHIPPED, BenchRun, load_runs
from jepa_lab.report.collapse_bench.score import TOTAL, score
from jepa_lab.report.collapse_bench.scores import count
from jepa_lab.report.collapse_bench.text import share

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "collapse_bench.md"
BY = "data"  # what is left out where a threshold is fitted
LIMITS = ("odds_failed", "odds_agreed", "odds_fine")
TRADES = ((0.5, 0.5, 0.5), (0.7, 0.7, 0.3), (0.95, 0.8, 0.2), (0.95, 0.95, 0.1))


def write() -> str:
    """Replaces the counts in the document, and returns its place."""
    runs = load_runs(SHIPPED)
    write_tables(tables(runs, score(runs)), DOCUMENT)
    return f"written: {DOCUMENT}"


def tables(runs: Sequence[BenchRun], scores: Mapping[str, Any]) -> dict[str, str]:
    """Returns all tables of the document by name."""
    return {
        "counts": counts(scores),
        **{f"by {group}": by_group(scores, group) for group in GROUPS},
        "confidence": confidence(scores["confidence"]["bins"]),
        "onset": onset(scores["onset"]),
        "wrong": wrong(scores["wrong"]["verdict"]),
        "formula": formula(Odds.shipped()),
        "limits": limits(runs),
        "rules": rules(runs),
    }


def counts(scores: Mapping[str, Any]) -> str:
    """Returns the table of all rules, the best sum of both rates first."""
    labels = ", ".join(f"{n} {label}" for label, n in scores["labels"].items())
    rules = {name: by[BY][TOTAL] for name, by in scores["rules"].items()}
    lines = [
        f"{scores['runs']} runs: {labels}.",
        "",
        "| rule | false alarms | misses | sum of both | unsure of good / failed |",
        "|---|---|---|---|---|",
    ]
    for name, c in sorted(rules.items(), key=lambda item: _sum(item[1])):
        cells = [f"`{name}`", *_both(c), f"{100 * _sum(c):.0f} %", _unsure(c)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def by_group(scores: Mapping[str, Any], group: str) -> str:
    """Returns the counts of the verdict and of the best single metric for each value of a group
    that was left out of the fit."""
    lines = [
        f"| {group} left out | false alarms | misses | unsure of good / failed | RankMe: both |",
        "|---|---|---|---|---|",
    ]
    for value, c in scores["rules"]["verdict"][group].items():
        other = scores["rules"]["rankme"][group][value]
        cells = [value, *_both(c), _unsure(c), f"{other['false_alarms']} / {other['misses']}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def confidence(bins: Sequence[Mapping[str, Any]]) -> str:
    """Returns how often a verdict of each confidence was right."""
    lines = ["| confidence | mean | right |", "|---|---|---|"]
    lines += [
        f"| {b['low']:g} to {b['high']:g} | {b['mean']:.2f} | {share(b['right'], b['n'])} |"
        for b in bins
    ]
    return "\n".join(lines)


def onset(found: Mapping[str, Any]) -> str:
    """Returns how far the verdict's step lies from the oracle's."""
    return (
        f"{found['dated']} of {found['lost']} failed runs with a known step were dated. The median"
        f" error is {found['median']:g} steps. Within one validation:"
        f" {share(found['within'], found['lost'])}."
    )


def wrong(found: Sequence[Mapping[str, str]]) -> str:
    """Returns the runs that the verdict gets wrong, with the labels of both parts and its words."""
    lines = ["| run | error | features | prediction | the verdict |", "|---|---|---|---|---|"]
    for run in found:
        words = run["verdict"].partition(" | ")[0].partition("; ")[0]
        cells = [f"`{run['run']}`", run["error"], run["features"], run["prediction"], words]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def rules(runs: Sequence[BenchRun]) -> str:
    """Returns how often each rule fires, by status and quantity, and the labels of those runs."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for run in runs:
        fired = examine(run.history, judged=taps_of(run), odds=RULES_ALONE).failures
        for rule in {(f.status, f.quantity.rsplit("/", 1)[-1]) for f in fired}:
            found.setdefault(rule, Counter())[run.label] += 1
    order = {status: at for at, status in enumerate(SEVERITY)}
    lines = [
        "| status | quantity | fires | run had failed | run was good | undecided |",
        "|---|---|---|---|---|---|",
    ]
    for (status, quantity), labels in sorted(
        found.items(), key=lambda item: (order[item[0][0]], -item[1].total(), item[0])
    ):
        cells = [f"`{status}`", f"`{quantity}`", str(labels.total())]
        cells += [str(labels[label]) for label in ("failed", "good", "undecided")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def formula(odds: Odds) -> str:
    """Returns the probability of a failure with its weights."""
    terms = zip(odds.weights, QUANTITIES, strict=True)
    exponent = " ".join(f"{'-' if w < 0 else '+'} {abs(w):.2f} {name}" for w, name in terms)
    return f"```\nP(failed) = 1 / (1 + exp(-({odds.intercept:.2f} {exponent})))\n```"


def limits(runs: Sequence[BenchRun]) -> str:
    """Returns the errors and the runs without an answer for other limits of the probability."""
    ruled = by_rules(runs)
    quantities = left_open(quantities_by_run(runs), ruled)
    ours = tuple(getattr(Thresholds(), name) for name in LIMITS)
    lines = [
        "| alone | with a rule | fine | false alarms | misses | unsure of good / failed |",
        "|---|---|---|---|---|---|",
    ]
    for values in sorted({*TRADES, ours}):
        t = Thresholds().but(**dict(zip(LIMITS, values, strict=True)))
        judged = verdicts_out_of_group(runs, BY, ruled, quantities, t)
        c: dict[str, Any] = count(
            runs, {n: answer_of(v.status) for n, v in judged.items()}
        ).to_dict()
        mark = " (ours)" if values == ours else ""
        cells = [f"{values[0]:g}{mark}", *(f"{v:g}" for v in values[1:]), *_both(c), _unsure(c)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _both(c: Mapping[str, int]) -> tuple[str, str]:
    return share(c["false_alarms"], c["good"]), share(c["misses"], c["failed"])


def _unsure(c: Mapping[str, int]) -> str:
    return f"{c['unsure_good']} / {c['unsure_failed']}"


def _sum(c: Mapping[str, int]) -> float:
    return c["false_alarms"] / c["good"] + c["misses"] / c["failed"]
