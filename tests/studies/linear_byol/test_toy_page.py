"""The page of the toy: the curves of a run beside the theory, and the last values of a grid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jepa_lab.diagnosis.thresholds import Thresholds
from jepa_lab.studies.linear_byol.charts import ABOUT, grid_charts
from jepa_lab.studies.linear_byol.examination import diagnose
from jepa_lab.studies.linear_byol.figures.dynamics import PANELS
from jepa_lab.studies.linear_byol.quantities import toy_quantities
from jepa_lab.studies.run import train
from page_data import page_data
from toy_configs import configure

SMALL = ("d_latent=3", "d_obs=12", "batch_size=8", "log_every=2", "epochs=40")


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose predictor leaves the optimum that it started at."""
    folder = tmp_path_factory.mktemp("runs")
    rates = ("lr_pred=0.05", "ema_m=0.5", "epochs=200")
    return train(configure(f"runs_dir={folder}", *SMALL, *rates)).run_dir


def test_the_verdict_at_the_end_of_a_run_is_the_one_of_its_folder(drifting: Path) -> None:
    found = diagnose(drifting, lambda line: False)
    stored = json.loads((drifting / "summary.json").read_text())["verdict"]
    assert stored["line"] == found.examination.verdict.line()
    assert f"<p>{stored['line']}</p>".replace("'", "&#39;") in page_of(drifting)


def page_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def test_a_run_has_its_curves_beside_the_theory_and_the_limit_of_the_rank(drifting: Path) -> None:
    (charts,) = page_data(drifting / "report.html").values()
    by_title = {one["title"]: one for one in charts}
    assert set(by_title) == {title for title, *_ in PANELS} == set(ABOUT)
    lines = [line["name"] for line in by_title["Loss"]["lines"]]
    assert lines == ["minibatch", "population", "irreducible", "population, theory"]
    assert all(one["log_steps"] for one in charts)
    (bound,) = by_title["Effective ranks"]["bounds"]
    assert (bound["y"], bound["arms"]) == (Thresholds().toy_rank, [0])
    names = [line["name"] for line in by_title["Step times curvature"]["lines"]]
    assert any(name.startswith("stable below ") for name in names)


def test_a_grid_shows_its_last_values_over_the_setting_with_most_values(tmp_path: Path) -> None:
    axes = ("epochs=10", "seed=null", "seeds=[1,2]", "lr_pred=null")
    axes = (*axes, "lr_pred_logspace=[1e-5,1e-3,3]")
    axes = (*axes, "ema_m=null", "tau_logspace=[1e-3,1e-1,2]")  # lr_enc follows lr_pred
    run = train(configure(f"runs_dir={tmp_path}", "figures=false", *SMALL, *axes)).run_dir
    (charts,) = page_data(run / "report.html").values()
    losses = next(one for one in charts if one["key"] == "excess_loss")
    assert losses["x"] == "lr_pred"
    assert [line["name"] for line in losses["lines"]] == ["tau 0.001", "tau 0.1"]
    first = losses["series"][0]
    assert first["x"] == pytest.approx([1e-5, 1e-4, 1e-3])
    assert all(a <= b <= c for a, b, c in zip(first["lo"], first["y"], first["hi"], strict=True))
    assert first["lo"] != first["hi"]


def test_a_grid_without_a_numeric_axis_has_no_chart() -> None:
    assert grid_charts([({"seed": 1, "tau": 0.1}, {}), ({"seed": 2, "tau": 0.1}, {})]) == {}


def test_the_ranges_are_those_of_the_rules() -> None:
    columns = {"erank_encoded": [5.0, 1.2], "variance": [100.0, 90.0], "loss_share": [1.0, 0.9]}
    rows = {row.key: row for row in toy_quantities(columns, [1, 2], Thresholds())}
    inside = {key.removeprefix("val/"): row.inside for key, row in rows.items()}
    assert inside == {"erank_encoded": False, "variance": True, "loss_share": False}
    assert rows["val/variance"].limit == pytest.approx(0.1)
