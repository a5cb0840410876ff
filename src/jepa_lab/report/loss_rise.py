"""Explains a prediction loss that rises although nothing is wrong: its scale depends on the
targets, which are features themselves."""

from __future__ import annotations

from jepa_lab.diagnosis.finding import History, finite

RISES = 1.1  # last validation loss over the lowest one


def explained_rise(history: History) -> str:
    """Returns what a rise of the validation loss means for the prediction, "" without a rise."""
    losses = finite(history.get("val/loss/prediction", ()))
    if len(losses) < 2:
        return ""
    step, lowest = min(losses, key=lambda point: point[1])
    last = losses[-1][1]
    if lowest <= 0 or last <= RISES * lowest:
        return ""
    text = f"The prediction loss rises from {lowest:.2g} at step {step:,} to {last:.2g}."
    skill = dict(finite(history.get("val/skill", ())))
    constant = dict(finite(history.get("val/loss/constant", ())))
    end = losses[-1][0]
    if not {step, end} <= skill.keys():
        return text
    if {step, end} <= constant.keys():
        before, after = constant[step], constant[end]
        text += (
            " A loss is relative to the spread of its targets: that of the best constant"
            f" {'rises' if after > before else 'falls'} from {before:.2g} to {after:.2g} meanwhile."
        )
    better = skill[end] > skill[step]
    moved = "is what counts, and it rises" if better else "falls"
    return (
        f"{text} The skill, 1 − loss / that of the baseline, {moved} from {skill[step]:.2f} to"
        f" {skill[end]:.2f}."
    )
