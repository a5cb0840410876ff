"""The verdict on raw features of any training code."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from jepa_lab.diagnosis.codebook import codebook_finding
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.inputs import code_tensor, feature_tensor, label_classes
from jepa_lab.diagnosis.remedies import Remedies, in_words
from jepa_lab.diagnosis.taps import judge_tap, unused
from jepa_lab.diagnosis.thresholds import Thresholds, distance
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.metrics import collapse_metrics, perplexity, usage

NEIGHBOURS = 2000  # rows for the nearest neighbours, since all pairs are compared
# Powers of ten. Beyond them a sum of squares, or its square, is infinite or 0 in float64.
SQUARABLE = 120
DEAD = 1e-3  # share of the 0.9 quantile of the dimensions' std below which a dimension is dead


def diagnose_features(
    z: Any, *, labels: Any = None, codes: Any = None, reference: Any = None
) -> Verdict:
    """Returns the verdict on features (n, d), or (n, v, d) of v views. Tensors and arrays of any
    library are accepted.

    `labels` are strings, bools or whole numbers, (n,) or one for each row, -1 or NaN for unknown.
    They add the accuracy of the nearest neighbour to the evidence, unless they look like an index:
    more distinct values than half the rows. `codes` are the indices of the chosen codes, of any
    shape, and K is the largest index + 1. Alternatively `codes` are the counts of the K codes, (K,)
    in floating point, which can show that the last codes are unused. `reference` holds the features
    of the same tap at initialisation. Features that are not finite are "diverged", fewer than 32
    rows are "inconclusive". Raises ValueError for another shape or kind.
    """
    z = feature_tensor(z, "z")
    views = z.shape[1] if z.ndim == 3 else 1
    z = z.flatten(0, -2)
    t = Thresholds()
    if not bool(torch.isfinite(z).all()):
        return Verdict("diverged", "z", confidence=1.0, reasons=("features are not finite",))
    largest = float(z.abs().max()) if z.numel() else 1.0
    if z.dtype == torch.float64 and largest > 0 and abs(math.log10(largest)) > SQUARABLE:
        raise ValueError(
            f"z has a largest value of {largest:.2g}, whose square float64 cannot hold; rescale it"
        )
    classes = None if labels is None else label_classes(labels, len(z) // views, views)
    start_z = None if reference is None else feature_tensor(reference, "reference").flatten(0, -2)
    chosen = None if codes is None else code_tensor(codes)
    if len(z) < t.samples:
        return Verdict("inconclusive", "z", reasons=(f"{len(z)} rows; {t.samples:.0f} are needed",))
    now = {**collapse_metrics(z), "d": float(z.shape[1]), **coordinate_shares(z)}
    start = {} if start_z is None else collapse_metrics(start_z)
    # One view of each image: a neighbour that is another view of the same image proves nothing.
    no_classes = "" if classes is None else classes.index_like()
    apart = {}
    if classes is not None and not no_classes:
        apart = separability(z[::views], classes.labels["labels"].to(z.device))
    book = {} if chosen is None else code_counts(chosen)
    found = uniform_rows(z, t) or judge_tap(now, start, t, skill_fell=False)
    found, notes = _with_labels(found, apart, t)
    notes += [f"labels are not used: {no_classes}"] if no_classes else []
    notes += [text for text in [unused(now, t)] if text]
    broken = codebook_finding({f"val/codebook/{k}": [(0, v)] for k, v in book.items()}, t)
    if (
        broken is not None
        and broken.status == "codebook_collapse"
        and found.status in ("healthy", "low_rank")
    ):
        found = broken
    elif broken is not None:
        notes.append(broken.reason)
    first = (
        found.reason
        or f"effective rank {now['effective_rank']:.1f}, spread {now['feature_std_l2']:.2f}"
    )
    evidence = {**now, **apart, **{f"codebook/{k}": v for k, v in book.items()}}
    statuses = (
        {"z": found.status}
        if found.tap != "codebook"
        else {"z": "healthy", "codebook": found.status}
    )
    return Verdict(
        found.status,
        found.tap or "z",
        confidence=found.confidence,
        reasons=(first, *notes),
        evidence=evidence,
        next=in_words(found, {}, Remedies()),
        per_tap=statuses,
    )


def coordinate_shares(z: Tensor) -> dict[str, float]:
    """Returns top_share and dead_share. top_share is the share of the variance in the largest
    coordinate. dead_share is the share of coordinates with almost no variance."""
    variance = z.double().var(dim=0, unbiased=False)
    total, middle = float(variance.sum()), float(variance.sqrt().quantile(0.9))
    if total == 0:
        return {"top_share": 0.0, "dead_share": 1.0}
    dead = (variance.sqrt() <= DEAD * middle).double().mean()
    return {"top_share": float(variance.max()) / total, "dead_share": float(dead)}


def separability(z: Tensor, labels: Tensor) -> dict[str, float]:
    """Returns neighbour_accuracy and chance. neighbour_accuracy is the leave-one-out accuracy of
    the nearest neighbour by cosine on centred rows. chance is the accuracy of a random neighbour.
    It reads at most 2,000 rows, evenly spaced. It returns {} with fewer than 32 labelled rows, with
    fewer than two classes, or if no two rows share a class."""
    rows = (labels >= 0).nonzero().flatten()
    rows = (
        rows[torch.linspace(0, len(rows) - 1, min(len(rows), NEIGHBOURS)).long()]
        if len(rows)
        else rows
    )
    if len(rows) < 32 or len(labels[rows].unique()) < 2:
        return {}
    x, y = z[rows].double(), labels[rows]
    x = torch.nn.functional.normalize(x - x.mean(dim=0), dim=1)
    similar = (x @ x.T).fill_diagonal_(-math.inf)
    counts = torch.unique(y, return_counts=True)[1].double()
    # probability that a random other row has the same class
    chance = float((counts * (counts - 1)).sum()) / (len(y) * (len(y) - 1))
    accuracy = float((y[similar.argmax(dim=1)] == y).double().mean())
    return {"neighbour_accuracy": accuracy, "chance": chance} if chance > 0 else {}


def code_counts(codes: Tensor) -> dict[str, float]:
    """Returns usage, perplexity and size K of the codebook. Code indices are counted, with K the
    largest index + 1. Floating-point codes (K,) are the counts themselves."""
    codes = codes.flatten()
    counts = codes if codes.is_floating_point() else torch.bincount(codes.long())
    return {
        "usage": float(usage(counts)),
        "perplexity": float(perplexity(counts)),
        "size": float(len(counts)),
    }


def uniform_rows(z: Tensor, t: Thresholds) -> Finding | None:
    """Reports rows that are all the uniform distribution. Returns None for other features."""
    if z.shape[1] < 2 or float(z.min()) < 0 or float((z.double().sum(1) - 1).abs().max()) > 1e-3:
        return None
    most = math.log(z.shape[1])
    entropy = float(torch.special.entr(z.double()).sum(1).mean())
    if entropy < t.uniform_entropy * most:
        return None
    reason = f"every row is the uniform distribution: entropy {entropy:.3f} of {most:.3f} nats"
    far = t.confidence(distance(1 - t.uniform_entropy, max(1 - entropy / most, 0.0), 1e-4))
    return Finding("uniform_output", reason, far, quantity="entropy")


def _with_labels(
    found: Finding, apart: dict[str, float], t: Thresholds
) -> tuple[Finding, list[str]]:
    """Adds the evidence of the labels. Labels that the nearest neighbour cannot separate turn a low
    rank into a collapse. In other cases they are a note."""
    if not apart:
        return found, []
    ratio = apart["neighbour_accuracy"] / apart["chance"]
    text = (
        f"nearest-neighbour accuracy {apart['neighbour_accuracy']:.2f}, chance"
        f" {apart['chance']:.2f}"
    )
    if ratio < t.separability and found.status == "low_rank":
        return (
            Finding(
                "dimensional_collapse",
                f"{found.reason}; {text}",
                found.confidence,
                quantity=found.quantity,
            ),
            [],
        )
    return found, [
        text if ratio >= t.separability else f"{text}: the features do not separate the labels"
    ]
