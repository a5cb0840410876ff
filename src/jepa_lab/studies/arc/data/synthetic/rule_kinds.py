"""Kinds of rules, by which results on synthetic tasks are split."""

from __future__ import annotations

from jepa_lab.studies.arc.data.synthetic.rules import Conditional, Repeat, Rule, RuleStep

# kinds of rules of one step, by what the step does to the grid
PRIMITIVES_BY_KIND = {
    "move": ("mirror_x", "mirror_y", "rotate90", "translate", "gravity", "fall"),
    "recolor": (
        *("recolor", "invert_palette", "threshold_gt", "flood_fill"),
        *("merge_touching", "recolor_object"),
    ),
    "draw": ("extend", "spread", "outline", "fill_holes", "border"),
    "remove": ("peel", "hollow", "keep_object", "keep_color"),
    "resize": ("extract_shape", "crop_to_content", "append_mirror", "scale_up"),
}
SEQUENTIAL, CONDITIONAL, REPEATED = "sequential", "conditional", "repeated"
_KIND = {name: kind for kind, names in PRIMITIVES_BY_KIND.items() for name in names}


def kind_of(rule: Rule) -> str:
    """Returns the kind of a rule: that of its primitive for a single step, otherwise sequential,
    conditional or repeated."""
    if isinstance(rule, RuleStep):
        return _KIND[rule.name]
    if isinstance(rule, Conditional):
        return CONDITIONAL
    return REPEATED if isinstance(rule, Repeat) else SEQUENTIAL
