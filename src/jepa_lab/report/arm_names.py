"""What the arms of a comparison are called: as short as tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from jepa_lab.report.differences import natural, setting_text
from jepa_lab.report.paired import Arm, telling_keys


def short_names(found: Sequence[Arm]) -> dict[str, str]:
    """{an arm's text: its experiment, and what tells it from other arms of that experiment}; the auxiliary loss where
    only this tells the arms apart. Options of an auxiliary loss that an arm does not have are left out."""
    named = telling_keys([row for arm in found for row in arm.rows])
    if named == ["aux"]:
        return {arm.text: setting_text(arm.settings["aux"]) for arm in found}
    names = {arm.text: _short_name(arm, found, named) for arm in found}
    return names if len(set(names.values())) == len(found) else {arm.text: arm.text for arm in found}


def _short_name(arm: Arm, found: Sequence[Arm], named: Sequence[str]) -> str:
    family, parts = list(found), []
    if "experiment" in arm.settings:
        family = [other for other in found if other.settings["experiment"] == arm.settings["experiment"]]
        parts = [str(arm.settings["experiment"])]
    for key in named:
        value = arm.settings[key]
        lacks = value is None and key.startswith("aux.")
        if key != "experiment" and not lacks and len({natural(other.settings[key]) for other in family}) > 1:
            parts.append(f"{key}={setting_text(value)}")
    return " ".join(parts) or arm.text
