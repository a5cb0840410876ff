"""Checks whether a checkpoint fits a module, before a run resumes from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from jepa_lab.callbacks.checkpoints import KEPT

# what Lightning needs to resume, and the type of it
PARTS = {
    "epoch": int,
    "global_step": int,
    "state_dict": Mapping,
    "loops": Mapping,
    "callbacks": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
}
# what is left of a completed run, see callbacks/kept_checkpoints.py
WITHOUT_TRAINING = ("epoch", "global_step", "state_dict", "callbacks")


def require_fit(module: nn.Module, content: Mapping[str, Any]) -> None:
    """Raises ValueError unless a checkpoint has all parts (of a completed run, those that are not
    about training), and the tensors of the module with their
    names, shapes and types."""
    wanted_parts = {name: PARTS[name] for name in (WITHOUT_TRAINING if KEPT in content else PARTS)}
    for name, kind in wanted_parts.items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"no {name}" if name not in content else f"{name} is of another kind")
    if min(content["epoch"], content["global_step"]) < 0:
        raise ValueError("a negative step")
    found, wanted = content["state_dict"], module.state_dict()
    others = sorted(map(str, found.keys() ^ wanted.keys()))
    if others:
        raise ValueError(f"weights of another model: {others[0]}")
    for name, tensor in wanted.items():
        what = _describe(found[name])
        if isinstance(tensor, Tensor) and what != _describe(tensor):
            raise ValueError(f"{name} is {what}, expected {_describe(tensor)}")


def _describe(value: Any) -> str:
    if not isinstance(value, Tensor):
        return f"of type {type(value).__name__}"
    return f"{tuple(value.shape)} of {value.dtype}"
