"""Refuses overrides that would have Hydra start a class that they name."""

from __future__ import annotations

from collections.abc import Iterable

from jepa_lab.errors import UserError


def refuse_classes(overrides: Iterable[str]) -> None:
    """Raises UserError for an override that names the class of a launcher, a sweeper or a callback
    of Hydra, as in hydra.launcher._target_=os.system. An option of a group selects such a class."""
    for override in overrides:
        if override.lstrip("+~").startswith("hydra") and "_target_" in override:
            raise UserError(
                f"{override}: the class of a part of Hydra cannot be given; choose an option, as in"
                " hydra/launcher=joblib"
            )
