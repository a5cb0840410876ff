"""The control: the arm that the other arms are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run, control_runs
from jepa_lab.ledger.read import read_if_possible
from jepa_lab.report.comparison.arms import (
    Arm,
    arms,
    control_arm,
    paired_dict,
    paired_table,
    parse_control,
)
from jepa_lab.report.comparison.differences import setting_text
from jepa_lab.report.comparison.factorial import effects_text, main_effects
from jepa_lab.report.comparison.paired_text import paired_text
from jepa_lab.report.comparison.table import Comparison, compare

PLAIN = "seq_jepa_baseline"  # the other experiments of seq-JEPA change one thing in this one


def choose_control(
    found: Sequence[Arm], wanted: str | None, runs: Sequence[Run], notes: list[str]
) -> Arm:
    """Returns the control among the arms `found`, and adds notes on the choice to `notes`.

    `wanted` names an arm, an experiment, a value or settings. If it is None, the default control is
    used: among arms of one experiment the arm without an auxiliary loss; among several experiments
    the control that their sweep names, then the experiment PLAIN, then the only arm without an
    auxiliary loss. If none of these exists, the first arm with results is used. Raises UserError
    with the list of arms if `wanted` matches no arm or several.
    """
    if wanted is not None:
        for arm in found:
            if wanted == arm.text or [wanted] == [
                setting_text(value) for value in arm.settings.values()
            ]:
                return arm
        try:
            return control_arm(found, parse_control(wanted))
        except ValueError as error:
            raise UserError(f"--control {wanted}: {error}") from None
    for name, matches in _usual(found, runs):
        if matches:
            if len(matches) > 1:
                chosen = matches[0].text
                notes.append(
                    f"{len(matches)} arms are {name}: {chosen} is the control; --control names"
                    " another"
                )
            return matches[0]
    first = next((arm for arm in found if arm.completed()), found[0])
    if len(found) > 1:
        notes.append(
            f"no control was named: {first.text}, the first arm, is used; --control names another"
        )
    return first


def _usual(found: Sequence[Arm], runs: Sequence[Run]) -> Iterator[tuple[str, list[Arm]]]:
    """Yields (description, matching arms) of the default controls in the order of preference.

    Arms with results come before others."""
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
    """Returns the only arm with the settings `key=value key=value`, [] for any other name."""
    try:
        return [control_arm(found, parse_control(name))] if "=" in name else []
    except ValueError:
        return []


METRICS = ("probe/class_from_z_agg", "probe/relative_action_from_z", "probe/action_from_z")
WITHOUT_PROBES = ("skill", "retrieval/mrr")  # metrics of ARC, which has no probes


def paired_report(runs: Sequence[Path], control: str) -> tuple[str, dict[str, Any]]:
    """Returns (text, content for JSON) of the differences of all arms to the control, paired by
    seed.

    Returns ("", {}) if the runs have one seed only, and a text on what is missing if there is no
    control."""
    own = compare(runs)
    if "seed" not in own.columns:
        return "", {}
    wanted = parse_control(control)
    try:
        effects = main_effects(own, _metrics(own), wanted if isinstance(wanted, dict) else None)
    except ValueError:  # two runs of one arm and seed: `_paired` reports them
        effects = []
    text, content = _paired(runs, own, control, wanted)
    if effects:
        content = {**content, "main_effects": [asdict(e) for e in effects]}
    return "\n\n".join(filter(None, [text, effects_text(effects)])), content


def _paired(
    runs: Sequence[Path], own: Comparison, control: str, wanted: Mapping[str, Any] | str
) -> tuple[str, dict[str, Any]]:
    names = {read_if_possible(run / "config.yaml").get("name") for run in runs}
    inside = not isinstance(wanted, str) or control in names
    beside = [] if inside else control_runs(runs, control)
    if not inside and not beside:
        return (
            (
                f"no runs of the control {control} with these data, budget and seeds: run the same"
                f" command with +experiment={control}, then repeat this sweep for the paired"
                " differences"
            ),
            {},
        )
    comparison = compare([*runs, *beside]) if beside else own
    if len(arms(comparison.rows)) < 2:
        return "", {}
    try:
        rows = paired_table(comparison, wanted, _metrics(comparison), n_images=_images(runs))
    except ValueError as error:
        return (
            f"no paired differences: {error} (sweep.control='key=value key=value' names another)",
            {},
        )
    return paired_text(rows), paired_dict(rows)


def _metrics(comparison: Comparison) -> list[str]:
    named = {column: column.partition("/")[2] for column in comparison.columns}
    probes = [column for column, name in named.items() if name in METRICS]
    if probes or "retrieval/mrr" not in named.values():
        return probes
    return [column for column, name in named.items() if name in WITHOUT_PROBES]


def _images(runs: Sequence[Path]) -> int | None:
    """Returns the number of test images of the runs, None if it is unknown or differs."""
    counts = set()
    for run in runs:
        protocol = read_if_possible(run / "summary.json").get("protocol")
        if isinstance(protocol, dict):
            counts.add(protocol.get("test_images"))
    return counts.pop() if len(counts) == 1 else None
