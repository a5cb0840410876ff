"""docs/adding_a_loss.md: writes its two files to a user's folder and trains a run with them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from conftest import ROOT
from jepa_lab.auxiliary import AuxTerm
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config

DOCS = ROOT / "docs" / "adding_a_loss.md"
Make = Callable[..., Config]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Writes the two files of the page, and yields the override by which Hydra finds them."""
    text = DOCS.read_text(encoding="utf-8")
    blocks = {
        kind: re.search(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for kind in ("python", "yaml")
    }
    assert all(blocks.values())
    (tmp_path / "conf" / "aux_loss").mkdir(parents=True)
    (tmp_path / "my_losses.py").write_text(blocks["python"][1], encoding="utf-8")  # type: ignore[index]
    (tmp_path / "conf" / "aux_loss" / "even_scale.yaml").write_text(
        blocks["yaml"][1], encoding="utf-8"
    )  # type: ignore[index]
    monkeypatch.syspath_prepend(str(tmp_path))
    yield f"hydra.searchpath=[aux_loss://{tmp_path / 'conf'}]"
    sys.modules.pop("my_losses", None)


def test_the_page_shows_at_most_thirty_lines_of_code() -> None:
    code = re.search(
        r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert code is not None
    assert len(code[1].splitlines()) <= 30


def test_the_documented_loss_trains_beside_another_loss(folder: str, make_config: Make) -> None:
    overrides = ["aux=[vicreg,even_scale]", "aux.even_scale.std=2", folder]
    result = train(make_config(*overrides, experiment="seq_jepa_baseline"))
    history = history_of(result.run_dir)
    last = {
        name: history[f"train/loss/even_scale{name}"][-1][1] for name in ("", "_narrow", "_wide")
    }
    assert last[""] == pytest.approx(last["_narrow"] + last["_wide"], rel=1e-5)
    assert history["train/gradient/even_scale"][0][1] > 0
    assert history["train/loss/vicreg"]


def test_the_documented_loss_computes_the_documented_value(folder: str, make_config: Make) -> None:
    config = make_config("aux=even_scale", folder, experiment="seq_jepa_baseline")
    arm = AuxTerm(config.aux["even_scale"], {"z": 3}, has_ema_teacher=False)
    x = torch.randn(50, 2, 3)
    rows = x.reshape(100, 3)
    assert torch.allclose(arm({"z": x}, 0).total, (rows.std(dim=0) - 1).square().mean())


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["aux.even_scale.std=0"], r"aux\.even_scale\.std=0\.0: must be above 0"),
        (["+aux.even_scale.sdt=1"], r"aux\.even_scale\.sdt: no such key; did you mean 'std'\?"),
        (
            ["aux.even_scale.site=[z_hat,z_target]"],
            r"site=\[z_hat,z_target\]: expected one of z, z_agg, z_hat",
        ),
        (
            ["aux.even_scale._target_=my_losses.EvenScales"],
            r"my_losses\.EvenScales: not a class of options",
        ),
        (["aux.even_scale._target_=my_loses.EvenScale"], r"No module named 'my_loses'"),
        (["~aux.even_scale.std"], r"aux\.even_scale\.std is missing"),
    ],
)
def test_invalid_options_of_the_loss_raise_one_line(
    overrides: list[str], line: str, folder: str, make_config: Make
) -> None:
    with pytest.raises(UserError, match=line):
        make_config("aux=even_scale", *overrides, folder, experiment="seq_jepa_baseline")
