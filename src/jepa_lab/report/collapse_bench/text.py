"""The scores of the benchmark as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jepa_lab.report.collapse_bench.runs import LABELS
from jepa_lab.report.collapse_bench.score import KINDS, TOTAL
from jepa_lab.report.intervals import wilson
from jepa_lab.report.text_table import aligned

Scores = Mapping[str, Any]


def report(scores: Scores, wrong_of: str = "") -> str:
    """Returns the scores as text. `wrong_of` names a rule whose wrong runs are listed."""
    parts = [_intro(scores), _totals(scores)]
    groups = list(scores["by"])
    parts += [_left_out(scores, group) for group in groups]
    parts += [_statuses(scores), _kinds(scores), _confidence(scores), _onset(scores["onset"])]
    if wrong_of:
        parts.append(_wrong(scores, wrong_of))
    return "\n\n".join(parts)


def share(hits: int, n: int) -> str:
    """Returns a count with the 95 % interval of its share."""
    if not n:
        return "none to ask"
    low, high = wilson(hits, n)
    return f"{hits} of {n} ({100 * low:.1f} to {100 * high:.1f} %)"


def _intro(scores: Scores) -> str:
    labels = ", ".join(f"{n} {label}" for label, n in scores["labels"].items())
    return (
        f"{scores['runs']} runs: {labels}. Rates are of good and of failed runs, with the 95 %"
        " interval (Wilson). An answer of unsure is neither right nor wrong and shown apart."
    )


def _totals(scores: Scores) -> str:
    group = next(iter(scores["by"]))
    rows = [["rule", "false alarms", "misses", "unsure of good / failed", "undecided, called so"]]
    for name, by in scores["rules"].items():
        c = by[group][TOTAL]
        rows.append(
            [
                name,
                share(c["false_alarms"], c["good"]),
                share(c["misses"], c["failed"]),
                f"{c['unsure_good']} / {c['unsure_failed']}",
                f"{c['alarms_undecided']} of {c['undecided']}",
            ]
        )
    return "\n".join([f"All runs; thresholds fitted without the run's own {group}", *aligned(rows)])


def _left_out(scores: Scores, group: str) -> str:
    values = list(scores["by"][group])
    rows = [[f"left out: {group}", TOTAL, *values]]
    rows.append(["good / failed", *[_sizes(scores["by"][group], v) for v in [None, *values]]])
    for name, by in scores["rules"].items():
        rows.append([name, *(_errors(by[group][v]) for v in (TOTAL, *values))])
    title = f"Leave one {group} out: false alarms / misses"
    return "\n".join([title, *aligned(rows, right=range(1, len(rows[0])))])


def _sizes(labels: Mapping[str, Mapping[str, int]], value: str | None) -> str:
    chosen = labels.values() if value is None else [labels[value]]
    return " / ".join(str(sum(c[label] for c in chosen)) for label in ("good", "failed"))


def _errors(c: Mapping[str, int]) -> str:
    return f"{c['false_alarms']} / {c['misses']}"


def _statuses(scores: Scores) -> str:
    rows = [["verdict", *LABELS]]
    for status, n in scores["statuses"].items():
        rows.append([status, *(str(n[label]) for label in LABELS)])
    return "\n".join(["The verdict's status by label", *aligned(rows, right=(1, 2, 3))])


def _kinds(scores: Scores) -> str:
    parts = []
    for kind in KINDS:
        rows = [[kind, "false alarms", "misses", "unsure of good / failed", "undecided"]]
        for value, c in scores[f"by_{kind}"].items():
            if value != TOTAL:
                rows.append(
                    [
                        value,
                        f"{c['false_alarms']} of {c['good']}",
                        f"{c['misses']} of {c['failed']}",
                        f"{c['unsure_good']} / {c['unsure_failed']}",
                        str(c["undecided"]),
                    ]
                )
        parts.append("\n".join([f"The verdict by {kind}", *aligned(rows)]))
    return "\n\n".join(parts)


def _confidence(scores: Scores) -> str:
    c = scores["confidence"]
    if not c["n"]:
        return "Confidence: no verdict on a labelled run."
    lines = [
        f"Confidence: Brier score {c['brier']:.3f} over {c['n']} verdicts, {c['right']} of them"
        f" right, mean confidence {c['mean']:.2f}"
    ]
    rows = [["confidence", "mean", "right"]]
    for b in c["bins"]:
        rows.append(
            [f"{b['low']:g} to {b['high']:g}", f"{b['mean']:.2f}", share(b["right"], b["n"])]
        )
    lines += aligned(rows)
    rows = [["group", "Brier", "mean", "right"]]
    for by in c["by"].values():
        for value, g in by.items():
            if g["n"]:
                right = share(g["right"], g["n"])
                rows.append([value, f"{g['brier']:.3f}", f"{g['mean']:.2f}", right])
    return "\n".join([*lines, "", *aligned(rows)])


def _onset(found: Mapping[str, Any]) -> str:
    if not found["lost"]:
        return "Onset: no run with a known step."
    text = f"Onset: {found['dated']} of {found['lost']} failed runs with a known step were dated"
    if found["median"] is None:
        return f"{text}."
    return (
        f"{text}; median error {found['median']:g} steps; within one validation:"
        f" {share(found['within'], found['lost'])}"
    )


def _wrong(scores: Scores, rule: str) -> str:
    found: Sequence[Mapping[str, str]] = scores["wrong"][rule]
    rows = [
        f"{w['error']}: {w['run']} (features {w['features']}, prediction {w['prediction']})\n"
        f"    {w['verdict']}"
        for w in found
    ]
    return "\n".join([f"Wrong by {rule}: {len(found)} runs", *rows])
