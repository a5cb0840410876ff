"""python -m jepa_lab.preview dataset=...: what the model would see, rows of views with their
actions, as a PNG."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.process.command import arguments, run_command

MOST_ROWS = 64
_USAGE = """\
python -m jepa_lab.preview dataset=NAME [key=value ...] [--rows N] [--out FILE]

Draws the views of N training images (6) with the action that leads to each, as epoch 0 of a run has
them, into preview_NAME.png or FILE. With +experiment=arc_jepa: examples of N tasks (6), as they are
and as two epochs have them.
Takes the keys of a run: dataset.n_views=5 dataset.mode=rot_only seed=1 ...
"""


def main(argv: list[str] | None = None) -> None:
    """Draws the preview that the words ask for."""
    run_command(lambda: _preview(arguments(argv)))


def _preview(words: list[str]) -> None:
    if {"-h", "--help"} & set(words):
        print(_USAGE)
        return
    rows, out, folder = (_option(words, name) for name in ("--rows", "--out", "--config-dir"))
    if rows is not None and (not rows.isdigit() or not 1 <= int(rows) <= MOST_ROWS):
        raise UserError(f"--rows {rows}: a whole number from 1 to {MOST_ROWS}")
    flags = [w for w in words if w.startswith("-") or "=" not in w]
    if flags:
        raise UserError(f"{flags[0]}: not a word of preview; key=value, --rows N or --out FILE")
    from jepa_lab.cli.previewing import draw_preview  # start-up

    print(draw_preview(words, int(rows or 6), Path(out) if out else None, folder))


def _option(words: list[str], name: str) -> str | None:
    """Takes `name VALUE` or `name=VALUE` out of the words."""
    for at, word in enumerate(words):
        if word == name:
            if at + 1 == len(words):
                raise UserError(f"{name}: a value is missing")
            del words[at]
            return words.pop(at)
        if word.startswith(f"{name}="):
            return words.pop(at).partition("=")[2]
    return None


if __name__ == "__main__":
    main()
