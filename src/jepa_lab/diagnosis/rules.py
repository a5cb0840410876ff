"""Runs every rule on the metrics of a run. The worst status that holds becomes the verdict, the
others stay available as further failures and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jepa_lab.config.statuses import LOST, PASSES, SEVERITY, failed
from jepa_lab.diagnosis.codebook import codebook_finding
from jepa_lab.diagnosis.decision import sure, weigh
from jepa_lab.diagnosis.evidence import (
    evidence_of,
    healthy_reason,
    lacking,
    skipped_steps,
    too_thin,
)
from jepa_lab.diagnosis.falls import fall_findings, fallen_rank, rank_fall
from jepa_lab.diagnosis.finding import Finding, History, fell, last_stretch
from jepa_lab.diagnosis.gaps import without_gaps
from jepa_lab.diagnosis.odds import Odds, weighed
from jepa_lab.diagnosis.order import earlier_in, first_failure, named, ranked
from jepa_lab.diagnosis.prediction import prediction_findings
from jepa_lab.diagnosis.progress import Progress, prediction_progress
from jepa_lab.diagnosis.regularisers import regulariser_findings
from jepa_lab.diagnosis.remedies import Remedies, in_words
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.stability import diverged, exploding, unstable
from jepa_lab.diagnosis.taps import JUDGED, NEEDED, findings_of_tap, last_of, unused
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.diagnosis.views import told_apart, view_findings
from jepa_lab.errors import UserError


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
    odds: Odds | None = None,
) -> Verdict:
    """Returns the verdict on a run from its metrics.

    The metrics are `val/<tap>/<metric>`, `reference/...`, `train/loss/...`, `val/skill` and
    `train/skipped_steps`.

    `config` is the run's config.yaml. With it, the properties that a reference run has by design
    are not failures. `taps` are the representations to judge. `remedies` holds the study's
    knowledge of its settings. `own_rules` maps names to user-defined rules, each with a method
    `find(history, thresholds)`. `odds` are the weights of the probability of a failure, by default
    those that ship with the package.
    """
    return examine(history, thresholds, config, taps, remedies, own_rules, odds).verdict


def examine(
    history: History,
    thresholds: Thresholds | None = None,
    config: Mapping[str, Any] | None = None,
    judged: Sequence[str] = JUDGED,
    remedies: Remedies | None = None,
    own_rules: Mapping[str, Any] | None = None,
    odds: Odds | None = None,
) -> Examination:
    """Returns the verdict with all failures, notes and missing measurements. `judged` is `taps` of
    `judge`."""
    t, settings = thresholds or Thresholds(), Settings.of(config, remedies)
    history, gaps = without_gaps(history, t)
    taps = [tap for tap in judged if all(history.get(f"val/{tap}/{name}") for name in NEEDED)]
    thin = too_thin(history, taps, t)
    taps = [tap for tap in taps if tap not in thin]
    of_taps, past = _of_taps(history, taps, t, settings)
    others = fall_findings(history, taps, t)
    run_wide = [
        diverged(history, t),
        unstable(history, t),
        codebook_finding(history, t),
        *exploding(history, t),
    ]
    others += [f for f in run_wide if f is not None]
    others += prediction_findings(history, t, settings)
    others += regulariser_findings(history, t, settings)
    missing = lacking(history, taps, t)
    # the z of our own studies is meant to vary within an image
    unfit = bool(missing) or settings.known
    found = None if unfit else weighed(history, taps, odds or Odds.shipped(), t)
    of_taps, others = weigh(of_taps, others, found, t)
    few = [Finding("note", text, 0.5, tap) for tap, text in thin.items()]
    findings = [*of_taps, *others, *gaps, *few, *_own_findings(own_rules or {}, history, t)]
    per_tap = {f.tap: f.status for f in of_taps if f.tap is not None}
    notes = tuple(f for f in findings if f.status == "note")
    failures = ranked([f for f in findings if f.status not in ("note", "healthy")])
    progress = prediction_progress(history, t, settings)
    verdict = _verdict(history, taps, failures, findings, per_tap, missing, settings, progress)
    verdict = sure(verdict, found, t)
    remarks = () if verdict.status in LOST else tuple(f.reason for f in notes)
    first = first_failure(failures[0], [*failures[1:], *past]) if failures else None
    before = (named(first),) if first is not None and verdict.status == failures[0].status else ()
    reasons = (*verdict.reasons, *before, *remarks, *skipped_steps(history))
    verdict = replace(verdict, reasons=reasons, prediction=progress.line() if progress else "")
    return Examination(verdict, tuple(failures), notes, missing)


def _of_taps(
    history: History, taps: Sequence[str], t: Thresholds, settings: Settings
) -> tuple[list[Finding], list[Finding]]:
    """Returns the last finding of every tap with notes, and the failures that a tap had before its
    last one. A finding is dated by the start of its unbroken stretch at the end."""
    found, past = [], []
    for tap in taps:
        findings = findings_of_tap(history, tap, t)
        last = findings[-1]
        since = last_stretch([(f.since or 0, f.status == last.status) for f in findings], bool)
        fall = rank_fall(history[f"val/{tap}/effective_rank"], t) if last.fallen else None
        if fall is not None and since is not None:
            since = min(since, fall.step)  # the status waits for a second validation
        first = next(f.since for f in findings if f.status == last.status)
        last = replace(last, since=since, first=min(first or 0, since or 0))
        last = _contradicted(last, history, tap, t)
        earlier = earlier_in(findings)
        past += [earlier] if earlier is not None else []
        notes = _notes_of_tap(history, tap, t, last)
        views = view_findings(history, tap, t, ours=settings.known)
        if views is not None and views.status == "note":
            notes.append(views)
        elif views is not None and not failed(last.status):
            last = views
        found += [*notes, last]
    return found, past


def _contradicted(found: Finding, history: History, tap: str, t: Thresholds) -> Finding:
    """Returns a low rank for a collapse by rank alone, if a probe tells the classes apart as well
    as ever: a task of two classes needs one direction."""
    told, probe = told_apart(history, tap), history.get(f"val/probe/class_from_{tap}", ())
    if found.status != "dimensional_collapse" or told < t.told_apart or fell(probe, t.probe_fall):
        return found
    reason = (
        f"{found.reason}; yet a probe tells the classes apart ({told:.2f} of what chance leaves)"
    )
    return replace(found, status="low_rank", reason=reason)


def _notes_of_tap(history: History, tap: str, t: Thresholds, last: Finding) -> list[Finding]:
    """Returns the notes on unused dimensions, and on a fall of the rank that is no failure."""
    if tap == "z_target":
        return []
    dead = unused(last_of(history, f"val/{tap}/"), t)
    notes = [Finding("note", f"{tap}: {dead}", 0.5, quantity="dead_share")] if dead else []
    fallen = fallen_rank(history, tap, history[f"val/{tap}/effective_rank"], t)
    if fallen is not None and fallen.status == "note" and last.status in PASSES:
        notes.append(fallen)
    return notes


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
    evidence = evidence_of(history, taps)
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
    reasons = tuple(healthy_reason(evidence, tap) for tap in taps if tap != "z_target") or (
        "nothing is wrong",
    )
    strength = min((f.confidence for f in findings if f.tap in taps), default=0.5)
    if progress is not None and not progress.something_learned:
        status = "too_short" if progress.rising else "inconclusive"
        return Verdict(
            status,
            # that the features have not failed, as for healthy
            confidence=strength * progress.rising,
            reasons=(progress.missing(), *reasons),
            evidence=evidence,
            next=in_words(progress.finding(status), settings.config, settings.remedies),
            per_tap=per_tap,
        )
    return Verdict(
        "healthy", confidence=strength, reasons=reasons, evidence=evidence, per_tap=per_tap
    )
