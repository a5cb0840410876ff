"""Replaces tables in documents: the text between `<!-- NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lab.claims.documents import fill
from jepa_lab.errors import UserError
from jepa_lab.report.comparison.statistics import mean_interval


def arguments(description: str) -> argparse.Namespace:
    """Parses --runs-dir, --out and --figure for a command that writes a document's tables."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument(
        "--out",
        type=Path,
        help="the document whose tables are replaced; by default the tables are printed",
    )
    parser.add_argument("--figure", type=Path)
    return parser.parse_args()


def save_figure(figure: Any, path: Path, dpi: int, top: float = 1) -> None:
    """Writes a matplotlib figure as a PNG with 256 colours. Creates its folder. The axes end at
    `top`, a share of the height, so that a legend of the figure fits above them."""
    from PIL import Image

    figure.tight_layout(rect=(0, 0, 1, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def write_tables(tables: Mapping[str, str], out: Path | None) -> None:
    """Writes every table between its marks in the document `out`, or prints all tables if it is
    None. Raises SystemExit for a missing mark."""
    if out is None:
        print("\n\n".join(tables.values()))
        return
    out.write_text(filled(out.read_text(encoding="utf-8"), tables), encoding="utf-8")


def filled(document: str, tables: Mapping[str, str]) -> str:
    """Returns the document with every table between its marks. Raises SystemExit for a missing
    mark."""
    try:
        for name, content in tables.items():
            document = fill(document, name, content)
    except UserError as error:
        raise SystemExit(str(error)) from None
    return document


def mean(values: list[float], digits: int) -> str:
    """Returns mean ± half-width of a 95 % t interval over seeds, or "" without values."""
    found = mean_interval(values)
    if found.mean is None:
        return ""
    half = "" if found.half_width is None else f" ± {found.half_width:.{digits}f}"
    return f"{found.mean:.{digits}f}{half}"
