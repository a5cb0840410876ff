"""Flipped bits in the files of an unfinished toy run are noticed, and cost nothing: the rows are in
its checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.linear_byol.table import NAME, read_rows
from jepa_lab.studies.run import train
from toy_configs import configure

TOY = ("epochs=8", "log_every=1", "save_every_s=0", "figures=false", "eval_size=50")


def rows(folder: Path) -> str:
    """Returns the table of the only run, without its times."""
    (path,) = folder.rglob(NAME)
    return repr(read_rows(path).drop_columns(["wall_s"]).to_pydict())


@pytest.mark.parametrize("tenth", range(1, 10, 2))
def test_a_flipped_bit_in_the_last_checkpoint_makes_it_resume_from_the_previous(
    tenth: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(configure(*TOY, f"runs_dir={tmp_path / 'whole'}"))
    for _ in range(3):
        run = train(configure(*TOY, f"runs_dir={tmp_path / 'cut'}", "max_wall_s=1e-9"))
    last = run.run_dir / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) * tenth // 10] ^= 1 << tenth % 8
    last.write_bytes(bytes(content))
    capsys.readouterr()
    assert train(configure(*TOY, f"runs_dir={tmp_path / 'cut'}")).resumed
    assert "last.ckpt is damaged" in capsys.readouterr().err
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_a_damaged_table_is_written_again_from_the_checkpoint_on_resume(tmp_path: Path) -> None:
    train(configure(*TOY, f"runs_dir={tmp_path / 'whole'}"))
    for _ in range(3):
        run = train(configure(*TOY, f"runs_dir={tmp_path / 'cut'}", "max_wall_s=1e-9"))
        assert run.state == "stopped"
    content = bytearray((run.run_dir / NAME).read_bytes())
    content[len(content) // 2] ^= 1
    (run.run_dir / NAME).write_bytes(bytes(content))
    with pytest.raises(UserError, match=rf"{NAME}: not a readable table of the toy"):
        read_rows(run.run_dir / NAME)
    again = train(configure(*TOY, f"runs_dir={tmp_path / 'cut'}"))
    assert (again.state, again.resumed) == ("completed", True)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
