"""Decides between the findings of the rules and the probability that the features have failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jepa_lab.config.statuses import PASSES, failed
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.odds import Weighed
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.diagnosis.verdict import Verdict

# what a finding becomes where its features are those of runs that worked
MILDER = {"dimensional_collapse": "low_rank", "unstable": "note"}
UNSURE = (*PASSES, *MILDER)  # statuses that are not given where the probability decides nothing
# a high temperature or noisy views keep this loss near chance, however good the features are
AT_CHANCE = "train/loss/info_nce"


def weigh(
    of_taps: Sequence[Finding], others: Sequence[Finding], found: Weighed | None, t: Thresholds
) -> tuple[list[Finding], list[Finding]]:
    """Returns the findings on taps and all others with the probability taken into account.

    - Below `t.odds_agreed` an InfoNCE loss at chance becomes a note.
    - Up to `t.odds_fine` a dimensional collapse becomes a low rank, and `unstable` a note.
    - From `t.odds_failed` on, a run without any failure gets one: a dimensional collapse if a rank
      is low, or else no_learning.
    """
    if found is None:
        return list(of_taps), list(others)
    if found.probability < t.odds_agreed:
        others = [replace(f, status="note") if f.quantity == AT_CHANCE else f for f in others]
    if found.probability <= t.odds_fine:
        return [_milder(f, found) for f in of_taps], [_milder(f, found) for f in others]
    both = [*of_taps, *others]
    if found.probability < t.odds_failed or any(_is_failure(f) for f in both):
        return list(of_taps), list(others)
    low = any(f.status == "low_rank" for f in of_taps)
    added = Finding(
        "dimensional_collapse" if low else "no_learning",
        odds_in_words(found),
        found.probability,
        found.tap,
        found.since,
        f"val/{found.tap}/view_correlation",
    )
    return [f for f in of_taps if f.tap != found.tap] + [added], list(others)


def _milder(finding: Finding, found: Weighed) -> Finding:
    if finding.status not in MILDER:
        return finding
    reason = f"{finding.reason} ({odds_in_words(found)})"
    return replace(finding, status=MILDER[finding.status], reason=reason)


def _is_failure(finding: Finding) -> bool:
    return finding.status != "note" and failed(finding.status)


def sure(verdict: Verdict, found: Weighed | None, t: Thresholds) -> Verdict:
    """Returns the verdict with the probability as its confidence, or `inconclusive` if the
    probability lies between both limits. A failure that a rule found needs less of it than one
    that no rule found. Verdicts on facts of other kinds stay as they are."""
    if found is None or verdict.status not in UNSURE:
        return verdict
    p = found.probability
    if t.odds_fine < p < (t.odds_agreed if failed(verdict.status) else t.odds_failed):
        reasons = (f"too close to call: {odds_in_words(found)}", *verdict.reasons)
        return replace(
            verdict,
            status="inconclusive",
            tap=None,
            since_step=None,
            confidence=0.0,
            reasons=reasons,
        )
    return replace(verdict, confidence=p if failed(verdict.status) else 1.0 - p)


def odds_in_words(found: Weighed) -> str:
    """Returns the probability with its evidence."""
    return (
        f"{100 * found.probability:.0f} % of labelled runs with such features of {found.tap} had"
        f" failed: {found.text}"
    )
