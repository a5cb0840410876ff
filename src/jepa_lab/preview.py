"""python -m jepa_lab.preview dataset=...: what the model would see, rows of views with their actions, as a PNG."""

from __future__ import annotations

import sys
from pathlib import Path

from jepa_lab.errors import UserError

MOST_ROWS = 64
_USAGE = """\
python -m jepa_lab.preview dataset=NAME [key=value ...] [--rows N] [--out FILE]

Draws the views of N training images (6) with the action that leads to each, as epoch 0 of a run has them, into
preview_NAME.png or FILE. With +experiment=arc_jepa: examples of N tasks (6), as they are and as two epochs have them.
 Takes the keys of a run: dataset.n_views=5 dataset.mode=rot_only seed=1 ...
"""


def main(argv: list[str] | None = None) -> None:
    """Draws the preview that the words ask for; exit code 2 with one line for what cannot be drawn."""
    words = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(words):
        print(_USAGE)
        return
    try:
        rows, out = _option(words, "--rows"), _option(words, "--out")
        if rows is not None and (not rows.isdigit() or not 1 <= int(rows) <= MOST_ROWS):
            raise UserError(f"--rows {rows}: a whole number from 1 to {MOST_ROWS}")
        flags = [w for w in words if w.startswith("-") or "=" not in w]
        if flags:
            raise UserError(f"{flags[0]}: not a word of preview; key=value, --rows N or --out FILE")
        print(draw_preview(words, int(rows or 6), Path(out) if out else None))
    except UserError as error:
        print(f"jepa_lab: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def draw_preview(words: list[str], rows: int = 6, out: Path | None = None) -> Path:
    """The PNG's path. UserError for keys, data or a folder that cannot be used."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from jepa_lab.cli import app as cli
    from jepa_lab.cli.overrides import check_stacked
    from jepa_lab.config.check import check_any
    from jepa_lab.config.groups import conf_dir
    from jepa_lab.report.figures import save, views_figure
    from jepa_lab.studies.arc.config import ArcConfig
    from jepa_lab.studies.linear_byol.config import ToyConfig
    from jepa_lab.studies.seq_jepa.build import build_views
    from jepa_lab.studies.seq_jepa.outcome import example_views
    from jepa_lab.training.plan import build_data

    check_stacked(words)
    named = any(word.lstrip("+").startswith("experiment=") for word in words)
    words = [f"+{w}" if w.startswith("experiment=") else w for w in words]
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = check_any(compose("config", words if named else ["+experiment=teacherless_b", *words]))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(cli.one_line(error)) from error
    if isinstance(config, ToyConfig):
        raise UserError(f"{config.name}: the toy has no images or tasks that could be drawn")
    path = out or Path(f"preview_{config.dataset.name}.png")
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path}: the name of a .png file")
    if isinstance(config, ArcConfig):
        from jepa_lab.studies.arc.preview import arc_preview

        figure = arc_preview(config, rows)
    else:
        splits = build_data(config)
        views, captions = example_views(
            build_views(config, splits.train), splits.train, config.seed, n=rows, split="train"
        )
        figure = views_figure(views, captions, rows=rows)
    try:
        return save(figure, path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


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
