"""Tables in documents: what stands between `<!-- NAME -->` and `<!-- end -->` is replaced."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lab.claims.documents import fill
from jepa_lab.errors import UserError
from jepa_lab.report.comparison.statistics import mean_interval


def arguments(description: str) -> argparse.Namespace:
    """--runs-dir, --out and --figure of a command that makes a document's tables."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument(
        "--out",
        type=Path,
        help="the document whose tables are replaced; without it they are printed",
    )
    parser.add_argument("--figure", type=Path)
    return parser.parse_args()


def save_figure(figure: Any, path: Path, dpi: int) -> None:
    """Writes a matplotlib figure as PNG of 256 colours; makes its folder."""
    from PIL import Image

    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def write_tables(tables: Mapping[str, str], out: Path | None) -> None:
    """Puts every table between its marks in the document, or prints them all. SystemExit for a
    missing mark."""
    if out is None:
        print("\n\n".join(tables.values()))
        return
    out.write_text(filled(out.read_text(encoding="utf-8"), tables), encoding="utf-8")


def filled(document: str, tables: Mapping[str, str]) -> str:
    """The document with every table between its marks. SystemExit for a missing mark."""
    try:
        for name, content in tables.items():
            document = fill(document, name, content)
    except UserError as error:
        raise SystemExit(str(error)) from None
    return document


def mean(values: list[float], digits: int) -> str:
    """Mean ± half-width of a 95 % interval of t over seeds; "" without values."""
    found = mean_interval(values)
    if found.mean is None:
        return ""
    half = "" if found.half_width is None else f" ± {found.half_width:.{digits}f}"
    return f"{found.mean:.{digits}f}{half}"
