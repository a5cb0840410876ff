"""Files of claims for tests: a contrast of two arms, with the changes of a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from comparison_runs import METRIC, make_run
from jepa_lab.claims import Judgement, judge_claims, read_claims
from jepa_lab.ledger.finished_run import Run, read_run

NOISE = (0.000, 0.004, -0.003, 0.002, -0.004, 0.001)
BASIS: dict[str, Any] = {
    "id": "better_helps",
    "statement": "better is better",
    "source": "a test",
    "contrast": {"arm": {"name": "better"}, "control": {"name": "plain"}},
    "metric": METRIC,
    "seeds": "range(0,6)",
    "runs": "-m +experiment=teacherless_b seed=0,1",
}


def claim(**changes: Any) -> dict[str, Any]:
    """Returns a claim with these keys changed. None removes a key."""
    return {key: value for key, value in {**BASIS, **changes}.items() if value is not None}


def write(path: Path, *claims: dict[str, Any], **top: Any) -> Path:
    path.write_text(yaml.safe_dump({**top, "claims": list(claims) or [claim()]}), encoding="utf-8")
    return path


def verdicts(path: Path, runs: list[Run], *claims: dict[str, Any]) -> list[Judgement]:
    return judge_claims(read_claims([write(path / "claims.yaml", *claims)]), runs)


def verdict(path: Path, runs: list[Run], **changes: Any) -> Judgement:
    (found,) = verdicts(path, runs, claim(**changes))
    return found


def against(arm: str) -> dict[str, Any]:
    return {"arm": {"name": arm}, "control": {"name": "plain"}}


def six_seeds(root: Path) -> list[Run]:
    """Makes six seeds each of plain, better (+.1), same (with its own noise) and worse (-.1)."""
    for seed in range(6):
        make_run(root, "plain", seed, 0.80 + 0.01 * seed)
        make_run(root, "better", seed, 0.90 + 0.01 * seed + NOISE[seed])
        make_run(root, "same", seed, 0.80 + 0.01 * seed + NOISE[-seed])
        make_run(root, "worse", seed, 0.70 + 0.01 * seed + NOISE[seed], verdict="complete_collapse")
    return [read_run(path.parent) for path in sorted(root.glob("*/*/config.yaml"))]
