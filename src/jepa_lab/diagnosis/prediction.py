"""Label-free tests of the prediction: it learns, it uses its actions, and it is more than a copy.
Rank and probes cannot detect a model that ignores its actions. Reference runs (raw pixels,
untrained, supervised, without actions) fail these tests by design, so their findings are notes."""

from __future__ import annotations

import math
from statistics import median

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.finding import (
    Finding,
    History,
    Points,
    finite,
    last_stretch,
    last_third,
    rise,
)
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.taps import last_of
from jepa_lab.diagnosis.thresholds import Thresholds, distance

MORE_TO_TELL = ("loss.rate_target=z_agg loss.lambda_rate=0.001", "dataset.epochs*3")


def prediction_findings(history: History, t: Thresholds, settings: Settings) -> list[Finding]:
    """Returns the failures and notes of the label-free tests."""
    if not settings.judges_prediction:
        what = "nothing is trained" if not settings.trained else "the prediction is not trained"
        return [Finding("note", f"{what}: skill and gains are not judged", 1.0)]
    rules = (
        _uniform(history, t, settings),
        _no_learning(history, t, settings),
        _actions(history, t, settings),
    )
    more = (_demonstrations(history, t), _copy(history, t, settings), _rollout(history, t))
    return [f for f in (*rules, *more) if f is not None]


def _no_learning(history: History, t: Thresholds, settings: Settings) -> Finding | None:
    """Reports InfoNCE at ln(1 + negatives), mutual information of DINO at 0, or a skill at 0 that
    does not rise."""
    at_chance = _info_nce(history, t, settings) or _dino(history, t)
    if at_chance is not None:
        return at_chance
    skill = finite(history.get("val/skill", ()))
    if len(skill) < t.validations:
        return None
    tail = last_third(skill)
    best = max(v for _, v in tail)
    if best >= t.no_skill:
        return None
    if tail[-1][1] - tail[0][1] > t.rising:
        reason = (
            f"skill {tail[-1][1]:.2f} against the best constant, still rising: the run is too short"
            " to judge"
        )
        return Finding("note", reason, 0.5, quantity="val/skill")
    worse = settings.remedies.no_skill
    reason = f"skill {tail[-1][1]:.2g}: the prediction is no better than {worse}"
    since = last_stretch(skill, lambda v: v < t.no_skill)
    far = t.confidence((t.no_skill - best) / t.skill_fall)
    return Finding("no_learning", reason, far, since=since, quantity="val/skill", next=_learn())


def _info_nce(history: History, t: Thresholds, settings: Settings) -> Finding | None:
    loss = finite(history.get("train/loss/info_nce", ()))
    counts = history.get("train/info_nce/negatives")
    negatives = counts[-1][1] if counts else settings.negatives
    if len(loss) < 10 or not negatives:
        return None
    chance = math.log(1.0 + negatives)
    tail = median(v for _, v in last_third(loss))
    if tail < (1 - t.chance) * chance:
        return None
    since = last_stretch(loss, lambda v: v >= (1 - t.chance) * chance)
    reason = f"InfoNCE {tail:.2f} stays at chance, ln(1 + {negatives:.0f}) = {chance:.2f}"
    near = 1 - tail / chance
    far = t.confidence(1.0 - max(near, 0.0) / t.chance)
    return Finding(
        "no_learning", reason, far, since=since, quantity="train/loss/info_nce", next=_learn()
    )


def _dino(history: History, t: Thresholds) -> Finding | None:
    """Reports a low mutual information of image and prototype. It is 0 in both kinds of collapse:
    uniform targets, or the same target for all images."""
    information = finite(history.get("train/dino/mutual_information", ()))
    entropy = finite(history.get("train/dino/entropy_of_mean", ()))
    skill = history.get("val/skill", ())
    if len(information) < 10 or not entropy or (skill and skill[-1][1] >= t.skill_fall):
        return None
    limit = t.mutual_information * max(1.0, max(v for _, v in entropy))
    tail = median(v for _, v in last_third(information))
    if tail >= limit:
        return None
    since = last_stretch(information, lambda v: v < limit)
    reason = f"mutual information of image and prototype {tail:.2f} nats: uninformative targets"
    key = "train/dino/mutual_information"
    return Finding(
        "no_learning",
        reason,
        t.confidence(distance(tail, limit)),
        since=since,
        quantity=key,
        next=_learn(),
    )


def _uniform(history: History, t: Thresholds, settings: Settings) -> Finding | None:
    """Reports targets that are the uniform distribution for every image, with the largest possible
    entropy."""
    each = finite(history.get("train/dino/mean_entropy", ()))
    mean = finite(history.get("train/dino/entropy_of_mean", ()))
    if len(each) < 10 or not mean:
        return None
    prototypes = value_of(settings.config, "loss.prototypes")
    most = (
        math.log(prototypes)
        if isinstance(prototypes, int) and prototypes > 1
        else max(v for _, v in mean)
    )
    tail = median(v for _, v in last_third(each))
    if tail < t.uniform_entropy * most or most < math.log(2):
        return None
    since = last_stretch(each, lambda v: v >= t.uniform_entropy * most)
    reason = f"every target is uniform: entropy {tail:.2f} of {most:.2f} nats"
    far = t.confidence(distance(1 - t.uniform_entropy, max(1 - tail / most, 0.0), 1e-4))
    return Finding(
        "uniform_output",
        reason,
        far,
        since=since,
        quantity="train/dino/mean_entropy",
        next=_learn(),
    )


def _actions(history: History, t: Thresholds, settings: Settings) -> Finding | None:
    shares = _shares(history, "val/action_gain")
    if not shares or not _predicts(history, t):
        return None
    if not settings.actions:
        return Finding(
            "note", "the network is not given its actions (model.action_conditioning=false)", 1.0
        )
    use = finite(history.get("val/action_use", ()))
    if use and use[-1][0] == shares[-1][0]:
        return _action_use(use, finite(history.get("val/skill", ())), t, settings)
    most = max(abs(v) for _, v in last_third(shares))
    text = f"true actions instead of shuffled ones change the loss by {100 * most:.2g} %"
    if most < t.action_gain and len(shares) >= t.validations:
        since = last_stretch(shares, lambda v: abs(v) < t.action_gain)
        far = t.confidence(distance(most, t.action_gain))
        return Finding(
            "ignores_actions",
            text + _by_design(settings),
            far,
            since=since,
            quantity="val/action_gain",
            next=MORE_TO_TELL,
        )
    if shares[-1][1] < t.action_note:
        text = f"the prediction hardly uses its actions: {text}"
        return Finding("note", text, 0.5, quantity="val/action_gain", next=MORE_TO_TELL)
    return None


def _by_design(settings: Settings) -> str:
    """Returns the reason why an ignored action may be no failure, if the configuration is
    unknown."""
    return "" if settings.known else " (by design where model.action_conditioning=false)"


def _action_use(use: Points, skill: Points, t: Thresholds, settings: Settings) -> Finding | None:
    """Reports a prediction that achieves next to nothing of the gain from actions that its features
    allow, and no longer improves. While skill or use rise, a run is too short to say so."""
    most = max(v for _, v in last_third(use))
    improves = max(rise(use), rise(skill)) > t.rising
    if most >= t.some_use or len(use) < t.validations or improves:
        return None
    text = f"{100 * most:.2g} % of the gain from actions that the features allow is achieved"
    return Finding(
        "ignores_actions",
        text + _by_design(settings),
        t.confidence(distance(max(most, 0.0), t.some_use, 1e-4)),
        since=last_stretch(use, lambda v: v < t.some_use),
        quantity="val/action_use",
        next=MORE_TO_TELL,
    )


def _demonstrations(history: History, t: Thresholds) -> Finding | None:
    """Reports an ARC JEPA that does not read the rule from the demonstrations."""
    shares = _shares(history, "val/demo_gain")
    if not shares or not _predicts(history, t):
        return None
    most = max(abs(v) for _, v in last_third(shares))
    key = "val/demo_gain"
    if most < t.action_gain and len(shares) >= t.validations:
        text = (
            "the demonstrations of another task do as well: they change the loss by"
            f" {100 * most:.2g} %"
        )
        since = last_stretch(shares, lambda v: abs(v) < t.action_gain)
        return Finding(
            "ignores_actions",
            text,
            t.confidence(distance(most, t.action_gain)),
            since=since,
            quantity=key,
        )
    if shares[-1][1] < t.action_note:
        text = "the demonstrations of another task change the loss by"
        return Finding(
            "note", f"{text} {100 * shares[-1][1]:.2g} %: hardly used", 0.5, quantity=key
        )
    return None


def _copy(history: History, t: Thresholds, settings: Settings) -> Finding | None:
    """Reports a prediction that is as good as a copy of the last view. A worse prediction is a
    note."""
    copied = settings.remedies.copied(settings.config)
    shares = _shares(history, "val/copy_gain")
    if not shares or not _predicts(history, t):
        return None
    if shares[-1][1] < -t.copy_gain:
        text = f"copying {copied} would be better by {-100 * shares[-1][1]:.0f} % of the loss"
        return Finding("note", text, 0.5, quantity="val/copy_gain")
    most = max(abs(v) for _, v in last_third(shares))
    if most >= t.copy_gain or len(shares) < t.validations:
        return None
    text = f"the prediction is as good as a copy of {copied}: losses differ by {100 * most:.2g} %"
    since = last_stretch(shares, lambda v: abs(v) < t.copy_gain)
    far = t.confidence(distance(most, t.copy_gain))
    change = ("dataset.n_views=5", "dataset.first_view=random")
    return Finding("copy_shortcut", text, far, since=since, quantity="val/copy_gain", next=change)


def _rollout(history: History, t: Thresholds) -> Finding | None:
    """Reports rollouts that are no better than a constant. It reads val/rollout/<k>, the loss k
    steps ahead divided by the loss of the best constant."""
    last = {int(k): v for k, v in last_of(history, "val/rollout/").items() if k.isdecimal()}
    lost = sorted(k for k, v in last.items() if v >= t.rollout_growth)
    if not lost or not last or min(last) in lost:
        return None
    return Finding(
        "note",
        f"a rollout of {lost[0]} steps is no better than a constant",
        0.5,
        quantity="val/rollout",
    )


def _shares(history: History, key: str) -> Points:
    """Returns the gain divided by the prediction loss of the same validation."""
    losses = dict(history.get("val/loss/prediction", ()))
    points = [
        (s, v / max(losses[s], 1e-9)) for s, v in history.get(key, ()) if losses.get(s, 0.0) > 0
    ]
    return finite(points)


def _predicts(history: History, t: Thresholds) -> bool:
    """Returns whether the prediction is good enough to test what it uses."""
    skill = history.get("val/skill")
    return not skill or skill[-1][1] > t.some_skill


def _learn() -> tuple[str, ...]:
    return ("optim.lr*3", "dataset.epochs*3")
