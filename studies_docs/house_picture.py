"""Draws the floors of the package from the contract of imports, and lists its folders.

    python studies_docs/house_picture.py [--out docs/house.md] [--figure docs/images/house.svg]

The floors are those of the contract "A room imports only rooms below it" in pyproject.toml. The
table has the first sentence of every folder's docstring.
"""

from __future__ import annotations

import argparse
import ast
import tomllib
from html import escape
from pathlib import Path

from documents import write_tables

ROOT = Path(__file__).resolve().parents[1]
OUT, FIGURE = Path("docs/house.md"), Path("docs/images/house.svg")
CONTRACT = "A room imports only rooms below it"
WIDTH, HEIGHT, GAP, LEFT = 880, 34, 9, 12
COLOURS = {"commands": "#dbe4f7", "folders": "#eef2e4", "maths": "#f7ead8"}
FILES = {"devices", "errors"}  # rooms of one file
MATHS = {"losses", "metrics", "networks", "data"}


def floors() -> list[list[str]]:
    """Returns the rooms of every floor, the highest floor first."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["name"] == CONTRACT)
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def purpose(room: str) -> str:
    """Returns the first sentence of the docstring of a folder or a file, in one line."""
    place = ROOT / "src" / "jepa_lab" / room
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(text.split("\n\n")[0].split()).split(". ")[0]
    return sentence.rstrip(".")


def kind(room: str) -> str:
    """Returns commands, maths or folders: the colour of a room."""
    if not (ROOT / "src" / "jepa_lab" / room).is_dir() and room not in FILES:
        return "commands"
    return "maths" if room in MATHS else "folders"


def picture() -> str:
    """Returns the floors as SVG."""
    rows, parts = floors(), []
    for level, rooms in enumerate(rows):
        y = GAP + level * (HEIGHT + GAP)
        wide = (WIDTH - 2 * LEFT - GAP * (len(rooms) - 1)) / len(rooms)
        for place, room in enumerate(rooms):
            x = LEFT + place * (wide + GAP)
            size = 11 if len(rooms) > 6 else 14
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{HEIGHT}" rx="4"'
                f' fill="{COLOURS[kind(room)]}" stroke="#7a8699"/>'
                f'<text x="{x + wide / 2:.1f}" y="{y + HEIGHT / 2 + 5}" font-size="{size}">'
                f"{escape('jepa_lab' if room == '__main__' else room)}</text>"
            )
    tall = GAP + len(rows) * (HEIGHT + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" width="{WIDTH}"'
        f' height="{tall}" font-family="sans-serif" text-anchor="middle">\n'
        "<title>The floors of jepa_lab: a room imports only rooms below it</title>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def table() -> str:
    """Returns a table of the folders, the highest floor first."""
    lines = ["| folder | what it is |", "|---|---|"]
    lines += [
        f"| `{room}` | {purpose(room)} |"
        for rooms in floors()
        for room in rooms
        if kind(room) != "commands"
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    args = parser.parse_args()
    args.figure.write_text(picture(), encoding="utf-8")
    write_tables({"rooms": table()}, args.out)
    print(f"written: {args.figure} and {args.out}")


if __name__ == "__main__":
    main()
