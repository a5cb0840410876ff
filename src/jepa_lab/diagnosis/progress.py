"""The state of a prediction: what it has learned, and whether it still improves.

A status judges the features. Good features do not imply a prediction that works, so a verdict also
has a state of the prediction. It is read from the skill relative to the best constant, and from the
use of the actions relative to what the features allow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jepa_lab.diagnosis.finding import Finding, History, finite, rise
from jepa_lab.diagnosis.settings import Settings
from jepa_lab.diagnosis.thresholds import Thresholds

NOT_YET, LEARNING, IN_PART, LEARNED = "not trained yet", "learning", "learned in part", "learned"


@dataclass(frozen=True)
class Progress:
    """The state of a prediction with its evidence as text.

    - learned: the skill is at least half, or the loss is at most that of the readout; and the
      prediction achieves at least half of the possible gain from actions.
    - not trained yet: the skill or the use of actions is below its smallest value.
    - learning: more than that, but not learned, and skill or use still rise over the last third.
    - learned in part: the same without a rise.

    `rises` are the rises over the last third as text. `lost` is true if the skill was well above
    its smallest value before.
    """

    state: str
    evidence: tuple[str, ...]
    rises: tuple[str, ...]
    lost: bool = False

    @property
    def something_learned(self) -> bool:
        """Whether there is evidence that the run has learned its task."""
        return self.state != NOT_YET

    @property
    def rising(self) -> bool:
        """Whether the prediction still improves."""
        return bool(self.rises)

    def line(self) -> str:
        """Returns the state and its evidence as one line."""
        return f"{self.state} ({', '.join((*self.evidence, *self.rises))})"

    def missing(self) -> str:
        """Returns the reason why the run cannot be called healthy."""
        if self.lost:
            return "the prediction lost what it had learned"
        return "the prediction has not learned its task yet" + (
            ", but it still improves: the run is too short" if self.rising else ""
        )

    def finding(self, status: str) -> Finding:
        """Returns the finding of a run that has not learned its task."""
        return Finding(status, self.missing(), 0.5, quantity="val/skill")


def prediction_progress(
    history: History, t: Thresholds, settings: Settings | None = None
) -> Progress | None:
    """Returns the state of the prediction, or None for a run that trains none or measured no skill.

    Without a readout (a DINO or InfoNCE loss, a run of an older version) the skill decides alone. A
    prediction whose use of actions is unknown has not learned more than a part.
    """
    skill = finite(history.get("val/skill", ()))
    readout = finite(history.get("val/readout/loss", ()))
    loss = finite(history.get("val/loss/prediction", ()))
    settings = settings or Settings()
    if not (settings.judges_prediction and skill):
        return None
    best = max(v for _, v in skill)
    lost = skill[-1][1] < t.some_skill < best - t.skill_fall
    if not (readout and loss):
        found = _by_skill_alone(skill, t, settings.actions and "val/action_gain" in history)
        return replace(found, lost=lost)
    use = finite(history.get("val/action_use", ())) if settings.actions else []
    allowed = bool(use) and use[-1][0] == skill[-1][0]  # the last validation found a trace
    last_skill, last_use = skill[-1][1], use[-1][1] if allowed else None
    evidence = [f"skill {last_skill:.2f}"]
    if last_use is not None:
        evidence.append(f"{100 * last_use:.0f} % of the possible use of actions")
    elif settings.actions:
        evidence.append("the features hold no trace of the actions")
    evidence.append(f"loss {loss[-1][1]:.2g}, a readout of the features {readout[-1][1]:.2g}")
    gains = (("skill", rise(skill)), ("use of actions", rise(use) if allowed else 0.0))
    rises = _rises(gains, t)
    uses = 1.0 if last_use is None else last_use
    if last_skill < t.some_skill or uses < t.some_use:
        state = NOT_YET
    elif uses >= t.learned_use and (last_skill >= t.learned_skill or loss[-1][1] <= readout[-1][1]):
        state = LEARNED
    else:
        state = LEARNING if rises else IN_PART
    return Progress(state, tuple(evidence), rises, lost)


def _by_skill_alone(skill: list[tuple[int, float]], t: Thresholds, actions: bool) -> Progress:
    last = skill[-1][1]
    evidence = (f"skill {last:.2f}", *["use of actions not measured"] * actions)
    rises = _rises((("skill", rise(skill)),), t)
    if last < t.some_skill:
        state = NOT_YET
    elif last >= t.learned_skill and not actions:
        state = LEARNED
    else:
        state = LEARNING if rises else IN_PART
    return Progress(state, evidence, rises)


def _rises(gains: Iterable[tuple[str, float]], t: Thresholds) -> tuple[str, ...]:
    return tuple(
        f"{name} +{gain:.2f} over the last third" for name, gain in gains if gain > t.rising
    )
