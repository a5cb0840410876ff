"""The view groups by name."""

import inspect
from collections.abc import Sequence
from typing import Any

from jepa_lab.data.views.affine import Affine
from jepa_lab.data.views.augment import Augment
from jepa_lab.data.views.rendered_views import Rendered
from jepa_lab.data.views.rotation import Rotation
from jepa_lab.data.views.saccade import Saccade
from jepa_lab.data.views.view_group import ViewGroup, choice
from jepa_lab.errors import UserError, nearest

__all__ = [
    "VIEW_GROUPS",
    "Affine",
    "Augment",
    "Rendered",
    "Rotation",
    "Saccade",
    "ViewGroup",
    "make_view_group",
]

VIEW_GROUPS: dict[str, type[ViewGroup]] = {
    "rotation": Rotation,
    "affine": Affine,
    "augment": Augment,
    "saccade": Saccade,
    "rendered": Rendered,
}


def make_view_group(
    kind: str,
    *,
    n_views: int,
    mean: Sequence[float],
    std: Sequence[float],
    first_view: str = "reference",
    **options: Any,
) -> ViewGroup:
    """Returns the view group `kind` of VIEW_GROUPS with its options. Raises UserError for an
    unknown kind, option or value."""
    group = VIEW_GROUPS[choice("views", kind, tuple(VIEW_GROUPS))]
    known = [
        p.name for p in inspect.signature(group).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    for option in options:
        if option not in known:
            raise UserError(
                f"dataset.{option}: not an option of {kind} views{nearest(option, known)}"
            )
    return group(n_views=n_views, mean=mean, std=std, first_view=first_view, **options)
