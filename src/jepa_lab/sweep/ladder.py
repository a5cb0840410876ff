"""tier=ladder: ordinary runs of several tiers one after another, up to the first whose gates
fail."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig, open_dict

from jepa_lab.config.shared_check import SharedCheck
from jepa_lab.studies import checked

RUNGS = ("smoke", "quick", "baseline")


def checked_rungs(cfg: DictConfig, shared: SharedCheck | None = None) -> list[Any]:
    """Returns the checked configurations of a job: one, or for tier=ladder one per rung. With
    `shared`, which checks jobs of a sweep faster, `cfg` may have the node `hydra`. Raises UserError
    if any is invalid."""
    if (
        "tier" not in cfg
        or not isinstance(cfg.tier, DictConfig)
        or cfg.tier.get("name") != "ladder"
    ):
        return [checked(cfg, shared)]
    rungs = []
    for name in RUNGS:
        rung = copy.deepcopy(cfg)
        with open_dict(rung):
            rung.tier.name = name
        rungs.append(checked(rung, shared))
    return rungs


def climb(rungs: Sequence[Any], train: Callable[[Any], Any]) -> Any:
    """Trains the configurations (of one study) one after another and returns the last result.

    Ends after the first run that does not complete or whose gates fail.
    """
    for config in rungs:
        if len(rungs) > 1:
            print(f"\nladder: tier={config.tier.name}", file=sys.stderr, flush=True)
        result = train(config)
        if result.state in ("failed", "stopped"):
            break
        if not result.gates_passed:
            if config is not rungs[-1]:
                print(f"ladder: stopped at tier={config.tier.name}, whose gates failed", flush=True)
            break
    return result
