"""Checks whether a checkpoint fits a module, before a run resumes from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

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


def require_fit(module: nn.Module, content: Mapping[str, Any]) -> None:
    """Raises ValueError unless a checkpoint has all parts, and the tensors of the module with their
    names, shapes and types."""
    for name, kind in PARTS.items():
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
