"""What a mean common to all rows costs, by its length over that of the differences.

Measured on ten classes in 64 dimensions with a spread of 1 and a common vector of length r added
(tests/diagnosis/test_offset.py repeats it): held-out accuracy of a linear probe on centred
features, of the nearest neighbour by cosine, and rounding error over variance behind a next layer.

| r | probe, float32 | probe, stored in bf16 | cosine, float32 | cosine, bf16 | next layer, bf16 |
|---|---|---|---|---|---|
| 1 | 1.00 | 1.00 | 1.00 | 1.00 | 0.0 |
| 10 | 1.00 | 1.00 | 1.00 | 0.89 | 0.001 |
| 20 | 1.00 | 1.00 | 1.00 | 0.34 | 0.002 |
| 100 | 1.00 | 1.00 | 1.00 | 0.11 (chance) | 0.05 |
| 1,000 | 1.00 | 0.97 | 0.97 | 0.10 | 4.2 |

The decision follows: up to 20 times the spread nothing is lost that centring does not give back,
and the offset is a note. Beyond (spread 0.05, cosine 0.9975) cosines in bf16 no longer find
neighbours, fewer than 8 % of the next layer's ReLU units still switch between rows, and the
features are called alike, unless labels show that they are told apart.
"""

from __future__ import annotations

import math

from torch import Tensor

from jepa_lab.diagnosis.looking import percent
from jepa_lab.diagnosis.taps import judge_tap
from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.metrics import collapse_metrics

WIDTH = 16  # dimensions: of fewer, two may hold most of a random mean
SWITCHING = 1.6  # of r: share of the units of a random layer whose sign differs between the rows


def offset_note(ratio: float, t: Thresholds) -> str:
    """Returns what a common mean of `ratio` times the spread (mean_to_std_ratio) costs, or '' if it
    costs nothing or if the rows do not vary."""
    if not math.isfinite(ratio) or ratio < t.offset:
        return ""
    times = f"the common mean is {ratio:,.0f} times the spread"
    if ratio < t.offset_limit:
        cosine = "bf16 cosines lose neighbours unless the features are centred"
        return f"{times}: a linear probe and float32 cosines lose nothing, {cosine}"
    if ratio < t.offset_float:
        return (
            f"{times}: a linear probe on centred features loses nothing, nor do float32 cosines;"
            " bf16 cosines lose the neighbours, and"
            f" {100 * SWITCHING / ratio:.2g} % of a next layer's ReLU units switch"
        )
    return (
        f"{times}: a linear probe on centred float32 features loses nothing; cosines lose the"
        " neighbours in bf16 and begin to in float32, and in bf16 the rounding error of a next"
        " layer is as large as the differences"
    )


def massive_note(x: Tensor, ratio: float, t: Thresholds) -> str:
    """Returns a note if one or two dimensions of the rows (n, d) hold nearly all of a large common
    mean, with the status of the other dimensions, or ''. `ratio` is the mean over the spread."""
    if not ratio >= t.offset or x.shape[1] < WIDTH:
        return ""
    mean = x.double().mean(dim=0)
    largest = (mean / mean.abs().max()).square()
    shares, order = (largest / largest.sum()).sort(descending=True)
    held = shares.cumsum(dim=0)
    count = next((k for k in (1, 2) if float(held[k - 1]) >= t.massive), 0)
    if count == 0:
        return ""
    top = sorted(order[:count].tolist())
    rest = x[:, sorted(order[count:].tolist())]
    now = {**collapse_metrics(rest), "d": float(rest.shape[1])}
    status = judge_tap(now, {}, t, skill_fell=False).status
    where = f"dimension{'s' if count > 1 else ''} {' and '.join(map(str, top))}"
    kind, them = ("a massive activation", "it") if count == 1 else ("massive activations", "them")
    return (
        f"{percent(float(held[count - 1]))} of the squared common mean is in {where}: {kind};"
        f" without {them}: {status}, effective rank {now['effective_rank']:.1f}"
    )
