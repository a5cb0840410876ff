"""Runs every rule on the metrics of a run. The worst status that holds becomes the verdict, the
others stay available as further failures and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jepa_lab.config.statuses import LOST, SEVERITY
from jepa_lab.diagnosis.codebook import codebook_finding
from jepa_lab.diagnosis.finding import Finding, History, last_third
from jepa_lab.diagnosis.prediction import prediction_findings
from jepa_lab.diagnosis.progress import Progress, prediction_progress
from jepa_lab.diagnosis.regularisers import regulariser_findings
from jepa_lab.diagnosis.remedies import Remedies, in_words
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.stability import diverged, exploding, unstable
from jepa_lab.diagnosis.taps import JUDGED, findings_of_tap, last_of, unused
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.errors import UserError

NAMES = (
    "effective_rank",
    "rankme",
    "feature_std_l2",
    "mean_pairwise_cosine",
    "spectral_cliff_r",
    "eigenvalue_ratio",
)
RUN_KEYS = (
    "val/skill",
    "val/action_gain",
    "val/demo_gain",
    "val/copy_gain",
    "val/loss/prediction",
    "val/action_use",
    "val/prediction_gap",
    "val/readout/action_gain",
    "reference/n_classes",
)


@dataclass(frozen=True)
class Examination:
    """A verdict and everything that it was chosen from. `failures` holds the worst first. `missing`
    lists the measurements that a more definite verdict would need."""

    verdict: Verdict
    failures: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()


def judge(
    history: History,
    thresholds: Thresholds | None = None,
    config: Mapping[str, Any] | None = None,
    taps: Sequence[str] = JUDGED,
    remedies: Remedies | None = None,
    own_rules: Mapping[str, Any] | None = None,
) -> Verdict:
    """Returns the verdict on a run from its metrics.

    The metrics are `val/<tap>/<metric>`, `reference/...`, `train/loss/...`, `val/skill` and
    `train/skipped_steps`.

    `config` is the run's config.yaml. With it, the properties that a reference run has by design
    are not failures. `taps` are the representations to judge. `remedies` holds the study's
    knowledge of its settings. `own_rules` maps names to user-defined rules, each with a method
    `find(history, thresholds)`.
    """
    return examine(history, thresholds, config, taps, remedies, own_rules).verdict


def examine(
    history: History,
    thresholds: Thresholds | None = None,
    config: Mapping[str, Any] | None = None,
    judged: Sequence[str] = JUDGED,
    remedies: Remedies | None = None,
    own_rules: Mapping[str, Any] | None = None,
) -> Examination:
    """Returns the verdict with all failures, notes and missing measurements. `judged` is `taps` of
    `judge`."""
    t, settings = thresholds or Thresholds(), Settings.of(config, remedies)
    taps = [tap for tap in judged if history.get(f"val/{tap}/effective_rank")]
    findings, per_tap = _of_taps(history, taps, t)
    run_wide = [
        diverged(history, t),
        unstable(history, t),
        codebook_finding(history, t),
        *exploding(history, t),
    ]
    findings += [f for f in run_wide if f is not None]
    findings += prediction_findings(history, t, settings)
    findings += regulariser_findings(history, t, settings)
    findings += _own_findings(own_rules or {}, history, t)
    notes = tuple(f for f in findings if f.status == "note")
    failures = _ranked([f for f in findings if f.status not in ("note", "healthy")])
    missing = _missing(history, taps, t)
    progress = prediction_progress(history, t, settings)
    verdict = _verdict(history, taps, failures, findings, per_tap, missing, settings, progress)
    remarks = () if verdict.status in LOST else tuple(f.reason for f in notes)
    reasons = (*verdict.reasons, *remarks, *_skipped(history))
    verdict = replace(verdict, reasons=reasons, prediction=progress.line() if progress else "")
    return Examination(verdict, tuple(failures), notes, missing)


def _of_taps(
    history: History, taps: Sequence[str], t: Thresholds
) -> tuple[list[Finding], dict[str, str]]:
    """Returns the last finding of every tap, with notes, and {tap: status}. A finding is dated by
    the start of its unbroken stretch at the end."""
    found = []
    for tap in taps:
        findings = findings_of_tap(history, tap, t)
        last = findings[-1]
        since = None
        for finding in reversed(findings):
            if finding.status != last.status:
                break
            since = finding.since
        dead = unused(last_of(history, f"val/{tap}/"), t) if tap != "z_target" else ""
        if dead:
            found.append(Finding("note", f"{tap}: {dead}", 0.5, quantity="dead_share"))
        first = next(f.since for f in findings if f.status == last.status)
        found.append(replace(last, since=since, first=first))
    return found, {f.tap: f.status for f in found if f.tap is not None}


def _own_findings(rules: Mapping[str, Any], history: History, t: Thresholds) -> list[Finding]:
    """Returns the findings of user-defined rules. Raises UserError for a status that no verdict
    has."""
    found = []
    for name, rule in rules.items():
        finding = rule.find(history, t)
        if finding is None:
            continue
        if finding.status not in (*SEVERITY, "note"):
            raise UserError(
                f"diagnosis.rules.{name}: status {finding.status!r} is none of"
                f" {', '.join(SEVERITY)}"
            )
        found.append(finding)
    return found


def _ranked(failures: list[Finding]) -> list[Finding]:
    """Sorts the failures, the worst first. A codebook that collapsed before the rank fell comes
    first, since the loss of rank followed from it."""
    ranked = sorted(
        failures,
        key=lambda f: (SEVERITY.index(f.status), JUDGED.index(f.tap) if f.tap in JUDGED else 9),
    )
    codebook = next((f for f in ranked if f.status == "codebook_collapse"), None)
    followers = ("complete_collapse", "dimensional_collapse", "uniform_output")
    if codebook is not None and ranked[0].status in followers and _before(codebook, ranked[0]):
        ranked.remove(codebook)
        ranked.insert(0, codebook)
    return ranked


def _before(one: Finding, other: Finding) -> bool:
    return one.began is not None and other.began is not None and one.began < other.began


def _verdict(
    history: History,
    taps: Sequence[str],
    failures: Sequence[Finding],
    findings: Sequence[Finding],
    per_tap: dict[str, str],
    missing: Sequence[str],
    settings: Settings,
    progress: Progress | None,
) -> Verdict:
    evidence = _evidence(history, taps)
    worst = failures[0] if failures else None
    thin = bool(missing) and (worst is None or worst.status == "low_rank" or worst.tap in taps)
    if thin and not (worst is not None and worst.status == "diverged"):
        return Verdict("inconclusive", reasons=tuple(missing), evidence=evidence, per_tap=per_tap)
    if worst is not None:
        return Verdict(
            worst.status,
            worst.tap,
            worst.since,
            worst.confidence,
            (worst.reason,),
            evidence,
            in_words(worst, settings.config, settings.remedies),
            per_tap,
        )
    reasons = tuple(_healthy_reason(evidence, tap) for tap in taps if tap != "z_target") or (
        "nothing is wrong",
    )
    if progress is not None and not progress.something_learned:
        status = "too_short" if progress.rising else "inconclusive"
        return Verdict(
            status,
            confidence=0.5 * progress.rising,
            reasons=(progress.missing(), *reasons),
            evidence=evidence,
            next=in_words(progress.finding(status), settings.config, settings.remedies),
            per_tap=per_tap,
        )
    strength = min((f.confidence for f in findings if f.tap in taps), default=0.5)
    return Verdict(
        "healthy", confidence=strength, reasons=reasons, evidence=evidence, per_tap=per_tap
    )


def _missing(history: History, taps: Sequence[str], t: Thresholds) -> tuple[str, ...]:
    """Returns the measurements that are missing to judge the representations."""
    if not taps:
        return (
            ()
            if history.get("val/codebook/usage")
            else ("no validation of the representations was logged",)
        )
    n = min(
        history[f"val/{tap}/n"][-1][1] if history.get(f"val/{tap}/n") else math.inf for tap in taps
    )
    return (f"{n:.0f} validation samples; {t.samples:.0f} are needed",) if n < t.samples else ()


def _skipped(history: History) -> tuple[str, ...]:
    skipped = history.get("train/skipped_steps")
    if not skipped:
        return ()
    steps = max(
        step
        for key, points in history.items()
        if key.startswith("train/")
        for step, _ in points[-1:]
    )
    return (
        (
            f"{skipped[-1][1]:.0f} of {steps} optimiser steps were skipped, their loss or gradient"
            " not finite"
        ),
    )


def _evidence(history: History, taps: Sequence[str]) -> dict[str, float]:
    keys = [
        f"{where}/{tap}/{name}" for where in ("val", "reference") for tap in taps for name in NAMES
    ]
    keys += [*RUN_KEYS, *(f"val/codebook/{name}" for name in ("usage", "perplexity"))]
    keys += [key for key in history if key.startswith(("val/probe/", "train/gradient/"))]
    evidence = {key: history[key][-1][1] for key in keys if history.get(key)}
    information = history.get("train/dino/mutual_information")
    if information:
        tail = last_third(information)
        evidence["train/dino/mutual_information"] = sum(v for _, v in tail) / len(tail)
    return evidence


def _healthy_reason(evidence: Mapping[str, float], tap: str) -> str:
    rank, spread = evidence[f"val/{tap}/effective_rank"], evidence[f"val/{tap}/feature_std_l2"]
    start = evidence.get(f"reference/{tap}/effective_rank")
    known = "" if start is None else f" ({start:.1f} at start)"
    return f"{tap} effective rank {rank:.1f}{known}, spread {spread:.2f}"
