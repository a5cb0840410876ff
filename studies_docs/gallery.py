"""Measures the errors of single metrics on features with known answers.

    python studies_docs/gallery.py [--out docs/diagnosis.md] [--seeds 3]

Every rule decides for each case of the gallery (`gallery_features`) whether it failed. The right
answer is yes for the collapses and no for healthy and low_rank. Features that are not finite or too
few are left out, because no metric is meant for them. Writes the tables between `<!-- gallery -->`
and `<!-- end -->` of the document.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from documents import write_tables
from gallery_features import FEATURES, FeatureCase
from gallery_histories import RUNS
from jepa_lab.config.statuses import NO_FAILURE
from jepa_lab.diagnosis import Verdict, diagnose_features, judge
from jepa_lab.diagnosis.published import published_rules

Rule = Callable[[dict[str, float]], bool]
ASKED = [case for case in FEATURES if case.status not in ("diverged", "inconclusive")]
# common criteria of a collapse, each based on a single metric
RULES: dict[str, tuple[str, Rule]] = {
    "rankme": ("below 5", lambda e: e["rankme"] < 5),
    "effective_rank": ("below 5", lambda e: e["effective_rank"] < 5),
    "effective_rank, strict": ("below 2", lambda e: e["effective_rank"] < 2),
    "participation_ratio": ("below 5", lambda e: e["participation_ratio"] < 5),
    "stable_rank": ("below 2", lambda e: e["stable_rank"] < 2),
    "spectral_cliff": ("at most 5 directions", lambda e: e["spectral_cliff_r"] <= 5),
    "feature_std": ("below 0.1", lambda e: e["feature_std"] < 0.1),
    "feature_std_l2": ("below 0.1", lambda e: e["feature_std_l2"] < 0.1),
    "mean_pairwise_cosine": ("above 0.9", lambda e: e["mean_pairwise_cosine"] > 0.9),
    "eigenvalue_ratio": ("below 1e-4", lambda e: e["eigenvalue_ratio"] < 1e-4),
    "uniformity": ("above -0.5", lambda e: e["uniformity"] > -0.5),
    "codebook usage": ("below 5 %", lambda e: e.get("codebook/usage", 1.0) < 0.05),
    "the published rules": ("any says collapsed", lambda e: _published(e)),
}


def _published(evidence: dict[str, float]) -> bool:
    values = {name.removeprefix("codebook/"): value for name, value in evidence.items()}
    return published_rules(values).status == "collapsed"


def verdict_of(case: FeatureCase, seed: int) -> Verdict:
    made = case.build(seed)
    return diagnose_features(made.z, labels=made.labels, codes=made.codes, reference=made.reference)


def says_failed(seed: int) -> dict[str, list[bool]]:
    """Returns {rule: its answer for every case}, with the verdict of jepa_lab last. A value that is
    not a number counts as no alarm."""
    answers: dict[str, list[bool]] = {name: [] for name in [*RULES, "the verdict"]}
    for case in ASKED:
        verdict = verdict_of(case, seed)
        evidence = {k: v for k, v in verdict.evidence.items() if not math.isnan(v)}
        for name, (_, rule) in RULES.items():
            answers[name].append(rule(evidence))
        answers["the verdict"].append(verdict.status not in NO_FAILURE)
    return answers


def tables(seeds: int) -> str:
    failed = [case.status not in NO_FAILURE for case in ASKED]
    by_seed = [says_failed(seed) for seed in range(seeds)]
    lines = [
        f"{len(ASKED)} cases, {sum(failed)} of them failures; {seeds} seeds, wrong if any seed is.",
        "",
        "| rule | says failed | wrong | false alarms | missed |",
        "|---|---|---|---|---|",
    ]
    wrong: dict[str, list[bool]] = {}
    for name in by_seed[0]:
        wrong[name] = [any(a[name][i] != truth for a in by_seed) for i, truth in enumerate(failed)]
        alarms = sum(w and not truth for w, truth in zip(wrong[name], failed, strict=True))
        limit = RULES[name][0] if name in RULES else "all of it together"
        total = sum(wrong[name])
        lines.append(f"| {name} | {limit} | **{total}** | {alarms} | {total - alarms} |")
    lines += ["", *_matrix(wrong), "", _exact(seeds)]
    return "\n".join(lines)


def _matrix(wrong: dict[str, list[bool]]) -> list[str]:
    """Returns one row for each case, with a cross where the rule is wrong."""
    names = list(wrong)
    lines = [f"| case | right answer | {' | '.join(names)} |", f"|---|---|{'---|' * len(names)}"]
    for i, case in enumerate(ASKED):
        marks = " | ".join("✗" if wrong[name][i] else "" for name in names)
        lines.append(f"| {case.name} | {case.status} | {marks} |")
    return lines


def _exact(seeds: int) -> str:
    """Returns a sentence on how often the verdict has exactly the right status, on features and on
    whole runs."""
    right = sum(all(verdict_of(c, s).status == c.status for s in range(seeds)) for c in FEATURES)
    runs = 0
    for case in RUNS:
        curves, config = case.build()
        runs += judge(curves, config=config).status == case.status
    return (
        f"The verdict names the very status of {right} of {len(FEATURES)} sets of features and of"
        f" {runs} of {len(RUNS)} runs (`gallery_histories`). The rules were written with this"
        " gallery at hand: it shows what they can tell apart, not how often they are right on"
        " runs that nobody has seen."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the document whose tables are replaced; by default the tables are printed",
    )
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    write_tables({"gallery": tables(args.seeds)}, args.out)
    if args.out is not None:
        print(f"written: {args.out}")


if __name__ == "__main__":
    main()
