"""The arm that the others are compared with: the one that was named, else the plain one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jepa_lab.errors import UserError
from jepa_lab.report.comparison import Run
from jepa_lab.report.differences import setting_text
from jepa_lab.report.paired import Arm, control_arm, parse_control

PLAIN = "seq_jepa_baseline"  # the experiment that others of seq-JEPA change in one thing


def choose_control(found: Sequence[Arm], wanted: str | None, runs: Sequence[Run], notes: list[str]) -> Arm:
    """`wanted`, which is an arm, an experiment, a value or settings; without it the usual control of the runs.

    Among the arms of one experiment the usual one has no auxiliary loss; among several experiments it is the control
    that they name, then the plain experiment, then the only one without an auxiliary loss; else the first with results.
    What a reader has to know of the choice is added to `notes`. UserError for one that is no arm, with the arms.
    """
    if wanted is not None:
        for arm in found:
            if wanted == arm.text or [wanted] == [setting_text(value) for value in arm.settings.values()]:
                return arm
        try:
            return control_arm(found, parse_control(wanted))
        except ValueError as error:
            raise UserError(f"--control {wanted}: {error}") from None
    for name, matches in _usual(found, runs):
        if matches:
            if len(matches) > 1:
                chosen = matches[0].text
                notes.append(f"{len(matches)} arms are {name}: {chosen} is the control; --control names another")
            return matches[0]
    first = next((arm for arm in found if arm.completed()), found[0])
    if len(found) > 1:
        notes.append(f"no control was named: {first.text} stands in, as the first; --control names another")
    return first


def _usual(found: Sequence[Arm], runs: Sequence[Run]) -> Iterator[tuple[str, list[Arm]]]:
    """What the control may be, the likeliest first, and the arms that are it; those with results before others."""
    ordered = sorted(found, key=lambda arm: not arm.completed())
    without = [arm for arm in ordered if "none" in (arm.text, arm.settings.get("aux"))]
    one_experiment = len({str(run.config.get("name")) for run in runs}) < 2
    if one_experiment:
        yield "without an auxiliary loss", without
    named = [(run.config.get("sweep") or {}).get("control") for run in runs]
    for name in dict.fromkeys([*map(str, filter(None, named)), PLAIN]):
        own = [arm for arm in ordered if name in (arm.text, arm.settings.get("experiment"))]
        yield name, own or _by_settings(ordered, name)
    if len(without) == 1:
        yield "without an auxiliary loss", without


def _by_settings(found: Sequence[Arm], name: str) -> list[Arm]:
    """The one arm with the settings `key=value key=value`; none for another name."""
    try:
        return [control_arm(found, parse_control(name))] if "=" in name else []
    except ValueError:
        return []
