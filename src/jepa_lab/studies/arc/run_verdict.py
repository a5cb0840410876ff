"""The verdict on a run of an investigation: the properties that hold, their first steps and order.

Every failure of `diagnosis.rules.examine` about stability, the embedding or the codebook is also a
failure here. A run that the ordinary verdict calls collapsed, diverged or unstable is therefore
never STABLE. The published plan has further failures:
- one spike of the validation loss;
- an auxiliary term that doubled;
- a context rank below 2 that was low from the start (only a note, low_rank, in the ordinary rules);
- usage under 10 % and falling;
- a slow death whose last usage rose again;
- a loss or rank that ends worse than it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jepa_lab.diagnosis.finding import History
from jepa_lab.diagnosis.rules import Examination, examine
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.studies.arc.detectors import (
    AUX_EXPLOSION,
    CLAMPED,
    CRASH,
    EMB_COLLAPSE,
    INCONCLUSIVE,
    NO_LEARNING,
    SPIKE,
    VQ_COLLAPSE,
    VQ_SLOW_DEATH,
    Fired,
    codebook,
    crash,
    embedding,
    explosions,
    falling_rank,
    incomplete,
    no_learning,
    rising_loss,
    spike,
    spikes_of,
)
from jepa_lab.studies.arc.series import context_tap, last_steps, least, primary, settled, slope

STABLE, VQ_OK, WEAK = "STABLE", "VQ_OK", "WEAK"
DEAD = frozenset({VQ_COLLAPSE, VQ_SLOW_DEATH})
NO_STABILITY = frozenset({NO_LEARNING, CLAMPED, WEAK}) | DEAD  # flags that stable runs may have
OF_STATUS = {
    "diverged": CRASH,
    "complete_collapse": EMB_COLLAPSE,
    "dimensional_collapse": EMB_COLLAPSE,
    "uniform_output": EMB_COLLAPSE,
    "no_learning": NO_LEARNING,
    "regulariser_dominated": AUX_EXPLOSION,
}


@dataclass(frozen=True)
class RunVerdict:
    """The verdict on a run.

    `flags` are the properties that hold. `fired` holds the reason and the first step of each, in
    order of steps. `status` is that of the ordinary verdict. `figures` are last values by name
    (`primary`, `chance`, `rank_context`, `rank_target`, `usage`, ...). For loss and rank they are
    medians of the last three validations. `slopes` are per 1,000 steps over the last half.
    """

    flags: frozenset[str]
    fired: tuple[Fired, ...]
    status: str
    figures: Mapping[str, float] = field(default_factory=dict)
    slopes: Mapping[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether the run is stable, better than chance, and has no dead codebook."""
        return STABLE in self.flags and not self.flags & (DEAD | {NO_LEARNING})

    @property
    def first(self) -> Fired | None:
        """The detector with the earliest violation, None if no detector fired at a known step."""
        dated = [f for f in self.fired if f.step is not None and f.flag not in (CLAMPED, WEAK)]
        return dated[0] if dated else None


def run_verdict(
    history: History,
    state: str,
    thresholds: Thresholds | None = None,
    config: Mapping[str, Any] | None = None,
) -> RunVerdict:
    """Returns the verdict on a run's history. `state` is that of status.json, where `skipped` and
    `resumed` count as completed.

    Missing metrics raise no error. A completed run without a primary validation loss or a rank is
    INCONCLUSIVE.
    """
    t = thresholds or Thresholds()
    examination = examine(history, t, config)
    found = [
        crash(history, state),
        incomplete(history, state),
        spike(history, t),
        embedding(history, t),
        codebook(history, t),
        no_learning(history, t),
        *explosions(history, t),
        rising_loss(history, t),
        falling_rank(history, t),
        *_of_the_verdict(examination),
    ]
    fired = _by_step([f for f in found if f is not None])
    flags = {f.flag for f in fired}
    weak = _weak(history, t)
    if weak is not None and EMB_COLLAPSE not in flags:
        fired = (*fired, weak)
        flags.add(WEAK)
    if not flags - NO_STABILITY:
        flags.add(STABLE)
    if history.get("val/codebook/usage") or history.get("train/codebook/usage"):
        flags |= set() if flags & DEAD else {VQ_OK}
    slopes = {
        "primary": slope(primary(history)),
        "rank_context": slope(history.get(f"val/{context_tap(history)}/effective_rank", ())),
        "rank_target": slope(history.get("val/z_target/effective_rank", ())),
        "usage": slope(history.get("val/codebook/usage", ())),
    }
    known = {k: v for k, v in slopes.items() if math.isfinite(v)}
    return RunVerdict(
        frozenset(flags), fired, examination.verdict.status, _figures(history, t), known
    )


def _of_the_verdict(examination: Examination) -> list[Fired]:
    """Translates findings of the ordinary rules into flags. `codebook` handles those of the
    codebook."""
    found = []
    for finding in examination.failures:
        flag = OF_STATUS.get(finding.status, "")
        if finding.status == "unstable":
            of_prediction = finding.quantity in ("train/loss/prediction", "train/loss/total")
            flag = SPIKE if of_prediction else AUX_EXPLOSION
        if flag:
            found.append(Fired(flag, finding.began, finding.reason, finding.quantity))
    clamp = [f for f in examination.notes if f.quantity == "train/temperature"]
    return found + [Fired(CLAMPED, f.began, f.reason, f.quantity) for f in clamp]


def _by_step(fired: list[Fired]) -> tuple[Fired, ...]:
    """Returns the earliest of each flag and quantity, in order of steps. Unknown steps are last."""
    first: dict[tuple[str, str], Fired] = {}
    for one in sorted(fired, key=lambda f: math.inf if f.step is None else f.step):
        first.setdefault((one.flag, one.quantity), one)
    return tuple(first.values())


def _weak(history: History, t: Thresholds) -> Fired | None:
    rank = settled(history.get(f"val/{context_tap(history)}/effective_rank", ()))
    if not t.step_rank <= rank < t.step_weak:
        return None
    return Fired(
        WEAK, None, f"context effective rank {rank:.1f}, below {t.step_weak:g}", "effective_rank"
    )


def _figures(history: History, t: Thresholds) -> dict[str, float]:
    tap = context_tap(history)
    ranks, targets = (
        history.get(f"val/{tap}/effective_rank", ()),
        history.get("val/z_target/effective_rank", ()),
    )
    usage = history.get("val/codebook/usage") or history.get("train/codebook/usage") or ()
    perplexity = history.get("val/codebook/perplexity") or ()
    norms = [v for _, v in history.get("train/grad_norm", ()) if math.isfinite(v)]
    commitment = [abs(v) for _, v in history.get("train/gradient/commitment", ())]
    figures = {
        "primary": settled(primary(history)),
        "primary_best": least(primary(history)),
        "chance": settled(history.get("val/info_nce/chance", ())),
        "rank_context_start": ranks[0][1] if ranks else math.nan,
        "rank_context": settled(ranks),
        "rank_target": settled(targets),
        "usage_start": usage[0][1] if usage else math.nan,
        "usage": usage[-1][1] if usage else math.nan,
        "perplexity": perplexity[-1][1] if perplexity else math.nan,
        "spikes": float(len(spikes_of(history, t))) if primary(history) else math.nan,
        "grad_norm_max": max(norms, default=math.nan),
        "commitment_gradient": max(commitment, default=math.nan),
        "steps": float(last_steps(history)),
    }
    return {name: value for name, value in figures.items() if math.isfinite(value)}


__all__ = [
    "AUX_EXPLOSION",
    "CLAMPED",
    "CRASH",
    "DEAD",
    "EMB_COLLAPSE",
    "INCONCLUSIVE",
    "NO_LEARNING",
    "SPIKE",
    "STABLE",
    "VQ_COLLAPSE",
    "VQ_OK",
    "VQ_SLOW_DEATH",
    "WEAK",
    "RunVerdict",
    "run_verdict",
]
