"""The codes of other code: read as one codebook or as levels, and judged level by level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lab.data.user_arrays import as_array
from jepa_lab.diagnosis.codebook import collapsed, one_code
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.thresholds import Thresholds, distance
from jepa_lab.metrics import perplexity
from jepa_lab.metrics.code_levels import LEFT_OUT, LevelUse, PlaceUse, level_use, place_use

CODES = 2**24  # the largest codebook; a larger index is taken for a mistake
MOST_LEVELS = 32  # more columns are the tokens of one codebook, unless every level has its own size
KEY = "val/codebook/{}"


@dataclass(frozen=True)
class Level:
    """One codebook of `size` codes and its use. `use` is None if no code of it was chosen. `places`
    is None for one place of each image, and for too few images."""

    size: int
    use: LevelUse | None
    places: PlaceUse | None = None


@dataclass(frozen=True)
class Codes:
    """The codebooks of the features. `guessed` is true if no size was given, and the size is the
    largest index + 1. `left_out` is the number of indices of -1 among the `n` of all, and `n` is 0
    for counts."""

    levels: tuple[Level, ...]
    guessed: bool
    left_out: int = 0
    n: int = 0

    def evidence(self) -> dict[str, float]:
        """Returns codebook/usage, codebook/perplexity and codebook/size. Of several levels these
        are those of the least used one, and every level is listed too."""
        each = {k: _numbers(level) for k, level in enumerate(self.levels, 1) if level.use}
        if not each:
            return {}
        worst = min(each.values(), key=lambda numbers: (numbers["usage"], numbers["perplexity"]))
        found = {f"codebook/{name}": value for name, value in worst.items()}
        if len(self.levels) > 1:
            found["codebook/levels"] = float(len(self.levels))
            for k, numbers in each.items():
                found |= {f"codebook/level_{k}/{name}": v for name, v in numbers.items()}
        return found


def read_codes(codes: Any, size: Any, rows: tuple[int, ...]) -> Codes:
    """Returns the codebooks of codes that belong to features of `rows` rows, (n,) or (n, v).

    Indices of the shape of the rows are those of one codebook. With one more axis, that axis is the
    level of a residual or product quantiser, if it has at most 32 entries. Of any other shape they
    are those of one codebook. If `size` has several entries, codes have an axis of that length, and
    it is the level. An index of -1 is left out. Floating-point values are counts: (K,), or
    (levels, K).

    Raises ValueError for other indices below 0, for those beyond 2^24 or beyond the size, for
    counts that are negative or not finite, and for anything else.
    """
    array, sizes = _numbers_of(codes), _sizes(size)
    if array.dtype.kind == "f":
        return _of_counts(array, sizes)
    least, most = int(array.min()), int(array.max())
    if least < LEFT_OUT or most >= CODES:
        wrong = least if least < LEFT_OUT else most
        raise ValueError(f"codes holds {wrong}; expected indices from 0 to {CODES - 1:,}")
    if most == LEFT_OUT:
        raise ValueError("codes holds nothing but -1, which stands for no code")
    axis = _level_axis(array.shape, rows, len(sizes))
    each = [array] if axis is None else list(np.moveaxis(array, axis, 0))
    uses = [level_use(torch.from_numpy(level.astype(np.int64))) for level in each]
    left_out = int((array == LEFT_OUT).sum())
    places = [_place_use(level, rows) for level in each]
    levels = tuple(map(Level, _sizes_of(uses, sizes), uses, places))
    return Codes(levels, not sizes, left_out, array.size)


def codes_finding(codes: Codes, thresholds: Thresholds) -> tuple[Finding | None, list[str]]:
    """Returns codebook_collapse if a level has collapsed, and notes on the others. A level with too
    few indices is not judged."""
    t = thresholds.of("codebook")
    several = len(codes.levels) > 1
    sampled = several and codes.n > 0
    failed: list[tuple[str, Finding]] = []
    notes: list[str] = []
    for k, level in enumerate(codes.levels, 1):
        name = f"level {k} of {len(codes.levels)}: " if several else ""
        if level.use is None or (sampled and level.use.n < t.samples):
            n = 0 if level.use is None else level.use.n
            notes.append(f"{name}{n} indices, not judged")
            continue
        found = _level_finding(level, t)
        if found is not None and found.status == "note":
            notes.append(name + found.reason)
        elif found is not None:
            failed.append((name, found))
    if codes.left_out:
        notes.append(f"{codes.left_out:,} of {codes.n:,} codes are -1 and are left out")
    if codes.guessed:
        largest = max(level.size for level in codes.levels)
        notes.append(f"codebook of {largest:,} codes by the largest index; codebook_size gives it")
    if not failed:
        return None, notes
    reason = "; ".join(name + found.reason for name, found in failed)
    first = failed[0][1]
    return replace(first, reason=reason, confidence=max(f.confidence for _, f in failed)), notes


def _level_finding(level: Level, t: Thresholds) -> Finding | None:
    use = level.use
    assert use is not None
    even = _perplexity_limit(level.size, t)
    if use.perplexity < even:
        return one_code(use.perplexity, even, 0, KEY.format("perplexity"), t)
    usage = use.used / level.size
    # with few indices most codes of a healthy codebook are not seen yet
    share = max(usage, min(use.richness / level.size, 1.0))
    text = f"{100 * usage:.1f} % of the codes in use ({use.used:,} of {level.size:,})"
    if share < t.usage:
        far = t.confidence(distance(share, t.usage))
        return collapsed(text, 0, far, KEY.format("usage"))
    if (found := _place_finding(level, t)) is not None:
        return found
    if share < t.usage_note:
        return Finding("note", text, 0.5, "codebook", quantity=KEY.format("usage"))
    return None


def _place_finding(level: Level, t: Thresholds) -> Finding | None:
    """Reports codes that are nearly the same in every image, though they differ from place to
    place."""
    places = level.places
    if places is None or places.usual < 2 or places.other >= t.same_code_note:
        return None
    share = "all" if places.other == 0 else f"{100 * (1 - places.other):.1f} % of the"
    text = f"the code at a place is the same in {share} images"
    quantity = KEY.format("other_at_place")
    if places.other >= t.same_code:
        return Finding("note", text, 0.5, "codebook", quantity=quantity)
    far = t.confidence(distance(places.other, t.same_code, 1e-4))
    text += f": {places.usual:,} codes are in use, but they do not tell images apart"
    return collapsed(text, 0, far, quantity)


def _place_use(codes: np.ndarray, rows: tuple[int, ...]) -> PlaceUse | None:
    """Returns the use of the places by the codes of one level, or None if they are not those of
    several places of each image."""
    if codes.size % rows[0] or (codes.shape[0] != rows[0] and codes.size != np.prod(rows)):
        return None
    by_image = codes.reshape(rows[0], -1).astype(np.int64)
    return place_use(torch.from_numpy(by_image), int(Thresholds().samples))


def _perplexity_limit(size: int, t: Thresholds) -> float:
    """Returns the perplexity below which nearly all rows use one code. Two codes in even use have
    a perplexity of 2, so that it is lower for a codebook of few codes, as binary and scalar
    quantisers have."""
    return min(t.perplexity, 1 + 0.25 * (size - 1)) if size > 1 else t.perplexity


def _numbers(level: Level) -> dict[str, float]:
    assert level.use is not None
    usage = level.use.used / level.size
    found = {"usage": usage, "perplexity": level.use.perplexity, "size": float(level.size)}
    return found if level.places is None else {**found, "other_at_place": level.places.other}


def _numbers_of(codes: Any) -> np.ndarray:
    array = as_array(codes, "codes")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"codes holds {array.dtype}; expected whole numbers from 0")
    if array.size == 0 or array.ndim == 0:
        raise ValueError(
            f"codes has shape {array.shape}; expected one index for each row or token, or the count"
            " of each code"
        )
    return array


def _sizes(size: Any) -> tuple[int, ...]:
    """Returns the given sizes: none, one for all levels, or one for each."""
    if size is None:
        return ()
    array = as_array(size, "codebook_size")
    whole = array.dtype.kind in "iuf" and array.size > 0 and array.ndim <= 1
    if not whole or not bool(((array >= 1) & (array <= CODES) & (array == np.floor(array))).all()):
        raise ValueError(
            f"codebook_size is {size}; expected the number of codes, or one number for each level,"
            f" from 1 to {CODES:,}"
        )
    return tuple(int(k) for k in array.reshape(-1))


def _level_axis(shape: tuple[int, ...], rows: tuple[int, ...], n_sizes: int) -> int | None:
    """Returns the axis of the levels, or None for one codebook."""
    order = [len(shape) - 1, *range(len(shape) - 1)]  # the last axis first
    rest = {axis: shape[:axis] + shape[axis + 1 :] for axis in order}
    flat = (int(np.prod(rows)),)
    beside_rows = [a for a in order if len(shape) > 1 and rest[a] in (rows, flat)]
    if n_sizes > 1:
        fits = [a for a in (*beside_rows, *order) if shape[a] == n_sizes]
        if not fits or len(shape) < 2:
            raise ValueError(
                f"codebook_size has {n_sizes} sizes, codes has shape {shape}; expected one index"
                f" for each level, (n, {n_sizes})"
            )
        return fits[0]
    if shape in (rows, flat) or not beside_rows or shape[beside_rows[0]] > MOST_LEVELS:
        return None
    return beside_rows[0]


def _sizes_of(uses: list[LevelUse | None], sizes: tuple[int, ...]) -> list[int]:
    """Returns the size of every level. Without a given size it is the largest index of all levels
    + 1, or that of a level itself if it uses several codes and all up to its largest index."""
    if not sizes:
        shared = max(use.largest for use in uses if use is not None) + 1
        return [
            use.largest + 1 if use is not None and use.contiguous and use.used > 1 else shared
            for use in uses
        ]
    every = list(sizes) if len(sizes) > 1 else list(sizes) * len(uses)
    for k, (use, size) in enumerate(zip(uses, every, strict=True), 1):
        if use is not None and use.largest >= size:
            name = f" of level {k}" if len(uses) > 1 else ""
            raise ValueError(f"codes holds {use.largest}; the codebook{name} has {size:,} codes")
    return every


def _of_counts(array: np.ndarray, sizes: tuple[int, ...]) -> Codes:
    """Returns the codebooks of counts (K,) or (levels, K)."""
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() > 0):
        raise ValueError("codes holds counts that are negative, not finite or all 0")
    levels = array.reshape(-1, array.shape[-1])
    counted = [torch.from_numpy(np.array(level, dtype=np.float64)) for level in levels]
    if sizes and sizes != (len(counted[0]),):
        raise ValueError(f"codebook_size is {sizes}, codes are the counts of {len(counted[0])}")
    return Codes(tuple(Level(len(c), _use_of_counts(c)) for c in counted), guessed=False)


def _use_of_counts(counts: Tensor) -> LevelUse | None:
    seen = counts > 0
    if not bool(seen.any()):
        return None
    n, used, last = int(counts.sum().ceil()), int(seen.sum()), int(seen.nonzero().max())
    return LevelUse(n, used, float(perplexity(counts)), float(used), last)
