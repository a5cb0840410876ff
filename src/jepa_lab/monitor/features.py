"""What a user hands to the monitor, as tensors of known meaning. A shape is never guessed: three
dimensions may be views or tokens, and four are a map."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

DIMENSIONS = {"embedding": 2, "views": 3, "tokens": 3, "map": 4}
SHAPES = {
    "embedding": "(n, d)",
    "views": "(n, views, d)",
    "tokens": "(n, tokens, d)",
    "map": "(n, channels, height, width), averaged over its places",
}
# outputs that a model returns beside its features; they are judged only if they are named
NO_FEATURES = {
    *("label", "labels", "target", "targets", "onehot", "one_hot", "y", "y_hat", "index", "mask"),
    *("loss", "logit", "logits", "preds", "predictions", "probs", "probabilities", "scores"),
    *("image", "images", "input", "inputs", "pixel_values", "x", "batch"),
}


def require_roles(roles: Mapping[str, str]) -> None:
    """Raises ValueError for a role that is none."""
    for name, role in roles.items():
        if role not in DIMENSIONS:
            known = ", ".join(f"{r} {shape}" for r, shape in SHAPES.items())
            raise ValueError(f"role of {name!r}: {role!r} is none of {known}")


def chosen(
    features: Mapping[str, Any], taps: Collection[str] | None, roles: Mapping[str, str]
) -> dict[str, Any]:
    """Returns the entries to judge: those of `taps`, or else all that are called like features.

    Entries with a role are features, whatever they are called. Raises ValueError for a tap that is
    missing.
    """
    if taps is not None:
        missing = [name for name in taps if name not in features]
        if missing:
            raise ValueError(
                f"taps: no features {missing[0]!r}; there are {', '.join(map(str, features))}"
            )
        return {name: features[name] for name in taps}
    return {
        str(name): value
        for name, value in features.items()
        if name in roles or str(name).lower() not in NO_FEATURES
    }


def as_features(name: str, value: Any, role: str | None = None) -> tuple[Tensor, str]:
    """Returns features as a tensor without gradient, of a floating type, and their role. A map is
    averaged over its places and becomes an embedding.

    Tensors stay on their device. NumPy arrays and nested lists are converted. Raises ValueError for
    a shape that does not fit the role, and for three or four dimensions without a role.
    """
    z = value.detach() if isinstance(value, Tensor) else torch.from_numpy(_array(name, value))
    if z.dtype == torch.bool or z.is_complex():
        raise ValueError(f"features {name!r} hold {z.dtype}; expected numbers")
    if not z.is_floating_point():
        z = z.double()
    expected = role or {2: "embedding"}.get(z.ndim)
    if expected is None or z.ndim != DIMENSIONS[expected] or 0 in z.shape[1:]:
        raise ValueError(f"features {name!r} have shape {tuple(z.shape)}; {_wanted(name, role, z)}")
    if expected == "map":
        return z.flatten(2).mean(dim=2, dtype=torch.promote_types(z.dtype, torch.float32)), (
            "embedding"
        )
    return z, expected


def _array(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"features {name!r} hold {array.dtype}; expected numbers")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(native if native.dtype.kind == "f" else native.astype(np.float64))


def _wanted(name: str, role: str | None, z: Tensor) -> str:
    if role is not None:
        return f"the role {role} needs {SHAPES[role]}"
    fitting = [r for r, dims in DIMENSIONS.items() if dims == z.ndim]
    if not fitting:
        return f"expected {SHAPES['embedding']}"
    say = " or ".join(f"role={{{name!r}: {r!r}}} for {SHAPES[r]}" for r in fitting)
    return f"say what they are: {say}"
