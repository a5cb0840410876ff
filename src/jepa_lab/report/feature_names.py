"""The roles of the arrays in a file of features, by their names and shapes: features of one tap or
of several, labels, codes, and features at the start of the training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from jepa_lab.files.arrays import UNREADABLE, Header

WORDS = {
    "features": "z features feats feature feat embeddings embedding embeds emb representations"
    " representation latents latent",
    # of the name of a tap, such as backbone_features, layer3.hidden or z_target
    "taps": "agg aggregate backbone block cls code context enc encoded encoder h hat head hidden"
    " layer online patch patches pooled pooler prediction predictor proj projection projections"
    " projector student target teacher token tokens trunk",
    # of arrays that are no features, whatever else their names say
    "never": "attention bbox boxes coords label labels logit logits mask masks onehot pixel pixels"
    " prob probs probabilities score scores tsne umap",
    # of such arrays unless the name also says features
    "rarely": "image images input inputs pred preds x",
}
FEATURES = tuple(WORDS["features"].split())
TAPS, NEVER, RARELY = (frozenset(WORDS[kind].split()) for kind in ("taps", "never", "rarely"))
LABELS = ("labels", "label", "targets", "target", "y")
CODES = ("codes", "code_indices")
SIZES = ("codebook_size", "codebook_sizes")
REFERENCE = "reference"
WEIGHTS = re.compile(
    r"(^|[._])(weight|bias|running_mean|running_var|num_batches_tracked|state_dict|optimizer)$"
)
KINDS = {"f": "fractions", "i": "whole numbers", "u": "whole numbers", "b": "true or false"}
SHOWN = 8  # names that a line lists


@dataclass(frozen=True)
class Roles:
    """The names in a file by their role.

    `taps` maps the name of a tap to the name of its features, the most important first; a single
    tap is called z. `references` maps taps to the names of their features at the start. `labels`,
    `codes` and `codebook_size` are names or None. `left_out` describes the other arrays.
    """

    taps: dict[str, str]
    references: dict[str, str] = field(default_factory=dict)
    labels: str | None = None
    codes: str | None = None
    codebook_size: str | None = None
    left_out: tuple[str, ...] = ()

    def names(self) -> set[str]:
        """Returns the names of all arrays with a role."""
        named = (self.labels, self.codes, self.codebook_size)
        return {*self.taps.values(), *self.references.values(), *(n for n in named if n)}


def roles_of(parts: Mapping[str, Header]) -> Roles:
    """Returns the roles of arrays with these shapes. `taps` is empty if none can be features.

    The features are the arrays (n, d) or (n, v, d) whose names have a word of TAPS, or else all of
    that shape, with as many rows as the first of them. Raises ValueError if a reference could
    belong to several taps.
    """
    flat = {n for n, h in parts.items() if len(h.shape) < 2 or h.shape[1:] == (1,)}
    labels = _one_of(LABELS, [n for n in parts if n in flat or _last(n) in LABELS[:2]])
    codes, size = _one_of(CODES, parts), _one_of(SIZES, parts)
    rest = {n: h for n, h in parts.items() if n not in (labels, codes, size)}
    starts = {name: rest.pop(name) for name in list(rest) if REFERENCE in _words(name)}
    chosen = _features(rest)
    taps = {"z": chosen[0]} if len(chosen) == 1 else {name: name for name in chosen}
    references = _references(list(starts), taps)
    kept = {*taps.values(), *references.values()}
    left = (f"{n} ({_described(h)})" for n, h in {**rest, **starts}.items() if n not in kept)
    return Roles(taps, references, labels, codes, size, tuple(left))


def of_one_group(parts: Mapping[str, Header]) -> tuple[dict[str, Header], tuple[str, ...]]:
    """Returns the data sets of one group of a file, such as train, if several groups have features
    of different numbers of rows: the group with the most, and a remark that names the others.
    Otherwise it returns all, and no remark."""
    groups: dict[str, dict[str, Header]] = {}
    for name, header in parts.items():
        groups.setdefault(name.rpartition("/")[0], {})[name] = header
    rows = {g: sum(parts[found[0]].shape[:1]) for g, x in groups.items() if (found := _features(x))}
    if len(set(rows.values())) < 2:
        return dict(parts), ()
    group = max(rows, key=lambda g: rows[g])
    others = listed(f"{n} ({_described(h)})" for n, h in parts.items() if n not in groups[group])
    return groups[group], (f"only the group {group or '/'} is judged; not judged: {others}",)


def is_of_weights(names: Iterable[str]) -> bool:
    """Returns whether some names are those of the parameters of a model."""
    return any(WEIGHTS.search(str(name)) for name in names)


def listed(names: Iterable[object]) -> str:
    """Returns the first names, each cut to a length that a line holds."""
    found = [str(name) for name in names]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    cut = [name if len(name) <= 60 else f"{name[:60]}..." for name in found[:SHOWN]]
    return f"{', '.join(cut)}{more}" if cut else "nothing"


def _features(parts: Mapping[str, Header]) -> list[str]:
    """Returns the names of the features, our own names first."""
    weights = is_of_weights(parts)
    chosen = [n for n, h in parts.items() if _is_named(n, weights) and _fits(h, _says_so(n))]
    if not chosen:  # an array of our names is read, whose shape is then an error of its own
        chosen = [n for n in parts if _last(n) in FEATURES][:1]
    if not chosen and not weights:
        chosen = _unnamed(parts)
    chosen.sort(key=lambda n: FEATURES.index(_last(n)) if _last(n) in FEATURES else len(FEATURES))
    rows = [parts[name].shape[:1] for name in chosen]
    return [name for name, n in zip(chosen, rows, strict=True) if n == rows[0]]


def _unnamed(parts: Mapping[str, Header]) -> list[str]:
    """Returns the arrays that have the shape of features, or else the only array of numbers."""
    shaped = [n for n, h in parts.items() if _fits(h)]
    likely = [n for n in shaped if not _words(n) & (NEVER | RARELY)]
    if likely or len(shaped) == 1:
        return likely or shaped
    numbers = [n for n, h in parts.items() if h.kind in "fiu"]
    return numbers if len(parts) == len(numbers) == 1 else []


def _is_named(name: str, exactly: bool) -> bool:
    """Returns whether a name is that of features."""
    words = _words(name)
    if exactly or _last(name) in FEATURES:
        return _last(name) in FEATURES
    may_be = bool(words & TAPS) and not words & RARELY
    return (_says_so(name) or may_be) and not words & NEVER


def _says_so(name: str) -> bool:
    return bool(_words(name) & set(FEATURES))


def _fits(header: Header, named: bool = False) -> bool:
    """Returns whether an array can be features. Whole numbers and a single dimension can be if the
    name says so."""
    if header.kind == UNREADABLE:
        return named
    shape, kinds = header.shape, "fiu" if named else "f"
    return header.kind in kinds and len(shape) in (2, 3) and (named or shape[-1] > 1)


def _references(starts: list[str], taps: Mapping[str, str]) -> dict[str, str]:
    """Returns {tap: the name of its reference}. A reference without the name of a tap belongs to
    the only tap or to z."""
    found: dict[str, str] = {}
    for name in starts:
        bare = re.sub(rf"[^a-z0-9]*{REFERENCE}[^a-z0-9]*", "", _last(name))
        of = [tap for tap, given in taps.items() if bare in (tap.lower(), _last(given))]
        if not bare:
            of = list(taps) if len(taps) == 1 else [tap for tap in taps if _last(tap) == "z"]
            if not of and taps:
                first = next(iter(taps))
                raise ValueError(
                    f"{name} could belong to {' or '.join(taps)}; call it {REFERENCE}_{first}"
                )
        if of:
            found.setdefault(of[0], name)
    return found


def _one_of(aliases: tuple[str, ...], names: Iterable[str]) -> str | None:
    """Returns the array called so, our own name first, or None if there is none or several."""
    known = list(names)
    found = [n for n in known if n == aliases[0]] or [n for n in known if _last(n) in aliases]
    return found[0] if len(found) == 1 else None


def _last(name: str) -> str:
    """Returns the last part of a path in a file, in small letters."""
    return name.rsplit("/", 1)[-1].lower()


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))


def _described(header: Header) -> str:
    if header.kind == UNREADABLE:
        return "unreadable"
    kind = KINDS.get(header.kind, "text" if header.kind in "USTO" else "no real numbers")
    return f"{' x '.join(map(str, header.shape)) or 1} {kind}"
