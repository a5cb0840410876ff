"""The order of several files of features, by the digits and words in their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.report.feature_names import TAPS, listed

Column = list[int]  # one number of each name


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


EPOCH, STEP = "epochs?|ep", "steps?|iters?|iterations?|it|updates?"
FIRST = _words("init initial initialisation initialization start untrained before")
LAST = _words("final last end trained after")
LAYERS = "layers?|blocks?|conv|fc|stage|linear|hidden|heads?"
# words of names that are side by side and not one after another
BESIDE = {
    "sets": _words("train training val valid validation test eval dev"),
    "taps": frozenset((TAPS | {"conv", "fc", "linear", "stage"}) - {"h"}),
}
BESIDE_DIGITS = {
    "taps": LAYERS,
    "parts": "parts?|shards?|ranks?|gpu|chunks?|folds?|workers?|proc(ess)?",
    "runs": "seeds?|runs?|trials?|versions?",
}
ADVICE = {
    "taps": "diagnose each alone, or save them as arrays of one .npz",
    "parts": "join them to one file, or diagnose each alone",
}
ALONE = "diagnose each alone"
SHOWN = 6  # lines for the first files, and for the last ones


@dataclass(frozen=True)
class Ordered:
    """Files in order with their steps, and `how` the steps were found."""

    paths: tuple[Path, ...]
    steps: tuple[int, ...]
    how: str

    def lines(self) -> list[str]:
        """Returns a line for every file with its step, the middle of many left out."""
        width = max(len(str(step)) for step in self.steps)
        pairs = zip(self.steps, self.paths, strict=True)
        found = [f"  step {step:>{width}}  {path}" for step, path in pairs]
        left = len(found) - 2 * SHOWN
        return [*found[:SHOWN], f"  ... {left} more", *found[-SHOWN:]] if left > 1 else found


def in_order(paths: Sequence[Path]) -> Ordered:
    """Returns files in the order of their names.

    Digits that differ are compared from the left, those after the word epoch first and those after
    step or iteration next. The steps are the digits after such a word, or else the only digits that
    differ, if they rise from file to file. Otherwise the steps are counted from 0. Words such as
    init and final come before and after all digits. Without digits and such words the order is that
    of the command line, unless it is that of the alphabet, as of a folder or a pattern.

    Raises UserError for files that are side by side, such as those of several sets, layers or runs,
    and if nothing says the order.
    """
    texts = [str(path.with_suffix("")) for path in paths]
    _require_a_trend(paths, texts)
    ends = [_end(words) for words in _own_words(texts)]
    among = [k for k, end in enumerate(ends) if not end]
    found = _columns([texts[k] for k in among]) if among else []
    keys = [(end, *([0] * len(found))) for end in ends]
    for row, k in enumerate(among):
        keys[k] = (0, *(values[row] for _, values in found))
    order = sorted(range(len(paths)), key=lambda k: keys[k])
    if len(set(keys)) == len(paths):
        ordered = [paths[k] for k in order]
        steps = None if any(ends) else _steps(found, order)
        if steps is not None:
            return Ordered(tuple(ordered), tuple(steps), "from the digits in their names")
        by = "words" if not found else "digits and words" if any(ends) else "digits"
        return _counted(ordered, f"in the order of the {by} in their names")
    names = [text.lower() for text in texts]
    plain = [re.sub("[^a-z0-9]", "", name) for name in names]
    if names == sorted(names) or plain == sorted(plain):
        raise UserError(
            f"{listed(path.name for path in paths)}: nothing in these names says their order;"
            " number them, e.g. step100.npz, or diagnose each alone"
        )
    return _counted(paths, "in the order given")


def _counted(paths: Sequence[Path], how: str) -> Ordered:
    return Ordered(tuple(paths), tuple(range(len(paths))), f"counted from 0, {how}")


def _columns(texts: Sequence[str]) -> list[tuple[str, Column]]:
    """Returns the digits that differ, each with the text before it, the most important first.

    They are all digits of names that are alike but for digits. Of other names they are the last
    digits, if the same word stands before them. [] if there are none."""
    groups = [list(re.finditer(r"\d+", text)) for text in texts]
    if len({re.sub(r"\d+", "0", text) for text in texts}) > 1:
        groups = [found[-1:] for found in groups]
        before = {re.findall("[a-z]*[^a-z]*$", _before(g[0]))[0] for g in groups if g}
        if not all(groups) or len(before) > 1:
            return []
    found = []
    for column in zip(*groups, strict=True):
        values = [int(match.group()) for match in column]
        if len(set(values)) > 1:
            found.append((_before(column[0]), values))
    return sorted(
        found, key=lambda pair: 0 if _is(pair[0], EPOCH) else 1 if _is(pair[0], STEP) else 2
    )


def _steps(found: Sequence[tuple[str, Column]], order: Sequence[int]) -> Column | None:
    """Returns the steps of files in this order: rising digits after step, else after epoch, else
    the only ones. None if there are none."""
    named = [pair for word in (STEP, EPOCH) for pair in found if _is(pair[0], word)]
    for _, values in named or (found if len(found) == 1 else ()):
        steps = [values[k] for k in order]
        if all(a < b for a, b in pairwise(steps)):
            return steps
    return None


def _require_a_trend(paths: Sequence[Path], texts: Sequence[str]) -> None:
    """Raises UserError if words or digits say that files are side by side."""
    kinds = []
    for kind, known in BESIDE.items():
        if len({frozenset(words & known) for words in _own_words(texts) if words & known}) > 1:
            kinds.append(kind)
    for kind, words in BESIDE_DIGITS.items():
        if any(_is(before, words) for before, _ in _columns(texts)):
            kinds.append(kind)
    if kinds:
        raise UserError(
            f"{listed(path.name for path in paths)}: several {kinds[0]}, which are no trend;"
            f" {ADVICE.get(kinds[0], ALONE)}"
        )


def _own_words(texts: Sequence[str]) -> list[set[str]]:
    """Returns the words of every name that not all names have."""
    words = [set(re.findall("[a-z]+", text.lower())) for text in texts]
    common = set.intersection(*words)
    return [found - common for found in words]


def _end(words: set[str]) -> int:
    """Returns -1 for a name with a word such as init, 1 for one such as final, and 0 for others."""
    return -1 if words & FIRST else 1 if words & LAST else 0


def _before(match: re.Match[str]) -> str:
    return match.string[: match.start()].lower()


def _is(before: str, words: str) -> bool:
    """Returns whether a text ends with one of the words, in front of digits."""
    return bool(re.search(rf"(?<![a-z])({words})[-_=. ]?$", before))
