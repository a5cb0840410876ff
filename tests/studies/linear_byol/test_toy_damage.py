"""A damaged table of an unfinished toy run costs nothing: the rows are in its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.linear_byol.table import NAME, read_rows
from jepa_lab.studies.run import train
from toy_configs import configure

TOY = ("epochs=8", "log_every=1", "save_every_s=0", "figures=false", "eval_size=50")


def test_a_damaged_table_is_written_again_from_the_checkpoint_on_resume(tmp_path: Path) -> None:
    def table(folder: str) -> str:
        (path,) = (tmp_path / folder).rglob(NAME)
        return repr(read_rows(path).drop_columns(["wall_s"]).to_pydict())

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
    assert table("cut") == table("whole")
