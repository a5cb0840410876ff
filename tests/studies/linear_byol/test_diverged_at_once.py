"""Toy runs that diverge before anything could be measured: they keep their verdict and their
figures."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from jepa_lab import heatmaps
from jepa_lab.studies.linear_byol.figures import dynamics
from jepa_lab.studies.run import train
from toy_configs import configure

AT_ONCE = ("epochs=20", "log_every=5", "d_latent=4", "d_obs=6", "enc_init=random")
AT_ONCE += ("enc_init_scale=1e160",)
ONE_CELL = ("lr_pred_logspace=[0.1,0.1,1]", "tau_logspace=[0.1,0.1,1]")
ONE_CELL += ("lr_enc_logspace=[0.1,0.1,1]", "seeds=[1]")


def test_a_run_without_a_finite_value_has_a_page_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[Figure] = []
    monkeypatch.setattr(dynamics, "settle", lambda figure: (pages.append(figure), figure)[1])
    result = train(configure(f"runs_dir={tmp_path}", *AT_ONCE))
    assert (result.state, result.verdict["status"]) == ("completed", "diverged")
    assert (result.run_dir / "figures" / "dynamics.png").is_file()
    (panel,) = pages[0].axes
    assert panel.get_title(loc="left") == "Loss"
    assert [text.get_text() for text in panel.texts] == [dynamics.NOTHING]


def test_a_grid_without_a_finite_value_is_drawn_without_maps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(
        configure(f"runs_dir={tmp_path}", *AT_ONCE, *ONE_CELL, experiment="linear_byol_sweep")
    )
    assert (result.state, result.verdict["status"]) == ("completed", "diverged")
    out = tmp_path / "figs"
    heatmaps.main([str(result.run_dir.parent), "--out", str(out), "--scatter-best"])
    assert "no maps, since no run has a finite value" in capsys.readouterr().out
    assert list(out.glob("dynamics_bs32_*.png"))
    assert not list(out.glob("heatmap_*"))
