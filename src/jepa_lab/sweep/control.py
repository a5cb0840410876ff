"""The control of a sweep: the runs that its arms are measured against, in the sweep or made before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from jepa_lab.report.comparison import Comparison, compare

# what a control may differ in from the arms: how the first view of training is drawn, and where the images lie
FREE = ("name", "usual_first_view", "first_view", "eval_first_view", "root", "path", "saliency_path", "tiers")
REFERENCES = {"random_init": "random encoder", "supervised": "supervised"}  # experiments that bound others: their names
METRICS = ("probe/class_from_z_agg", "probe/relative_action_from_z", "probe/action_from_z")
WITHOUT_PROBES = ("skill", "retrieval/mrr")  # of the ARC JEPA


def control_runs(runs: Sequence[Path], control: str) -> list[Path]:
    """Completed runs of the experiment `control` beside these, of their seeds, data, budget, encoder and precision."""
    configs = [_config(run) for run in runs]
    wanted = {json.dumps(protocol_of(config), sort_keys=True) for config in configs if config}
    found = []
    for runs_dir in {run.parent.parent for run in runs}:
        for path in sorted((runs_dir / control).glob("*/config.yaml")):
            config = _config(path.parent)
            if json.dumps(protocol_of(config), sort_keys=True) in wanted and _completed(path.parent):
                found.append(path.parent)
    return found


def paired_report(runs: Sequence[Path], control: str) -> tuple[str, dict[str, Any]]:
    """(text, the same for JSON): every arm's difference to the control, paired by seed. ("", {}) where no arm has two
    seeds; a text that says what is missing where there is no control."""
    from jepa_lab.report.factorial import effects_text, main_effects
    from jepa_lab.report.paired import parse_control

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
    from jepa_lab.report.paired import arms, paired_dict, paired_table
    from jepa_lab.report.paired_text import paired_text

    names = {config.get("name") for config in map(_config, runs)}
    inside = not isinstance(wanted, str) or control in names
    beside = [] if inside else control_runs(runs, control)
    if not inside and not beside:
        return (
            f"no runs of the control {control} with these data, budget and seeds: the same line with "
            f"+experiment={control} makes them, and the same sweep again then ends with the paired differences"
        ), {}
    comparison = compare([*runs, *beside]) if beside else own
    if len(arms(comparison.rows)) < 2:
        return "", {}
    try:
        rows = paired_table(comparison, wanted, _metrics(comparison), n_images=_images(runs))
    except ValueError as error:
        return f"no paired differences: {error} (sweep.control='key=value key=value' names another)", {}
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
        try:
            protocol = json.loads((run / "summary.json").read_text(encoding="utf-8")).get("protocol") or {}
            counts.add(protocol.get("test_images"))
        except (OSError, ValueError, AttributeError):
            continue
    return counts.pop() if len(counts) == 1 else None


def _config(run: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def protocol_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a control has to share with the arms: seed, data, budget, encoder, probes, precision and threads."""
    dataset = {k: v for k, v in (config.get("dataset") or {}).items() if k not in FREE}
    parts = {key: config.get(key) for key in ("seed", "encoder", "precision", "probes", "recipe")}
    threads = (config.get("hardware") or {}).get("threads")
    return {**parts, "dataset": {"name": (config.get("dataset") or {}).get("name"), **dataset}, "threads": threads}


def _completed(run: Path) -> bool:
    try:
        return bool(json.loads((run / "status.json").read_text(encoding="utf-8")).get("state") == "completed")
    except (OSError, ValueError, AttributeError):
        return False
