"""The arms of the group `aux`: from mappings of keys to the options that their losses read."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from jepa_lab.auxiliary.coding_rate import CodingRateOptions
from jepa_lab.auxiliary.contract import AuxOptions
from jepa_lab.auxiliary.sigreg import SigregOptions
from jepa_lab.studies.arc.config import FAMILIES

TAKEN = ("prediction", "rate", "supervised", "total")  # terms of a seq-JEPA's objective
TAKEN_BY_ARC = ("prediction", "info_nce", "total", "vq", "commitment", "codebook", "usage", "relational",
                "relational_self", *(f"invariance_{family}" for family in FAMILIES))  # fmt: skip


def checked_arms(aux: Mapping[str, Any], lambda_rate: float) -> tuple[dict[str, AuxOptions], float]:
    """The arms' options, and the weight of the coding rate that they make of `lambda_rate`.

    ValueError for a name that is no arm's, keys that the loss does not have, values out of range, and two weights of
    the coding rate that contradict each other.
    """
    arms = {str(name): _options(str(name), given, TAKEN) for name, given in aux.items()}
    rates = [(name, arm.weight) for name, arm in arms.items() if isinstance(arm, CodingRateOptions)]
    if len(rates) > 1:
        raise ValueError(f"aux={','.join(name for name, _ in rates)}: there is one coding rate; give one of them")
    for name, weight in rates:
        arms[name].refuse_site(f"aux.{name}")  # type: ignore[attr-defined]
        if weight and lambda_rate and weight != lambda_rate:
            raise ValueError(
                f"aux.{name}.weight={weight:g} and loss.lambda_rate={lambda_rate:g} contradict: both weigh the one "
                f"coding rate; give aux.{name}.weight alone"
            )
        lambda_rate = weight or lambda_rate
    return arms, lambda_rate


def checked_arc_arms(aux: Mapping[str, Any], sigreg_weight: float) -> dict[str, AuxOptions]:
    """The options of an ARC JEPA's arms, the coding rate one like the others. ValueError as for checked_arms, and for
    SIGReg of the same tap in `aux` and in the objective, whose weight is `sigreg_weight`."""
    arms: dict[str, AuxOptions] = {}
    for name, given in aux.items():
        options = _options(str(name), given, TAKEN_BY_ARC)
        arms[str(name)] = options.at_tap(f"aux.{name}") if isinstance(options, CodingRateOptions) else options
    for name, arm in arms.items():
        same = isinstance(arm, SigregOptions) and arm.site == "z_hat" and arm.proj_output_dim is None
        if same and arm.weight > 0 and sigreg_weight > 0:
            raise ValueError(
                f"aux.{name}.site=z_hat and loss.sigreg.weight={sigreg_weight:g} are SIGReg of one tap; give one "
                "of them, or another site"
            )
    return arms


def _options(name: str, given: Any, taken: Sequence[str]) -> AuxOptions:
    key = f"aux.{name}"
    if name in taken or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{key}: no name for an arm; small letters, digits and _, and none of {', '.join(taken)}")
    if isinstance(given, AuxOptions):
        given = vars(given)
    if not isinstance(given, Mapping):
        raise ValueError(f"{key}={given}: expected the keys of an arm, as aux=vicreg gives them")
    try:
        kind = _class(key, given.get("_target_"))
        options = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), dict(given)))
    except OmegaConfBaseException as error:
        from jepa_lab.config.check import describe

        missing = getattr(error, "full_key", None) if "Structured config of type" in str(error) else None
        text = f"{missing} is missing" if missing else describe(error)
        raise ValueError(f"{key}.{text}") from error
    assert isinstance(options, AuxOptions)
    options.check(key)
    return options


def _class(key: str, path: Any) -> type[AuxOptions]:
    """The class of options at a dotted path. ValueError if there is none."""
    module, _, name = str(path or "").rpartition(".")
    if not module:
        raise ValueError(f"{key}._target_={path}: expected the class of the loss's options, as package.module.Options")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{key}._target_={path}: {error}") from error
    except Exception as error:  # whatever the user's own file does when it is read
        told = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
        raise ValueError(f"{key}._target_={path}: {module} cannot be imported: {told}") from error
    if not (isinstance(found, type) and issubclass(found, AuxOptions)):
        raise ValueError(f"{key}._target_={path}: no class of options (a dataclass on jepa_lab.auxiliary.AuxOptions)")
    return found
