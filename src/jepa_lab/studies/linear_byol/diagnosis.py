"""The verdict on a run of the toy, computed from the columns of its Parquet file (one row per
logged step)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jepa_lab.diagnosis.finding import last_stretch, last_third
from jepa_lab.diagnosis.thresholds import Thresholds, distance
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.studies.linear_byol.drift import Columns, Found, column, drifted, how_lost, lost
from jepa_lab.studies.linear_byol.quantities import least_rank

# errors that fall as the toy learns; the first with finite values is judged
ERRORS = ("excess_loss", "W_Fro_aligned", "enc_proj_dist", "BA_err_aligned")
SHOWN = (
    "loss",
    "excess_loss",
    "loss_share",
    "erank_encoded",
    "variance",
    "readout_r2",
    "alpha_bound",
    "lr_pred",
)


def judge_toy(columns: Columns, thresholds: Thresholds | None = None) -> Verdict:
    """Returns the verdict on a run. `columns` may lack columns.

    - diverged: the run is flagged as diverged, or a loss is not finite.
    - complete_collapse: the variance of z is gone.
    - dimensional_collapse: the effective rank of z fell to about 1 although z has more dimensions,
      or both the rank and the read-out of the latents fell below their values at the start.
    - low_rank: the effective rank fell to about 1, but the read-out did not suffer.
    - no_learning: no error fell and none was small, the prediction is no better than a constant, or
      the read-out fell while the rank did not.
    - unstable: the encoder began at the optimum, and the predictor drifted further from its own
      than a predictor of zeros stands at the start, without a way back.
    - healthy: none of these.
    - inconclusive: too few rows, or a value that could not be measured.
    """
    t = thresholds or Thresholds()
    columns = {
        name: values.tolist() if hasattr(values, "tolist") else values
        for name, values in columns.items()
    }
    steps = [int(s) for s in columns.get("epoch", ())]
    evidence = {
        name: float(columns[name][-1])
        for name in SHOWN
        if columns.get(name) is not None and len(columns[name])
    }
    evidence = {name: value for name, value in evidence.items() if math.isfinite(value)}
    diverged = _diverged(columns, steps)
    if diverged is not None:
        return Verdict(
            "diverged", None, diverged[0], 1.0, (diverged[1],), evidence, _slower(columns)
        )
    if len(steps) < t.toy_rows:
        return Verdict(
            "inconclusive",
            reasons=(f"{len(steps)} logged steps; {t.toy_rows:.0f} are needed",),
            evidence=evidence,
        )
    last = {
        name: columns[name][-1]
        for name in ("variance", "loss_population")
        if len(columns.get(name, ()))
    }
    unknown = [name for name, value in last.items() if value is None or not math.isfinite(value)]
    if unknown:
        reasons = (f"{' and '.join(unknown)} could not be measured at step {steps[-1]}",)
        return Verdict("inconclusive", reasons=reasons, evidence=evidence)
    failures = _failures(columns, steps, t)
    if not failures:
        return _learning(columns, evidence, t)
    status, (since, reason, far) = failures[0]
    return Verdict(
        status,
        "z",
        since,
        t.confidence(far),
        (reason, *_before(since, failures[1:])),
        evidence,
        _slower(columns),
    )


def _failures(columns: Columns, steps: Sequence[int], t: Thresholds) -> list[tuple[str, Found]]:
    """Returns (status, (first step, reason, distance to the limit)) of every rule that holds, the
    worst first."""
    flat = _flat(columns, steps, t)
    read = column(columns, steps, "readout_r2")
    status = "dimensional_collapse"
    if flat is not None and read and read[-1][1] >= read[0][1]:
        text = f"{flat[1]}, but the latents are read out better: {read[-1][1]:.3f}"
        status, flat = "low_rank", (flat[0], text, flat[2])
    rules = (
        ("complete_collapse", _gone(columns, steps, t)),
        (status, flat),
        (how_lost(columns, steps), lost(columns, steps, t)),
        ("no_learning", _no_skill(columns, steps, t)),
        ("unstable", drifted(columns, steps, t)),
    )
    return [(status, found) for status, found in rules if found is not None]


def _before(since: int | None, others: Sequence[tuple[str, Found]]) -> tuple[str, ...]:
    """Returns the failure that came before the worst one, with its own step, or nothing."""
    dated = [(step, status, text) for status, (step, text, _) in others if step is not None]
    earlier = [entry for entry in dated if since is not None and entry[0] < since]
    return tuple(
        f"before it, {status} since step {step}: {text}"
        for step, status, text in sorted(earlier)[:1]
    )


def _diverged(columns: Columns, steps: Sequence[int]) -> tuple[int | None, str] | None:
    """Returns the step of the divergence and the reason, or None."""
    if any(bool(flag) for flag in columns.get("diverged", ())):
        known = [int(s) for s in columns.get("diverged_step", ()) if s >= 0]
        return (
            known[-1] if known else (steps[-1] if steps else None)
        ), "its weights grew without bound"
    for name in ("loss", "loss_population"):
        broken = [
            s for s, v in zip(steps, columns.get(name, ()), strict=False) if not math.isfinite(v)
        ]
        if broken and any(math.isfinite(v) for v in columns[name]):
            return broken[0], f"{name} is not finite"
    return None


def _gone(columns: Columns, steps: Sequence[int], t: Thresholds) -> Found | None:
    """Returns the first step, the reason and the distance to the limit if the variance of z is
    gone."""
    variance = column(columns, steps, "variance")
    if not variance or variance[0][1] <= 0:
        return None
    limit = t.toy_variance * variance[0][1]
    last = variance[-1][1]
    if last >= limit:
        return None
    reason = f"the variance of z fell to {last:.2g} from {variance[0][1]:.2g}"
    return last_stretch(variance, lambda v: v < limit), reason, distance(last, limit, 1e-12)


def _flat(columns: Columns, steps: Sequence[int], t: Thresholds) -> Found | None:
    """Returns the first step, the reason and the distance to the limit if the effective rank is
    about 1."""
    rank, floor = column(columns, steps, "erank_encoded"), least_rank(columns, t)
    if not rank or rank[-1][1] >= floor:
        return None
    reason = f"effective rank {rank[-1][1]:.2f} ({rank[0][1]:.1f} at the first step)"
    return (
        last_stretch(rank, lambda v: v < floor),
        reason,
        distance(rank[-1][1] - 1, floor - 1, 0.01),
    )


def _no_skill(columns: Columns, steps: Sequence[int], t: Thresholds) -> Found | None:
    """Returns the first step, the reason and the distance to the limit if the loss is near the
    target's own variance.

    The excess loss may have fallen in such a run, because the scale of the target fell.
    """
    share = column(columns, steps, "loss_share")
    least = min((v for _, v in last_third(share)), default=0.0)
    if least <= t.toy_loss_share or last_third(share)[0][1] - share[-1][1] > t.rising:
        return None
    reason = (
        f"the loss is {share[-1][1]:.2f} of the target's variance: the prediction is no better than"
        " a constant"
    )
    return (
        last_stretch(share, lambda v: v > t.toy_loss_share),
        reason,
        distance(least, t.toy_loss_share),
    )


def _learning(columns: Columns, evidence: dict[str, float], t: Thresholds) -> Verdict:
    """Returns healthy if an error fell or is small, else no_learning. The first of ERRORS with
    enough rows decides. Returns inconclusive if there is none."""
    steps = [int(s) for s in columns["epoch"]]
    for name in ERRORS:
        points = column(columns, steps, name)
        if len(points) < t.toy_rows or points[0][1] <= 0:
            continue
        first, last = points[0][1], min(v for _, v in points[-3:])
        evidence = {**evidence, name: points[-1][1]}
        loss = column(columns, steps, "loss_population") or column(columns, steps, "loss")
        at_optimum = (
            name == "excess_loss" and bool(loss) and last <= t.toy_solved * abs(loss[-1][1])
        )
        text = f"{name} {first:.3g} at first, {last:.3g} at the end"
        if last > t.toy_improvement * first and not at_optimum:
            far = t.confidence(distance(last, t.toy_improvement * first))
            change = ("lr_pred and lr_enc ten times higher, or more steps",)
            return Verdict("no_learning", None, steps[0], far, (text,), evidence, change)
        rank = evidence.get("erank_encoded")
        reasons = (text,) if rank is None else (text, f"effective rank {rank:.1f}")
        improved = [] if at_optimum else [distance(last, t.toy_improvement * first, 1e-12)]
        far = t.confidence(min([*improved, *_margins(columns, steps, t)], default=0.0))
        return Verdict(
            "healthy",
            "z",
            confidence=far,
            reasons=reasons,
            evidence=evidence,
            per_tap={"z": "healthy"},
        )
    missing = f"none of {', '.join(ERRORS)} was logged: whether it learned cannot be judged"
    return Verdict("inconclusive", reasons=(missing,), evidence=evidence)


def _margins(columns: Columns, steps: Sequence[int], t: Thresholds) -> list[float]:
    """Returns the distances of a healthy run from each limit that it might have crossed."""
    rank, variance, readout, share = (
        column(columns, steps, name)
        for name in ("erank_encoded", "variance", "readout_r2", "loss_share")
    )
    found = [distance(rank[-1][1] - 1, t.toy_rank - 1, 0.01)] if rank else []
    found += [distance(variance[-1][1], t.toy_variance * variance[0][1], 1e-12)] if variance else []
    found += (
        [distance(max(readout[0][1] - readout[-1][1], 0.0), t.toy_readout_fall, 1e-3)]
        if readout
        else []
    )
    return found + ([distance(share[-1][1], t.toy_loss_share)] if share else [])


def _slower(columns: Columns) -> tuple[str, ...]:
    """Returns the suggestion to lower the rates, with the largest stable rate if it is known."""
    rate, bound = columns.get("lr_pred"), columns.get("alpha_bound")
    known = [b for b in bound or () if b is not None and math.isfinite(b)]
    if rate and known and rate[-1] > min(known):
        return (f"lr_pred below {min(known):.3g}, the largest stable rate (it was {rate[-1]:.3g})",)
    return ("lr_pred and lr_enc a third of their values",)
