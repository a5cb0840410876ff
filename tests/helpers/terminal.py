"""Compares what a page shows of a terminal with what a program prints."""

from __future__ import annotations

import re

NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
TOLERANCE = 0.15  # other processors and versions of torch give other digits


def shown_outputs(text: str) -> dict[str, str]:
    """Returns {command: output} of a console block, whose commands begin with "$ "."""
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.rstrip() for part in parts[2::2]), strict=True))


def difference(shown: str, printed: str) -> str:
    """Returns "" if every shown line stands in the printed text, in this order, with equal words
    and numbers that are nearly equal. Otherwise returns the first line that does not."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        if not any(_alike(line, other) for other in lines):
            return line
    return ""


def _alike(shown: str, printed: str) -> bool:
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(_numbers(shown), _numbers(printed), strict=True)
    return all(abs(a - b) <= TOLERANCE * max(abs(a), abs(b)) for a, b in pairs)


def _numbers(line: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(line)]
