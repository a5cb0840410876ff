"""Tokenisers by name: what turns grids into tokens, and what a configuration may say about them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from jepa_lab.studies.arc.data.batch import GridTokens
from jepa_lab.studies.arc.data.task import Grid
from jepa_lab.studies.arc.data.tokens.patches import Patches
from jepa_lab.studies.arc.data.tokens.published_slots import PublishedSlots
from jepa_lab.studies.arc.data.tokens.slots import ObjectSlots


class Tokeniser(Protocol):
    """Turns n grids into GridTokens, each grid alone: the tokens of one do not depend on the others
    of the call."""

    fingerprint: str  # its kind and options, and so what its tokens mean
    n_colors: int  # colours a token holds
    n_features: int
    max_tokens: int  # places of the largest grid

    def __call__(self, grids: Sequence[Grid]) -> GridTokens: ...

    def places(self, grids: Sequence[Grid]) -> int:
        """N of the GridTokens of these grids, which a transform of them does not change."""
        ...


KINDS: dict[tuple[str, str | None], Callable[..., Tokeniser]] = {
    ("slots", "objects"): ObjectSlots,
    ("slots", "published"): PublishedSlots,
    ("patches", None): Patches,
}


def make_tokeniser(name: str, **options: Any) -> Tokeniser:
    """`slots` (with slot_features=objects, the default, or published) or `patches`, with the
    options of that kind.

    Raises ValueError, one line, for a name or an option that it does not know, or a value that
    cannot be.
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
            said = name if features is None else f"{name} with slot_features={features}"
            raise ValueError(f"tokeniser {said}: no option {option!r}; it has {', '.join(known)}")
    return kind(**options)
