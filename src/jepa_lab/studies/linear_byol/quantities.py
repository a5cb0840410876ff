"""The last values of a toy's run with their healthy ranges, as the rules have them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jepa_lab.diagnosis.quantities import Quantity
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.studies.linear_byol.drift import Columns, column

NAMES = {
    "erank_encoded": "effective rank of z",
    "variance": "variance of z",
    "readout_r2": "read-out R² of the latents",
    "loss_share": "loss, share of the target's variance",
    "excess_loss": "loss above its least value",
    "loss": "loss of the batch",
    "alpha_bound": "largest stable lr_pred",
    "lr_pred": "lr_pred",
}


def least_rank(columns: Columns, t: Thresholds) -> float:
    """Returns the effective rank below which z has one direction left."""
    width = columns.get("d_latent", ())
    return 1.0 if len(width) and width[-1] < 3 else t.toy_rank


def toy_quantities(columns: Columns, steps: Sequence[int], t: Thresholds) -> list[Quantity]:
    """Returns a row for every quantity of NAMES with a finite last value. Those that a rule reads
    by itself have a range."""
    rows = []
    for key, name in NAMES.items():
        points = column(columns, steps, key)
        if not points:
            continue
        first, last = points[0][1], points[-1][1]
        floor = {"erank_encoded": least_rank(columns, t), "variance": t.toy_variance * first}
        limit, text, inside = floor.get(key), "", None
        if limit is not None:
            text, inside = f"{limit:.2g} or more", last >= limit
        elif key == "loss_share":
            text, inside = f"{t.toy_loss_share:g} or less", last <= t.toy_loss_share
        start = None if math.isclose(first, last) else first
        rows.append(Quantity(name, last, start, text, inside, f"val/{key}", limit))
    return rows
