"""python -m jepa_lab.preview dataset=...: draws what the model would see, rows of views with their
actions, as a PNG."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.errors import UserError
from jepa_lab.process.command import arguments, import_from, not_empty, run_command

MOST_ROWS = 64
_USAGE = """\
python -m jepa_lab.preview dataset=NAME [key=value ...] [--rows N] [--out FILE]

Draws the views of N training images (default 6) with the action that leads to each view, as in
epoch 0 of a run. Writes preview_NAME.png or FILE. With +experiment=arc_jepa it draws examples of N
tasks (default 6), unchanged and as augmented in two epochs.
Takes the keys of a run: dataset.n_views=5 dataset.mode=rot_only seed=1 ...
With --config-dir FOLDER it also finds user-defined data sources and views.
"""


def main(argv: list[str] | None = None) -> None:
    """Draws the preview of the command line `argv`."""
    run_command(lambda: _preview(arguments(argv)))


def _preview(args: list[str]) -> None:
    if {"-h", "--help"} & set(args):
        print(_USAGE)
        return
    rows, out, folder = (_option(args, name) for name in ("--rows", "--out", "--config-dir"))
    for name in ("--rows", "--out", "--config-dir"):
        if any(arg.partition("=")[0] == name for arg in args):
            raise UserError(f"{name} is given twice; give it once")
    for name, value in (("--out", out), ("--config-dir", folder)):
        not_empty(name, value)
    if rows is not None and (not rows.isdigit() or not 1 <= int(rows) <= MOST_ROWS):
        raise UserError(f"--rows {rows}: expected a whole number from 1 to {MOST_ROWS}")
    from jepa_lab.cli.dashes import without_dashes  # start-up: Hydra

    args = without_dashes(args)
    flags = [w for w in args if w.startswith("-") or "=" not in w]
    if flags:
        raise UserError(
            f"{flags[0]}: not an option of preview; expected key=value, --rows N or --out FILE"
        )
    import_from(Path(folder) if folder else None)
    from jepa_lab.cli.previewing import draw_preview  # start-up

    print(draw_preview(args, int(rows or 6), Path(out) if out else None, folder))


def _option(args: list[str], name: str) -> str | None:
    """Removes `name VALUE` or `name=VALUE` from the arguments and returns VALUE, None if it is
    missing."""
    for at, arg in enumerate(args):
        if arg == name:
            if at + 1 == len(args):
                raise UserError(f"{name}: a value is missing")
            del args[at]
            return args.pop(at)
        if arg.startswith(f"{name}="):
            return args.pop(at).partition("=")[2]
    return None


if __name__ == "__main__":
    main()
