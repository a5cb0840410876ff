"""The work of `jepa_lab.preview`."""

from __future__ import annotations

from pathlib import Path

from jepa_lab.cli.arguments import check_removed
from jepa_lab.cli.compose import checked
from jepa_lab.cli.overrides import check_stacked
from jepa_lab.errors import UserError
from jepa_lab.report.figures import save
from jepa_lab.studies import find


def draw_preview(
    overrides: list[str], rows: int = 6, out: Path | None = None, config_dir: str | None = None
) -> Path:
    """Draws the preview and returns the path of the PNG. Raises UserError for keys, data or a
    folder that cannot be used."""
    check_removed(overrides)
    check_stacked(overrides)
    named = any(override.lstrip("+").startswith("experiment=") for override in overrides)
    overrides = [
        f"+{override}" if override.startswith("experiment=") else override for override in overrides
    ]
    config = checked(overrides if named else ["+experiment=teacherless_b", *overrides], config_dir)
    name = getattr(getattr(config, "dataset", None), "name", config.name)
    path = out or Path(f"preview_{name}.png")
    if path.suffix.lower() != ".png":
        raise UserError(f"--out {path}: expected the name of a .png file")
    figure = find(config.study).study.preview(config, rows)
    if figure is None:
        raise UserError(f"{config.name}: the {config.title} has no images or tasks to draw")
    try:
        return save(figure, path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
