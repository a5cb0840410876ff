"""What a user hands to the monitor, as tensors of known meaning. A shape is never guessed: three
dimensions may be views or tokens, and four are a map."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lab.metrics.arrays import as_tensor

DIMENSIONS = {"embedding": 2, "views": 3, "tokens": 3, "map": 4}
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
WHOLE = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
SHAPES = {
    "embedding": "(n, d)",
    "views": "(n, views, d)",
    "tokens": "(n, tokens, d)",
    "map": "(n, channels, height, width), averaged over its places",
}
# outputs that a model returns beside its features; they are judged only if they are named
NO_FEATURES = {
    *("label", "labels", "onehot", "one_hot", "y_hat", "index", "mask", "loss", "logit", "logits"),
    *("preds", "predictions", "probs", "probabilities", "scores", "pixel_values", "batch"),
    *("image", "images"),
}
# the same, unless they look like features: floats of two dimensions, as the targets of a JEPA
PERHAPS = {"target", "targets", "x", "y", "input", "inputs"}


def require_roles(roles: Mapping[str, str]) -> None:
    """Raises ValueError for a role that is none."""
    for name, role in roles.items():
        if role not in DIMENSIONS:
            known = ", ".join(f"{r} {shape}" for r, shape in SHAPES.items())
            raise ValueError(f"role of {name!r}: {role!r} is none of {known}")


def chosen(
    features: Mapping[str, Any],
    taps: Collection[str] | None,
    roles: Mapping[str, str],
    strict: bool = True,
) -> dict[str, Any]:
    """Returns the entries to judge: those of `taps`, or else all but those of NO_FEATURES and
    PERHAPS.

    Entries with a role are features, whatever they are called. Raises ValueError for a tap that is
    missing, if `strict`.
    """
    if taps is not None:
        missing = [name for name in taps if name not in features]
        if missing and not strict:
            return {name: features[name] for name in taps if name in features}
        if missing:
            raise ValueError(
                f"taps: no features {missing[0]!r}; there are {', '.join(map(str, features))}"
            )
        return {name: features[name] for name in taps}
    return {
        str(name): value
        for name, value in features.items()
        if name in roles or not _is_none(str(name).lower(), value)
    }


def _is_none(name: str, value: Any) -> bool:
    """Returns whether an output is no feature, by its name and, where that leaves it open, its
    shape and type."""
    if name not in PERHAPS:
        return name in NO_FEATURES
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    floats = value.is_floating_point() if isinstance(value, Tensor) else kind == "f"
    return not floats or getattr(value, "ndim", 0) != 2


def as_features(name: str, value: Any, role: str | None = None) -> tuple[Tensor, str]:
    """Returns features as a tensor without gradient, of a floating type, and their role. A map is
    averaged over its places and becomes an embedding.

    Tensors stay on their device. NumPy arrays and nested lists are converted. Raises ValueError for
    a shape that does not fit the role, and for three or four dimensions without a role.
    """
    z = value.detach() if isinstance(value, Tensor) else as_tensor(_array(name, value))
    if z.layout != torch.strided or z.is_nested or z.is_meta or z.is_quantized:
        kind = "nested" if z.is_nested else "meta" if z.is_meta else str(z.layout)
        raise ValueError(f"features {name!r} are a {kind} tensor; expected a dense one with values")
    if z.dtype not in FLOATS | WHOLE:
        raise ValueError(f"features {name!r} hold {z.dtype}; expected numbers, such as float32")
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
    if np.ma.isMaskedArray(value):
        raise ValueError(f"features {name!r} are a masked array; leave the masked rows out")
    try:
        array = np.asarray(value)
    except (ValueError, RuntimeError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"features {name!r} are no array of numbers ({reason})") from None
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        raise ValueError(f"features {name!r} hold {array.dtype}; expected numbers")
    return array


def _wanted(name: str, role: str | None, z: Tensor) -> str:
    if role is not None:
        return f"the role {role} needs {SHAPES[role]}"
    fitting = [r for r, dims in DIMENSIONS.items() if dims == z.ndim]
    if not fitting:
        return f"expected {SHAPES['embedding']}"
    say = " or ".join(f"role={{{name!r}: {r!r}}} for {SHAPES[r]}" for r in fitting)
    return f"say what they are: {say}"
