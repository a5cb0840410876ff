"""The word aux=... of a command line: which arms may stand together. Hydra would keep one of two that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException

from jepa_lab.errors import UserError


def check_stacked(words: Sequence[str]) -> None:
    """UserError for arms stacked with themselves, with none, or in lists of lists. What Hydra cannot read it says."""
    for word in words:
        if not word.lstrip("+").startswith("aux="):
            continue
        try:
            value = OverridesParser.create().parse_override(word).value()
        except HydraException:
            continue
        for arms in value.list if isinstance(value, ChoiceSweep) else [value]:
            if isinstance(arms, list):
                _check([_plain(arm) for arm in arms])


def _check(arms: list[Any]) -> None:
    listed = f"aux=[{','.join(map(str, arms))}]"
    if any(isinstance(arm, list) for arm in arms):
        raise UserError(f"{listed}: arms stand in one list, as aux=[vicreg,sigreg]")
    if "none" in arms and len(arms) > 1:
        raise UserError(f"{listed}: none is no loss that could be stacked; leave it out")
    twice = next((arm for arm in arms if arms.count(arm) > 1), None)
    if twice is not None:
        raise UserError(f"{listed}: {twice} is given twice; its keys are aux.{twice}.weight and the like")


def _plain(arm: Any) -> Any:
    return arm.text if isinstance(arm, QuotedString) else arm
