"""A damaged table among many is left out of the figures and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jepa_lab import heatmaps
from jepa_lab.errors import UserError
from jepa_lab.ledger.tables import write_table
from jepa_lab.studies.linear_byol.figures.all import FigureRequest, draw_all
from toy_files import write_run

Command = Callable[..., tuple[int, str, str]]


def with_checksums(path: Path) -> Path:
    write_table(path, pq.read_table(path))
    return path


def damage(path: Path, column: str) -> None:
    """Flips a bit in the values of a column."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    (chunk,) = (
        group.column(i)
        for i in range(group.num_columns)
        if group.column(i).path_in_schema.split(".")[0] == column
    )
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size // 2 + 20] ^= 8
    path.write_bytes(bytes(content))


def test_a_run_with_a_damaged_metric_is_skipped_with_its_name(
    command: Command, tmp_path: Path
) -> None:
    paths = [with_checksums(write_run(tmp_path / "runs", seed=seed)) for seed in range(3)]
    damage(paths[1], "loss")
    code, out, err = command("runs", "--out", "figs", main=heatmaps.main)
    assert (code, err) == (0, "")
    skipped = [line for line in out.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 1
    assert str(paths[1].relative_to(tmp_path)) in skipped[0]
    assert "CRC" in skipped[0]


def test_a_page_of_a_damaged_run_is_not_drawn_and_the_maps_are(tmp_path: Path) -> None:
    path = with_checksums(write_run(tmp_path / "runs"))
    damage(path, "seed")  # no map reads it
    drawn = draw_all(tmp_path / "runs", tmp_path / "figs", FigureRequest())
    assert any(p.name.startswith("heatmap_") for p in drawn.paths)
    assert not any(p.name.startswith("dynamics_") for p in drawn.paths)
    (note,) = (note for note in drawn.notes if note.startswith("not drawn: dynamics_"))
    assert str(path) in note


def test_figures_of_damaged_runs_alone_are_refused_in_one_line(tmp_path: Path) -> None:
    path = with_checksums(write_run(tmp_path / "runs"))
    damage(path, "loss")
    with pytest.raises(UserError, match="not a readable table of the toy") as caught:
        draw_all(tmp_path / "runs", tmp_path / "figs", FigureRequest())
    assert str(path) in str(caught.value)
    assert not (tmp_path / "figs").exists()
