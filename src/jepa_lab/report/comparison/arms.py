"""The arms of a comparison, and their differences to a control, paired by seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from jepa_lab.config.statuses import failed, status_in
from jepa_lab.report.comparison.differences import natural, setting_text
from jepa_lab.report.comparison.statistics import (
    MeanInterval,
    PairedDifference,
    SeedAndSample,
    holm,
    mean_interval,
    non_inferior,
    paired_difference,
    seed_and_sample,
)
from jepa_lab.report.comparison.table import Comparison

RunRow = Mapping[str, Any]
MARGINS: Mapping[str, float] = {"accuracy": 0.02, "r2": 0.05}
FEWEST = 3  # pairs that non-inferiority needs: two pairs may agree by chance
KINDS = {"class_from": "accuracy", "action_from": "r2"}  # part of a metric's name -> key of MARGINS


@dataclass(frozen=True)
class Arm:
    """Runs with the same `settings`, which do not include the seed.

    `text` names the settings that distinguish the arms. `rows` are the rows of these runs in the
    comparison."""

    text: str
    settings: dict[str, Any]
    rows: list[RunRow]

    def values(self, metric: str) -> dict[int, float]:
        """Returns {seed: value} of the completed runs that have the metric.

        Raises ValueError if two completed runs have the same seed."""
        found: dict[int, RunRow] = {}
        for row in self.completed():
            # the column is missing if all runs have the same seed
            seed = -1 if row.get("seed") is None else int(row["seed"])
            if seed in found:
                raise ValueError(
                    f"{self.text}: {found[seed]['run']} and {row['run']} share a seed; leave"
                    " one out"
                )
            found[seed] = row
        return {seed: float(row[metric]) for seed, row in found.items() if row[metric] is not None}

    def completed(self) -> list[RunRow]:
        return [row for row in self.rows if row["state"] == "completed"]

    def collapsed(self) -> int:
        """Returns how many of the completed runs collapsed. The means include their values."""
        return sum(failed(status_in(row["verdict"])) for row in self.completed())


@dataclass(frozen=True)
class PairedRow:
    """One arm and one metric: the mean over the seeds of the arm and the difference to the control.

    `difference` is computed over the seeds that the arm shares with the control. For the control,
    and with fewer than 2 shared seeds, `difference` and all values derived from it are None.
    `p_holm` is adjusted over the arms of this metric. `margin` and `non_inferiority` are None if
    the metric has no margin. `others` counts the runs that did not complete, by state; no number
    here includes them. `noise` splits the spread of an accuracy into seeds and sample, None if the
    number of images is unknown.
    """

    arm: str
    settings: dict[str, Any]
    is_control: bool
    metric: str
    confidence: float
    mean: MeanInterval
    difference: PairedDifference | None
    p_holm: float | None
    margin: float | None
    non_inferiority: str | None
    completed: int
    collapsed: int
    others: dict[str, int]
    noise: SeedAndSample | None = None


def arms(rows: Sequence[RunRow]) -> list[Arm]:
    """Returns the arms of the rows of a comparison, in their order. In a row, the keys before `run`
    are settings."""
    if not rows:
        return []
    settings, named = _settings(rows), telling_keys(rows)
    groups: dict[tuple[Any, ...], list[RunRow]] = {}
    for row in rows:
        groups.setdefault(_values(row, settings), []).append(row)
    return [
        Arm(_text(group[0], named), {key: group[0][key] for key in settings}, group)
        for group in groups.values()
    ]


def telling_keys(rows: Sequence[RunRow]) -> list[str]:
    """Returns the settings that distinguish the arms, without settings that follow from others."""
    named: list[str] = []
    for key in _settings(rows) if rows else []:
        if len({_values(row, [*named, key]) for row in rows}) > len(
            {_values(row, named) for row in rows}
        ):
            named.append(key)
    return named


def parse_control(text: str) -> Mapping[str, Any] | str:
    """Returns `key=value key=value` as settings, and any other text, a name, unchanged."""
    if "=" not in text:
        return text
    return {
        key: yaml.safe_load(value)
        for key, _, value in (setting.partition("=") for setting in text.split())
    }


def control_arm(found: Sequence[Arm], control: Mapping[str, Any] | str) -> Arm:
    """Returns the only arm with this experiment or text, or with these settings.

    Raises ValueError if no arm or several arms match."""
    if isinstance(control, str):
        matches = [arm for arm in found if control in (arm.settings.get("experiment"), arm.text)]
        name = control
    else:
        matches = [
            arm
            for arm in found
            if all(
                key in arm.settings and natural(arm.settings[key]) == natural(control[key])
                for key in control
            )
        ]
        name = " ".join(f"{key}={setting_text(value)}" for key, value in control.items())
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(
            f"the control {name} matches several arms: {_listed(matches)}; name one by its settings"
        )
    raise ValueError(f"no arm matches the control {name}; the arms are: {_listed(found)}")


def paired_table(
    comparison: Comparison,
    control: Mapping[str, Any] | str,
    metrics: Sequence[str] | None = None,
    margins: Mapping[str, float] = MARGINS,
    confidence: float = 0.95,
    n_images: int | None = None,
) -> list[PairedRow]:
    """Returns a row for each metric (None: all) and arm, the control first.

    `control` is the name of an experiment, or settings that only the control has. `margins` of
    "accuracy" and "r2" are fractions. `n_images` is the number of images that an accuracy was
    measured on, None if unknown. Raises ValueError for an unknown metric, for a control that
    matches no arm or several, and for two completed runs of an arm with the same seed.
    """
    columns = comparison.columns
    known = columns[columns.index("state") + 1 : columns.index("verdict")]
    unknown = [metric for metric in metrics or [] if metric not in known]
    if unknown:
        raise ValueError(f"no metric {', '.join(unknown)}; there are: {', '.join(known) or 'none'}")
    found = arms(comparison.rows)
    first = control_arm(found, control)
    ordered = [first, *(arm for arm in found if arm is not first)]
    return [
        row
        for metric in metrics or known
        for row in _rows(ordered, metric, margins, confidence, n_images)
    ]


def paired_dict(rows: Sequence[PairedRow]) -> dict[str, Any]:
    """Returns the rows for JSON, as plain numbers, texts and None."""
    return {
        "control": next((row.arm for row in rows if row.is_control), None),
        "rows": [asdict(row) for row in rows],
    }


def _rows(
    ordered: Sequence[Arm],
    metric: str,
    margins: Mapping[str, float],
    confidence: float,
    n_images: int | None,
) -> list[PairedRow]:
    values = [arm.values(metric) for arm in ordered]
    differences = [
        None,
        *(paired_difference(treatment, values[0], confidence) for treatment in values[1:]),
    ]
    # keyed by position, since two arms may have the same text
    adjusted = holm(
        {str(i): difference.p for i, difference in enumerate(differences) if difference is not None}
    )
    margin = next((margins.get(kind) for part, kind in KINDS.items() if part in metric), None)
    return [
        PairedRow(
            arm=arm.text,
            settings=arm.settings,
            is_control=i == 0,
            metric=metric,
            confidence=confidence,
            mean=mean_interval(values[i].values(), confidence),
            difference=difference,
            p_holm=adjusted.get(str(i)),
            margin=margin,
            non_inferiority=_non_inferiority(difference, margin),
            completed=len(arm.completed()),
            collapsed=arm.collapsed(),
            others=dict(Counter(row["state"] for row in arm.rows if row["state"] != "completed")),
            noise=_noise(metric, values[i].values(), n_images),
        )
        for i, (arm, difference) in enumerate(zip(ordered, differences, strict=True))
    ]


def _non_inferiority(difference: PairedDifference | None, margin: float | None) -> str | None:
    if difference is None or margin is None:
        return None
    return non_inferior(difference, margin) if difference.n >= FEWEST else "too few seeds"


def _noise(metric: str, values: Iterable[float], n_images: int | None) -> SeedAndSample | None:
    found = [value for value in values if 0 <= value <= 1]
    if n_images is None or len(found) < 2 or "class_from" not in metric:
        return None
    return seed_and_sample(found, n_images)


def _settings(rows: Sequence[RunRow]) -> list[str]:
    keys = list(rows[0])
    return [key for key in keys[: keys.index("run")] if key != "seed"]


def _values(row: RunRow, keys: Iterable[str]) -> tuple[Any, ...]:
    return tuple(natural(row[key]) for key in keys)


def _text(row: RunRow, named: Iterable[str]) -> str:
    parts = (
        setting_text(row[key]) if key == "experiment" else f"{key}={setting_text(row[key])}"
        for key in named
    )
    return " ".join(parts) or "all runs"


def _listed(found: Iterable[Arm]) -> str:
    return "; ".join(arm.text for arm in found) or "none"


def short_names(found: Sequence[Arm]) -> dict[str, str]:
    """Returns {text of an arm: short name}.

    The short name is the auxiliary loss if only this distinguishes the arms. Otherwise it is the
    experiment with the settings that distinguish the arms of this experiment. Options of auxiliary
    losses that the arm does not use are left out."""
    named = telling_keys([row for arm in found for row in arm.rows])
    if named == ["aux"]:
        return {arm.text: setting_text(arm.settings["aux"]) for arm in found}
    names = {arm.text: _short_name(arm, found, named) for arm in found}
    return (
        names if len(set(names.values())) == len(found) else {arm.text: arm.text for arm in found}
    )


def _short_name(arm: Arm, found: Sequence[Arm], named: Sequence[str]) -> str:
    family, parts = list(found), []
    if "experiment" in arm.settings:
        family = [
            other for other in found if other.settings["experiment"] == arm.settings["experiment"]
        ]
        parts = [str(arm.settings["experiment"])]
    for key in named:
        value = arm.settings[key]
        lacks = value is None and key.startswith("aux.")
        if (
            key != "experiment"
            and not lacks
            and len({natural(other.settings[key]) for other in family}) > 1
        ):
            parts.append(f"{key}={setting_text(value)}")
    return " ".join(parts) or arm.text
