"""The arm that the others are compared with: the one that was named, else the plain one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jepa_lab.errors import UserError
from jepa_lab.ledger.finished_run import Run, control_runs
from jepa_lab.ledger.read import read_json, read_yaml
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

PLAIN = "seq_jepa_baseline"  # the experiment that others of seq-JEPA change in one thing


def choose_control(
    found: Sequence[Arm], wanted: str | None, runs: Sequence[Run], notes: list[str]
) -> Arm:
    """`wanted`, which is an arm, an experiment, a value or settings; without it the usual control
    of the runs.

    Among the arms of one experiment the usual one has no auxiliary loss; among several experiments
    it is the control that they name, then the plain experiment, then the only one without an
    auxiliary loss; else the first with results. What a reader has to know of the choice is added to
    `notes`. UserError for one that is no arm, with the arms.
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
            f"no control was named: {first.text} stands in, as the first; --control names another"
        )
    return first


def _usual(found: Sequence[Arm], runs: Sequence[Run]) -> Iterator[tuple[str, list[Arm]]]:
    """What the control may be, the likeliest first, and the arms that are it; those with results
    before others."""
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


METRICS = ("probe/class_from_z_agg", "probe/relative_action_from_z", "probe/action_from_z")
WITHOUT_PROBES = ("skill", "retrieval/mrr")  # of the ARC JEPA


def paired_report(runs: Sequence[Path], control: str) -> tuple[str, dict[str, Any]]:
    """(text, the same for JSON): every arm's difference to the control, paired by seed. ("", {})
    where no arm has two seeds; a text that says what is missing where there is no control."""
    own = compare(runs)
    if "seed" not in own.columns:
        return "", {}
    wanted = parse_control(control)
    try:
        effects = main_effects(own, _metrics(own), wanted if isinstance(wanted, dict) else None)
    except ValueError:  # two runs of one arm and seed: what follows says so
        effects = []
    text, content = _paired(runs, own, control, wanted)
    if effects:
        content = {**content, "main_effects": [asdict(e) for e in effects]}
    return "\n\n".join(filter(None, [text, effects_text(effects)])), content


def _paired(
    runs: Sequence[Path], own: Comparison, control: str, wanted: Mapping[str, Any] | str
) -> tuple[str, dict[str, Any]]:
    names = {config.get("name") for config in (read_yaml(run / "config.yaml") for run in runs)}
    inside = not isinstance(wanted, str) or control in names
    beside = [] if inside else control_runs(runs, control)
    if not inside and not beside:
        return (
            (
                f"no runs of the control {control} with these data, budget and seeds: the same line"
                f" with +experiment={control} makes them, and the same sweep again then ends with"
                " the paired differences"
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
    """How many test images the runs were measured on; None if that is unknown or differs."""
    counts = set()
    for run in runs:
        protocol = read_json(run / "summary.json").get("protocol")
        if isinstance(protocol, dict):
            counts.add(protocol.get("test_images"))
    return counts.pop() if len(counts) == 1 else None
