"""Regularisers that dominate the prediction or have no effect, by the gradient of every term on the
encoder."""

from __future__ import annotations

from collections.abc import Mapping

from jepa_lab.diagnosis.finding import Finding, History, Points, at_least_0, fell, finite
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.thresholds import Thresholds, distance

PROBES = (
    "val/probe/class_from_z_agg",
    "val/probe/class_from_z",
    "val/probe/relative_action_from_z",
)


def regulariser_findings(history: History, t: Thresholds, settings: Settings) -> list[Finding]:
    """Reports a dominating term with its cost. Terms without effect and a temperature on its clamp
    are notes."""
    prediction = dict(finite(history.get("train/gradient/prediction", ())))
    found = []
    for key in sorted(history):
        name = key.removeprefix("train/gradient/")
        if name == key or name == "prediction" or not prediction:
            continue
        ratios = [
            (s, v / max(prediction[s], 1e-12)) for s, v in finite(history[key]) if s in prediction
        ]
        if not ratios or not settings.judges_prediction:
            continue
        if max(v for _, v in ratios) < t.inert:
            found.append(
                Finding(
                    "note",
                    f"{name} has no gradient on the encoder: it does nothing",
                    0.9,
                    quantity=key,
                )
            )
            continue
        dominant = _dominant(name, key, ratios, history, t, _weaker(name, settings))
        if dominant is not None:
            found.append(dominant)
    clamp = _clamped(history, t)
    return [*found, clamp] if clamp is not None else found


def _weaker(name: str, settings: Settings) -> str:
    """Returns the change that makes a term weaker: a tenth of its weight, or else a lower learning
    rate."""
    aux = settings.config.get("aux")
    term = "coding_rate" if name == "rate" else name
    if isinstance(aux, Mapping) and term in aux:
        return f"aux.{term}.weight*0.1"
    return "loss.lambda_rate*0.1" if name == "rate" else "optim.lr*0.3"


def _dominant(
    name: str, key: str, ratios: Points, history: History, t: Thresholds, weaker: str
) -> Finding | None:
    """Reports a term with a stronger gradient than the prediction over many steps. It is a failure
    if the rank rose while the skill or a probe fell, else a note."""
    above = [(s, v) for s, v in ratios if v > t.dominance]
    if len(above) < t.dominance_share * len(ratios):
        return None
    worst = sorted(v for _, v in ratios)[len(ratios) // 2]
    text = f"the gradient of {name} is {max(worst, t.dominance):.1f} times the prediction's"
    cost = _cost(history, t)
    if cost is None:
        return Finding("note", text, 0.5, quantity=key)
    what, since = cost
    far = t.confidence(distance(max(worst, t.dominance), t.dominance))
    return Finding(
        "regulariser_dominated",
        f"{text}, rank rose and {what} fell",
        far,
        since=since,
        quantity=key,
        next=(weaker,),
    )


def _cost(history: History, t: Thresholds) -> tuple[str, int] | None:
    """Returns the metric that fell while the rank rose, and the step of its best value, or None."""
    for key, by in (("val/skill", t.skill_fall), *((probe, t.probe_fall) for probe in PROBES)):
        points = at_least_0(history.get(key, ()))
        if len(points) < t.validations or not fell(points, by):
            continue
        peak = max(points, key=lambda p: p[1])[0]
        if any(
            _rose(history.get(f"val/{tap}/effective_rank", ()), peak, t.rank_rise)
            for tap in ("z", "z_agg")
        ):
            return key.removeprefix("val/"), peak
    return None


def _rose(ranks: Points, since: int, factor: float) -> bool:
    then = [v for s, v in ranks if s <= since]
    return bool(then) and ranks[-1][1] > factor * then[-1]


def _clamped(history: History, t: Thresholds) -> Finding | None:
    """Reports a learned temperature that stays at an end of its range. It reads
    train/temperature_clamped, the share of clamped steps, or else train/temperature."""
    share = history.get("train/temperature_clamped")
    points = finite(history.get("train/temperature", ()))
    if share:
        value = sum(v for _, v in share) / len(share)
    elif len(points) >= 10 and len({v for _, v in points}) > 2:
        end = points[-1][1]
        value = sum(abs(v - end) <= 1e-6 * abs(end) for _, v in points) / len(points)
        value *= end in (min(v for _, v in points), max(v for _, v in points))
    else:
        return None
    if value <= t.clamped:
        return None
    text = f"the temperature is on its clamp in {100 * value:.0f} % of the logged steps"
    return Finding(
        "note", text, t.confidence(distance(value, t.clamped)), quantity="train/temperature"
    )
