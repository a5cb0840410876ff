"""Tokenisers, which convert grids into tokens, by name and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from jepa_lab.studies.arc.data.batch import GridTokens
from jepa_lab.studies.arc.data.task import Grid
from jepa_lab.studies.arc.data.tokens.patches import Patches
from jepa_lab.studies.arc.data.tokens.published_slots import PublishedSlots
from jepa_lab.studies.arc.data.tokens.slots import ObjectSlots


class Tokeniser(Protocol):
    """Converts n grids into GridTokens. The tokens of a grid do not depend on the other grids.

    With `rows` (m,) int64 the result has the tokens of the grids with these numbers, in this order.
    An empty grid has no tokens.
    """

    fingerprint: str  # kind and options, which determine the meaning of the tokens
    n_colors: int  # number of colours of a token
    n_features: int
    max_tokens: int  # number of places for the largest grid

    def __call__(self, grids: Sequence[Grid], rows: Tensor | None = None) -> GridTokens: ...

    def places(self, grids: Sequence[Grid]) -> int:
        """Returns N of the GridTokens of these grids. Transforms of the grids do not change it."""
        ...


KINDS: dict[tuple[str, str | None], Callable[..., Tokeniser]] = {
    ("slots", "objects"): ObjectSlots,
    ("slots", "published"): PublishedSlots,
    ("patches", None): Patches,
}


def make_tokeniser(name: str, **options: Any) -> Tokeniser:
    """Returns the tokeniser `slots` (with slot_features=objects, the default, or published) or
    `patches`, with the options of that kind.

    Raises ValueError for an unknown name or option, or an invalid value.
    """
    names = sorted({kind for kind, _ in KINDS})
    if name not in names:
        raise ValueError(f"tokeniser: {name!r} is none of {', '.join(names)}")
    features = options.pop("slot_features", "objects") if name == "slots" else None
    if (name, features) not in KINDS:
        raise ValueError(f"slot_features: {features!r} is none of objects, published")
    kind = KINDS[name, features]
    known = list(inspect.signature(kind).parameters)
    for option in options:
        if option not in known:
            what = name if features is None else f"{name} with slot_features={features}"
            raise ValueError(f"tokeniser {what}: no option {option!r}; it has {', '.join(known)}")
    return kind(**options)
