"""Looks at the rows of features before they are judged: rows that are not finite, one row that
repeats, copies, and a few rows that hold the variance. These rows are named and left out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.thresholds import Thresholds, distance
from jepa_lab.metrics import rows
from jepa_lab.metrics.variance_parts import indexed

# Powers of ten. Beyond them a sum of squares, or its square, is infinite or 0 in float64.
SQUARABLE = 120


@dataclass
class Look:
    """The rows that are left, and what was said about the others.

    - x: the rows (N, d). image and place: their index among the n images and v views, (N,) int64
    - said: remarks, in the order in which they were made
    - broken: a text that counts the rows that are not finite, or ""
    - alike: the finding if most rows, anywhere among the others, are one and the same row
    - left_out: whether a remark speaks of rows that were left out
    - facts: counts by name, for the evidence
    """

    x: Tensor
    image: Tensor
    place: Tensor
    n: int
    v: int
    said: list[str] = field(default_factory=list)
    broken: str = ""
    alike: Finding | None = None
    left_out: bool = False
    facts: dict[str, float] = field(default_factory=dict)

    def keep(self, mask: Tensor, remark: str = "") -> None:
        """Leaves out the rows that are not marked, with a remark on them."""
        if remark:
            self.said.append(remark)
            self.left_out = True
        self.x, self.image, self.place = self.x[mask], self.image[mask], self.place[mask]

    @property
    def images(self) -> int:
        """The number of images with a row."""
        return len(torch.unique(self.image))


def look(z: Tensor, t: Thresholds, labels: Tensor | None = None) -> Look:
    """Returns the rows of features (n, d) or (n, v, d) that can be judged, with remarks on the
    others.

    `labels` (n,) int64, -1 for unknown, show whether equal rows are copies: rows with different
    labels are different samples. Rows of a few values, such as one-hot or binary codes, and rows
    that take the values of a codebook, coincide without being copies, and are kept.
    """
    whole = z if z.ndim == 3 else z[:, None]
    found = Look(*indexed(whole), n=whole.shape[0], v=whole.shape[1])
    _finite(found)
    _too_large(found)
    if len(found.x) < 2:
        return found
    if not _coincide_by_chance(found.x, t):
        _repeated(found, t)
        _copies(found, t, labels)
    _heavy(found, t)
    _near_copies(found, t, labels)
    return found


def _finite(found: Look) -> None:
    finite = torch.isfinite(found.x).all(dim=1)
    if bool(finite.all()):
        return
    nan = int(torch.isnan(found.x).any(dim=1).sum())
    bad, n = int((~finite).sum()), len(finite)
    kinds = [f"{k:,} {kind}" for k, kind in ((nan, "NaN"), (bad - nan, "infinite")) if k]
    found.broken = f"features are not finite: {bad:,} of {n:,} rows ({', '.join(kinds)})"
    found.facts["rows_not_finite"] = float(bad)
    found.keep(finite)


def _too_large(found: Look) -> None:
    """Leaves out rows whose squares float64 cannot hold, if they are fewer than half: memory that
    was never written."""
    large = found.x.abs().amax(dim=1) > 10.0**SQUARABLE
    k, n = int(large.sum()), len(large)
    if 0 < k < n / 2:
        most = float(found.x.abs().max())
        text = f"{k:,} of {n:,} rows have values up to {most:.0e}{_where(found, large)}"
        found.keep(~large, text)


def _coincide_by_chance(x: Tensor, t: Thresholds) -> bool:
    """Returns whether equal rows are expected, since the dimensions take few values."""
    pairs = rows.equal_pairs(rows.first_of_equal(x))
    return pairs > 0 and rows.coincidence(x) >= t.coincide * pairs


def _repeated(found: Look, t: Thresholds) -> None:
    """Leaves out rows that occur far more often than others: zeros of padding, or a constant at the
    end of a file that was cut short."""
    first = rows.first_of_equal(found.x).to(found.x.device)
    counts = rows.multiplicities(first)
    n, usual = len(first), float(counts[len(counts) // 10])  # of all but the most frequent tenth
    often = max(t.repeats * usual, t.copies * n, 2.0)
    if counts[0] < often or (_takes_few_values(counts, t) and usual > 1):
        return
    of_row = torch.bincount(first, minlength=n)[first]
    same = of_row >= often
    k, different = int(same.sum()), int((counts >= often).sum())
    if bool((found.x[same] == 0).all()):
        kind = "all zero"
    else:
        kind = "one and the same row" if different == 1 else f"{different} rows again and again"
    place = _where(found, same)
    found.facts["rows_repeated"] = float(k)
    text = f"{k:,} of {n:,} rows are {kind}{place}"
    if not place and found.v == 1 and different == 1 and k > t.mostly * n:
        far = t.confidence(distance(k / n, t.mostly))
        text = f"{text}, anywhere among the others: most inputs are encoded alike"
        found.alike = Finding("complete_collapse", text, far, quantity="rows_repeated")
        text = ""
    found.keep(~same, text)


def _where(found: Look, marked: Tensor) -> str:
    """Returns where the marked rows are, or '' if they are scattered over the rows."""
    k, n = int(marked.sum()), len(marked)
    places = torch.unique(found.place[marked]).tolist()
    if found.v > 1 and len(places) <= max(1, found.v // 8):
        return f", at place {', '.join(map(str, places))}"
    if bool(marked[-k:].all()):
        return ", the last ones"
    if bool(marked[:k].all()):
        return ", the first ones"
    runs = int((marked[1:] & ~marked[:-1]).sum()) + int(marked[0])
    return ", in blocks" if runs <= k * (1 - k / n) / 4 else ""


def _copies(found: Look, t: Thresholds, labels: Tensor | None) -> None:
    """Leaves out images that are equal to an earlier one."""
    images, flat = _by_image(found)
    if len(images) < 2:
        return
    first = rows.first_of_equal(flat).to(flat.device)
    _leave_out(found, images, first, t, labels, "identical to an earlier one")


def _near_copies(found: Look, t: Thresholds, labels: Tensor | None) -> None:
    """Leaves out images that are nearly equal to an earlier one, unless they are tight clusters."""
    images, flat = _by_image(found)
    if not 2 <= len(images) <= rows.PAIRS:
        return
    if len(rows.multiplicities(rows.first_of_equal(flat))) < len(flat):
        return  # equal rows were found to be no copies
    first = rows.first_of_near(flat)
    counts = rows.multiplicities(first)
    if len(counts) < t.samples or counts.median() > t.gathered:
        return
    text = "identical to an earlier one but for rounding, as after storage in half precision"
    _leave_out(found, images, first, t, labels, text)


def _by_image(found: Look) -> tuple[Tensor, Tensor]:
    """Returns the images with a row, and all rows of each in one, (images, v d). Missing rows are
    0."""
    images, at = torch.unique(found.image, return_inverse=True)
    d = found.x.shape[1]
    flat = found.x.new_zeros(len(images), found.v, d)
    flat[at, found.place] = found.x
    return images, flat.flatten(1)


def _leave_out(
    found: Look, images: Tensor, first: Tensor, t: Thresholds, labels: Tensor | None, text: str
) -> None:
    counts = rows.multiplicities(first)
    n, different = len(first), len(counts)
    copies, noun = n - different, "rows" if found.v == 1 else "images"
    if copies == 0 or different == 1:
        return
    said = copies >= t.copies * n
    if _takes_few_values(counts, t):
        if said:
            found.said.append(f"the {n:,} {noun} take only {different:,} different values")
        return
    if labels is not None and _other_label(labels.to(first.device)[images], first) > t.other_label:
        if said:
            found.said.append(
                f"{copies:,} of {n:,} {noun} are {text}, with another label: different samples that"
                " the features do not tell apart"
            )
        return
    found.facts["copies"] = found.facts.get("copies", 0.0) + float(copies)
    remark = f"{copies:,} of {n:,} {noun}{_simple(copies, n)} are {text}" if said else ""
    kept = torch.zeros(found.n, dtype=torch.bool, device=first.device)
    kept[images[torch.unique(first)]] = True
    found.keep(kept[found.image], remark)


def _takes_few_values(counts: Tensor, t: Thresholds) -> bool:
    """Returns whether equal rows are the values of a codebook or tight clusters: there are few, or
    every value is used several times and some far more often than others. Copies from several
    processes occur equally often."""
    others = counts[1:].double()  # one row may repeat for a reason of its own
    if len(counts) < t.few_values:
        return True
    uneven = float(others.var(unbiased=False)) >= t.uneven * float(others.mean())
    return float(counts.median()) >= 3 and uneven


def _other_label(labels: Tensor, first: Tensor) -> float:
    """Returns the share of copies whose label differs from that of the row they equal."""
    copy = (first != torch.arange(len(first), device=first.device)) & (labels >= 0)
    copy &= labels[first] >= 0
    return float((labels != labels[first])[copy].double().mean()) if bool(copy.any()) else 0.0


def _simple(copies: int, n: int) -> str:
    """Returns ' (3 of 4)' if the copies are nearly that share."""
    for whole in range(2, 17):
        if abs(copies / n - (whole - 1) / whole) < 0.002:
            return f" ({whole - 1} of {whole})"
    return ""


def _heavy(found: Look, t: Thresholds) -> None:
    """Leaves out a few rows that are far longer than the others and hold the variance."""
    heavy = rows.heavy_rows(found.x, t.heavy_rows, t.heavy_share)
    if not bool(heavy.any()):
        return
    squares = rows.squared_distances(found.x)
    share, k, n = rows.share_of(squares, heavy), int(heavy.sum()), len(heavy)
    verb, places = "holds" if k == 1 else "hold", _where(found, heavy)
    found.facts |= {"rows_heavy": float(k), "heavy_share": share}
    found.keep(~heavy, f"{k:,} of {n:,} rows {verb} {percent(share)} of the variance{places}")


def percent(share: float) -> str:
    """Returns a share as text. One above 99 % is not rounded to 100 %."""
    return "over 99 %" if share > 0.99 else f"{100 * share:.0f} %"
