"""The detectors of an investigation. Each returns a failed property and its first step, or None."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from jepa_lab.diagnosis.codebook import codebook_finding, codebook_series
from jepa_lab.diagnosis.finding import History, Points, finite, last_stretch
from jepa_lab.diagnosis.stability import NO_AUXILIARY
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.studies.arc.series import context_tap, last_steps, least, primary, settled, slope

CRASH, SPIKE, EMB_COLLAPSE, INCONCLUSIVE = "CRASH", "SPIKE", "EMB_COLLAPSE", "INCONCLUSIVE"
VQ_COLLAPSE, VQ_SLOW_DEATH, NO_LEARNING = "VQ_COLLAPSE", "VQ_SLOW_DEATH", "NO_LEARNING"
AUX_EXPLOSION, CLAMPED, LOSS_RISES, RANK_FALLS = (
    "AUX_EXPLOSION",
    "CLAMPED",
    "LOSS_RISES",
    "RANK_FALLS",
)
COMPLETE = ("completed", "skipped", "resumed")
# Terms of the codebook grow with the spread of a healthy encoder. The codebook is judged by usage.
OF_THE_CODEBOOK = ("commitment", "codebook")


@dataclass(frozen=True)
class Fired:
    """A flag with its reason, its metric, and the step of its first violation, None if unknown."""

    flag: str
    step: int | None
    reason: str
    quantity: str


def crash(history: History, state: str) -> Fired | None:
    """Fires if the run did not finish. The ordinary verdict `diverged` covers values that are not
    finite."""
    if state in COMPLETE:
        return None
    step = last_steps(history)
    return Fired(CRASH, step, f"the run ended at step {step}, {state}", "state")


def incomplete(history: History, state: str) -> Fired | None:
    """Fires if a completed run lacks the primary validation loss or the context's rank."""
    missing = [
        name
        for name, points in (
            ("val/loss/prediction", primary(history)),
            (
                f"val/{context_tap(history)}/effective_rank",
                history.get(f"val/{context_tap(history)}/effective_rank"),
            ),
        )
        if not points
    ]
    if not missing or state not in COMPLETE:
        return None
    return Fired(INCONCLUSIVE, None, f"nothing was logged as {' or '.join(missing)}", missing[0])


def spikes_of(history: History, t: Thresholds) -> list[tuple[int, float, float]]:
    """Returns (step, value, best before) for every primary validation loss far above the best so
    far. A loss that stays there is one spike."""
    found, best, inside = [], math.inf, False
    for index, (step, value) in enumerate(finite(primary(history))):
        above = value > t.step_spike * max(best, t.loss_floor) or value > best + t.step_spike_nats
        if above and not inside and index >= t.step_first:
            found.append((step, value, best))
        inside = above
        best = min(best, value)
    return found


def spike(history: History, t: Thresholds) -> Fired | None:
    """Fires if the primary validation loss jumped. The ordinary status `unstable` is based on
    spikes of the training loss instead."""
    found = spikes_of(history, t)
    if not found:
        return None
    step, value, best = found[0]
    more = f", {len(found)} times" if len(found) > 1 else ""
    return Fired(
        SPIKE,
        step,
        f"validation loss {value:.3g} after {best:.3g} at best{more}",
        "val/loss/prediction",
    )


def embedding(history: History, t: Thresholds) -> Fired | None:
    """Fires if the context has one direction left, or no spread, over the whole end of the run."""
    tap = context_tap(history)
    for name, limit in (("effective_rank", t.step_rank), ("feature_std_l2", t.step_spread)):
        points = finite(history.get(f"val/{tap}/{name}", ()))
        tail = points[-max(1, math.ceil(t.step_tail * len(points))) :]
        if tail and all(v < limit for _, v in tail):
            quantity = "effective rank" if name == "effective_rank" else "spread"
            since = last_stretch(points, lambda v, limit=limit: v < limit)  # type: ignore[misc]
            return Fired(
                EMB_COLLAPSE, since, f"{quantity} of {tap} {tail[-1][1]:.2f}", f"val/{tap}/{name}"
            )
    return None


def codebook(history: History, t: Thresholds) -> Fired | None:
    """Fires if the codebook died, at once or slowly. Combines the finding of the ordinary verdict
    with two published signs."""
    usage, key = codebook_series(history, "usage")
    found = codebook_finding(history, t)
    fell = _death(usage, t)
    last, first = (usage[-1][1], usage[0][1]) if usage else (math.nan, math.nan)
    collapsed = found is not None and found.status == "codebook_collapse"
    one_code = found is not None and found.quantity.endswith("perplexity")
    if collapsed and found is not None and (one_code or last < t.of("codebook").usage):
        steps = [step for step in (found.began, fell) if step is not None]
        return Fired(VQ_COLLAPSE, min(steps, default=None), found.reason, found.quantity)
    if last < t.step_usage and slope(usage) < 0:
        text = f"{100 * last:.1f} % of the codes in use, and falling"
        return Fired(VQ_COLLAPSE, last_stretch(usage, lambda v: v < t.step_usage), text, key)
    if fell is not None:
        return Fired(
            VQ_SLOW_DEATH, fell, f"usage fell to {100 * last:.0f} % from {100 * first:.0f} %", key
        )
    return (
        Fired(VQ_SLOW_DEATH, found.began, found.reason, key)
        if collapsed and found is not None
        else None
    )


def _death(usage: Points, t: Thresholds) -> int | None:
    """Returns the step at which usage first fell three times in a row, if it ends below 60 % of its
    first value."""
    if not usage or usage[-1][1] >= t.step_dead * usage[0][1]:
        return None
    falls = 0
    for (_, before), (step, after) in pairwise(usage):
        falls = falls + 1 if after < before else 0
        if falls >= t.step_drops:
            return step
    return None


def no_learning(history: History, t: Thresholds) -> Fired | None:
    """Fires if the primary loss ends at chance: val/skill = 1 - loss / chance is below 2 %."""
    chance, loss = settled(history.get("val/info_nce/chance", ())), primary(history)
    end = settled(loss)
    if not end >= (1 - t.chance) * chance:  # an unknown loss, NaN, does not fire
        return None
    since = last_stretch(finite(loss), lambda v: v >= (1 - t.chance) * chance)
    return Fired(
        NO_LEARNING,
        since,
        f"validation loss {end:.3g}, chance is {chance:.3g}",
        "val/loss/prediction",
    )


def explosions(history: History, t: Thresholds) -> list[Fired]:
    """Fires for auxiliary terms that are above twice their least value and above 5 % of the total
    at all of the last points."""
    found = []
    for key in sorted(history):
        name = key.removeprefix("train/loss/")
        if name == key or name in (*NO_AUXILIARY, *OF_THE_CODEBOOK):
            continue
        points, shares = finite(history[key]), dict(history.get(f"train/share/{name}", ()))
        low, over = math.inf, []
        for step, value in points:
            low = min(low, value)
            over.append(
                (
                    step,
                    float(
                        low > 0
                        and value > t.step_explosion * low
                        and shares.get(step, 0) > t.step_share
                    ),
                )
            )
        if len(over) >= t.loss_points and all(
            is_over for _, is_over in over[-int(t.loss_points) :]
        ):
            share = 100 * shares[points[-1][0]]
            text = (
                f"{name} rose to {points[-1][1]:.3g} from {least(points):.3g}, {share:.0f} % of the"
                " loss"
            )
            found.append(Fired(AUX_EXPLOSION, last_stretch(over, bool), text, key))
    return found


def rising_loss(history: History, t: Thresholds) -> Fired | None:
    """Fires if the primary loss ends well above its best value."""
    end, best = settled(primary(history)), least(primary(history))
    if not end > t.step_rising * max(best, t.loss_floor):
        return None
    since = last_stretch(
        finite(primary(history)), lambda v: v > t.step_rising * max(best, t.loss_floor)
    )
    return Fired(
        LOSS_RISES,
        since,
        f"validation loss ends at {end:.3g}, {best:.3g} at best",
        "val/loss/prediction",
    )


def falling_rank(history: History, t: Thresholds) -> Fired | None:
    """Fires if the context ends with clearly fewer directions than at its first validation."""
    tap = context_tap(history)
    ranks = finite(history.get(f"val/{tap}/effective_rank", ()))
    if not ranks or settled(ranks) >= t.step_rank_kept * ranks[0][1]:
        return None
    since = last_stretch(ranks, lambda v: v < t.step_rank_kept * ranks[0][1])
    text = (
        f"effective rank of {tap} {settled(ranks):.1f}, {ranks[0][1]:.1f} at the first validation"
    )
    return Fired(RANK_FALLS, since, text, f"val/{tap}/effective_rank")
