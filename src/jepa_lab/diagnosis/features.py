"""The verdict on raw features of any training code."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from jepa_lab.config.statuses import COLLAPSES, PASSES
from jepa_lab.diagnosis.blocks import alternating_note, block_note
from jepa_lab.diagnosis.codes import Codes, codes_finding, read_codes
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.inputs import feature_tensor, label_classes, reference_rows
from jepa_lab.diagnosis.looking import SQUARABLE, Look, look
from jepa_lab.diagnosis.offset import massive_note, offset_note
from jepa_lab.diagnosis.places import judge_about, judge_places
from jepa_lab.diagnosis.plain import PlainRemedies
from jepa_lab.diagnosis.remedies import in_words
from jepa_lab.diagnosis.separability import evidence, hear, separability
from jepa_lab.diagnosis.taps import judge_tap, unused
from jepa_lab.diagnosis.thresholds import Thresholds, distance
from jepa_lab.diagnosis.verdict import Verdict
from jepa_lab.metrics import collapse_metrics
from jepa_lab.metrics.variance_parts import without_place

DEAD = 1e-3  # share of the 0.9 quantile of the dimensions' std below which a dimension is dead


def diagnose_features(
    z: Any,
    *,
    labels: Any = None,
    codes: Any = None,
    reference: Any = None,
    codebook_size: Any = None,
) -> Verdict:
    """Returns the verdict on features (n, d), or (n, v, d) of v views. Tensors and arrays of any
    library are accepted.

    `labels` are strings, bools or whole numbers, (n,) or one for each row, -1 or NaN for unknown.
    They add the accuracy of the nearest neighbour to the evidence, unless they look like an index:
    more distinct values than half the rows. `codes` are the indices of the chosen codes, -1 for
    none: one for each row of z, or one for each row and level of a residual or product quantiser,
    (n, levels); of any other shape they belong to one codebook. `codebook_size` is the number of
    codes, or one number for each level; without it K is the largest index + 1. Alternatively
    `codes` are the counts of the K codes in floating point, (K,) or (levels, K). `reference` holds
    the features of the same tap at initialisation. Features with rows that are not finite are
    "diverged", and the verdict on the other rows follows. Fewer than 32 rows are "inconclusive".
    Raises ValueError for another shape or kind.
    """
    z = feature_tensor(z, "z")
    shape, views = tuple(z.shape[:-1]), z.shape[1] if z.ndim == 3 else 1
    t = Thresholds()
    classes = None if labels is None else label_classes(labels, len(z), views)
    start_z, of_start = (None, "") if reference is None else reference_rows(reference)
    book = None if codes is None else read_codes(codes, codebook_size, shape)
    if book is None and codebook_size is not None:
        raise ValueError("codebook_size is given without codes")
    no_classes = "" if classes is None else classes.index_like()
    usable = None if no_classes else classes
    numbers = None if usable is None else usable.labels["labels"].to(z.device)
    seen = look(z, t, numbers)
    _require_squarable(seen.x)
    if len(seen.x) < t.samples:
        verdict = _too_few(seen, t)
    else:
        start = {} if start_z is None else collapse_metrics(start_z)
        verdict = _verdict(_judge(seen, numbers, start, t), seen, t, book)
    remarks = [of_start] if of_start else []
    if start_z is not None and torch.equal(start_z, z.flatten(0, -2).to(start_z)):
        remarks.append("z equals the reference: nothing was trained, or no weights were loaded")
    if no_classes:
        remarks.append(f"labels are not used: {no_classes}")
    verdict = replace(verdict, reasons=(*verdict.reasons, *remarks))
    return _diverged(verdict, seen) if seen.broken else verdict


@dataclass
class _Judged:
    """The finding on the features without their codes, notes, and numbers for the evidence."""

    finding: Finding
    first: str
    notes: list[str]
    evidence: dict[str, float]


def _verdict(judged: _Judged, seen: Look, t: Thresholds, book: Codes | None) -> Verdict:
    """Returns the verdict with that on the codes."""
    found, first, notes = judged.finding, judged.first, judged.notes
    broken, of_codes = (None, []) if book is None else codes_finding(book, t)
    if broken is not None and found.status in PASSES:
        found, first = broken, broken.reason
    elif broken is not None:
        notes.append(broken.reason)
    statuses = (
        {"z": found.status}
        if found.tap != "codebook"
        else {"z": "healthy", "codebook": found.status}
    )
    return Verdict(
        found.status,
        found.tap or "z",
        confidence=found.confidence,
        reasons=(*seen.said, first, *notes, *of_codes),
        evidence={**judged.evidence, **({} if book is None else book.evidence())},
        next=in_words(found, {}, PlainRemedies()),
        per_tap=statuses,
    )


def _judge(seen: Look, labels: Tensor | None, start: dict[str, float], t: Thresholds) -> _Judged:
    """Returns the finding on the rows that are left. `start` are the metrics at initialisation."""
    x = seen.x
    now = {**collapse_metrics(x), "d": float(x.shape[1]), **coordinate_shares(x)}
    places = judge_places(seen, t)
    apart, order = (None, []) if labels is None else separability(*_readouts(seen), labels, t)
    by_rows = judge_tap({**now, "n": places.n}, start, t, skill_fell=False)
    found = uniform_rows(x, t) or by_rows
    if places.finding is not None and found.status in PASSES:
        found = places.finding
    about = by_rows
    if apart is not None and found.status in COLLAPSES:
        about = judge_about(without_place(x, seen.place), t)
    found, notes = hear(found, apart, about, t)
    sorted_well = apart is not None and apart.above_chance >= t.told_apart
    blocks = "" if found.status == "healthy" and sorted_well else block_note(seen, t)
    ratio = now["mean_to_std_ratio"]
    alternating = alternating_note(seen, labels, t)
    extra = (unused(now, t), blocks, alternating, massive_note(x, ratio, t), offset_note(ratio, t))
    notes += [*order, *places.notes, *(text for text in extra if text)]
    usual = f"effective rank {now['effective_rank']:.1f}, spread {now['feature_std_l2']:.2f}"
    first = f"{'without them: ' if seen.left_out else ''}{found.reason or usual}"
    if seen.alike is not None:
        notes = [f"the other {len(x):,} rows alone: {found.status}", found.reason or usual, *notes]
        found, first = seen.alike, seen.alike.reason
    numbers = {**now, **evidence(apart), **places.facts, **seen.facts}
    finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
    return _Judged(found, first, notes, finite)


def _too_few(seen: Look, t: Thresholds) -> Verdict:
    left = " are left" if seen.left_out else ""
    few = f"{len(seen.x)} rows{left}; {t.samples:.0f} are needed"
    found = seen.alike
    if found is None:
        return Verdict("inconclusive", "z", reasons=(*seen.said, few), evidence=seen.facts)
    reasons = (*seen.said, found.reason)
    return Verdict(found.status, "z", None, found.confidence, reasons, seen.facts)


def _diverged(rest: Verdict, seen: Look) -> Verdict:
    """Returns the verdict on features of which some rows are not finite. It says what the others
    are like."""
    reasons = [seen.broken]
    if rest.status != "inconclusive":
        reasons += [f"the other {len(seen.x):,} rows alone: {rest.status}", *rest.reasons]
    return Verdict(
        "diverged", "z", None, 1.0, tuple(reasons), rest.evidence, per_tap={"z": "diverged"}
    )


def _readouts(seen: Look) -> tuple[list[Tensor], Tensor]:
    """Returns the features of every image, read in one or two ways, and the indices of the images.
    One row stands for each image: a neighbour that is another view of it proves nothing."""
    images, at = torch.unique(seen.image, return_inverse=True)
    if seen.v == 1:
        return [seen.x], images
    x = seen.x.double()
    means = x.new_zeros(len(images), x.shape[1]).index_add_(0, at, x)
    first = torch.ones_like(at, dtype=torch.bool)
    first[1:] = at[1:] != at[:-1]  # rows of an image are consecutive
    return [x[first], means / torch.bincount(at)[:, None]], images


def _require_squarable(x: Tensor) -> None:
    largest = float(x.abs().max()) if x.numel() else 1.0
    if x.dtype == torch.float64 and largest > 0 and abs(math.log10(largest)) > SQUARABLE:
        raise ValueError(
            f"z has a largest value of {largest:.2g}, whose square float64 cannot hold; rescale it"
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
