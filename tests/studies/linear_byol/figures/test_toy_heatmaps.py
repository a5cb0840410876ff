"""The toy's maps, slices and trajectories, read from their matplotlib artists."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.colors import to_hex

from jepa_lab.studies.linear_byol.figures.cells import Cell, best_cell
from jepa_lab.studies.linear_byol.figures.dynamics import draw_run, run_figure
from jepa_lab.studies.linear_byol.figures.heatmaps import map_figure
from jepa_lab.studies.linear_byol.figures.runs import find_runs
from jepa_lab.studies.linear_byol.figures.singular_values import singular_values_figure
from jepa_lab.studies.linear_byol.figures.slices import scatter_figure, slices_figure
from jepa_lab.studies.linear_byol.figures.style import Heading, short
from jepa_lab.studies.linear_byol.figures.theory import Theory
from toy_files import OPTIMUM, write_run

W = "W_Fro_aligned"
HEADING = Heading("same", 32, 2000, "alpha", "momenta 0.9 and 0.9", Theory(10, 0.9, 100.0))
AUTO = Heading("auto", 32, 2000, "c", "momenta 0.9 and 0.9")


def cell(
    tau: float, row: float, *values: float, beta: float | None = None, diverged: int = 0
) -> Cell:
    return Cell(32, beta, row, tau, values, len(values) + diverged, diverged, row, row, 100.0)


GRID = [
    cell(tau, alpha, 10 * tau * alpha, 30 * tau * alpha)
    for tau in (1e-3, 1e-2)
    for alpha in (1e-3, 1e-2)
]


def texts(ax: object) -> list[str]:
    return [text.get_text() for text in ax.texts]  # type: ignore[attr-defined]


def image(ax: object) -> np.ndarray:
    return np.ma.filled(ax.images[0].get_array(), np.nan)  # type: ignore[attr-defined]


def legend(figure: object) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]  # type: ignore[attr-defined]


def test_colour_is_log10_of_the_mean_over_tau_and_alpha() -> None:
    ax = map_figure(GRID, W, HEADING, None).axes[0]
    # the mean of a cell is 20 tau alpha
    np.testing.assert_allclose(image(ax), np.log10(20) + np.array([[-6, -5], [-5, -4]]))
    assert ax.images[0].origin == "lower"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.001", "0.01"]
    assert "0.002\n±0.0014" in texts(ax)


def test_ranks_are_coloured_on_a_linear_scale() -> None:
    ax = map_figure(
        [cell(1e-3, 1e-3, 7.0), cell(1e-2, 1e-3, 8.0)], "erank_pred", HEADING, None
    ).axes[0]
    np.testing.assert_allclose(image(ax), [[7.0, 8.0]])


def test_a_diverged_cell_is_hatched_and_has_no_colour() -> None:
    cells = [*GRID[:3], cell(1e-2, 1e-2, 1e-9, 1e-9, diverged=6)]
    figure = map_figure(cells, W, HEADING, best_cell(cells, W))
    ax = figure.axes[0]
    assert math.isnan(image(ax)[1, 1])
    assert "6/8 div" in texts(ax)
    (dead,) = [patch for patch in ax.patches if patch.get_hatch() == "xxx"]
    assert (dead.get_x(), dead.get_y()) == (0.5, 0.5)
    assert "most seeds diverged" in legend(figure)
    assert "some seeds diverged" not in legend(figure)


def test_a_cell_with_a_diverged_minority_is_coloured_and_hatched_lightly() -> None:
    cells = [*GRID[:3], cell(1e-2, 1e-2, *[1e-3] * 6, diverged=2)]
    figure = map_figure(cells, W, HEADING, None)
    ax = figure.axes[0]
    assert image(ax)[1, 1] == pytest.approx(-3)
    assert [patch.get_hatch() for patch in ax.patches if patch.get_hatch()] == ["//"]
    assert any(text.endswith("2/8 div") for text in texts(ax))
    assert "some seeds diverged" in legend(figure)


def test_the_best_cell_is_framed() -> None:
    best = best_cell(GRID, W)
    ax = map_figure(GRID, W, HEADING, best).axes[0]
    (frame,) = [patch for patch in ax.patches if patch.get_gid() == "best"]
    assert (frame.get_x(), frame.get_y()) == (pytest.approx(-0.47), pytest.approx(-0.47))
    assert not [
        patch
        for patch in map_figure(GRID, W, HEADING, None).axes[0].patches
        if patch.get_gid() == "best"
    ]


def test_every_beta_has_its_own_panel_on_a_common_colour_scale() -> None:
    betas = (1e-4, 1e-3, 1e-2, 1e-1)
    cells = [
        cell(tau, alpha, b, beta=b) for b in betas for tau in (1e-3, 1e-2) for alpha in (1e-3, 1e-2)
    ]
    panels = [ax for ax in map_figure(cells, W, HEADING, None).axes if ax.images]
    assert [ax.get_title(loc="left") for ax in panels] == [
        "β = 1e-4",
        "β = 0.001",
        "β = 0.01",
        "β = 0.1",
    ]
    for ax, beta in zip(panels, betas, strict=True):
        np.testing.assert_allclose(image(ax), math.log10(beta))
        assert ax.images[0].norm.vmin == pytest.approx(-4)


def test_lines_outside_the_grid_are_marked_in_the_legend() -> None:
    figure = map_figure(GRID, W, HEADING, None)
    assert "α_eff H = τ (beyond the grid)" in legend(figure)
    assert "stability: α = d(1+μ)/H (beyond the grid)" in legend(figure)
    drawn = [
        line.get_label()
        for line in figure.axes[0].lines
        if not str(line.get_label()).startswith("_")
    ]
    assert drawn == ["α_eff = τ"]


def test_an_automatic_alpha_has_one_row_with_its_rates_below() -> None:
    cells = [
        Cell(32, None, 0.4, tau, (tau, 3 * tau), 2, 0, 8e-3 + tau, 1e-6, 100.0)
        for tau in (1e-3, 1e-2)
    ]
    strip, line = map_figure(cells, W, AUTO, None).axes[:2]
    assert image(strip).shape == (1, 2)
    assert [t.get_text() for t in line.get_xticklabels()] == ["0.001\nα 0.009", "0.01\nα 0.018"]
    (mean,) = [ln for ln in line.lines if ln.get_linestyle() == "-"]
    np.testing.assert_allclose(mean.get_ydata(), [2e-3, 2e-2])
    seeds = np.concatenate([ln.get_ydata() for ln in line.lines if ln.get_marker() == "o"])
    np.testing.assert_allclose(np.sort(seeds), [1e-3, 3e-3, 1e-2, 3e-2])


def test_several_constants_of_auto_mode_form_an_axis_without_lines() -> None:
    cells = [cell(tau, c, tau * c) for tau in (1e-3, 1e-2) for c in (0.1, 0.4)]
    ax = map_figure(cells, W, AUTO, None).axes[0]
    assert ax.get_ylabel() == "c of the automatic α"
    assert not ax.lines
    assert "1e-4\nα 0.1" in texts(ax)


def test_the_title_has_mode_batch_step_seeds_and_momenta() -> None:
    title = map_figure(GRID, W, HEADING, None)._suptitle.get_text()  # type: ignore[attr-defined]
    assert title == "W_Fro_aligned\nmode same, batch 32, step 2000, 2 seeds, momenta 0.9 and 0.9"


def test_maps_without_values_and_with_a_missing_cell_are_drawn() -> None:
    dead = map_figure(
        [cell(1e-3, 1e-3, diverged=2), cell(1e-2, 1e-3, diverged=2)], W, HEADING, None
    )
    assert np.isnan(image(dead.axes[0])).all()
    hole = map_figure(GRID[:3], W, HEADING, None)
    assert np.isnan(image(hole.axes[0])[1, 1])
    dead.canvas.draw()
    hole.canvas.draw()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2134, "0.213"),
        (2.13e-5, "2.1e-5"),
        (1e-4, "1e-4"),
        (0.0, "0"),
        (1234.5, "1234"),
        (3.2e7, "3.2e7"),
        (58.04, "58"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


def test_slices_show_the_median_and_stop_with_a_cross_where_most_seeds_diverged() -> None:
    cells = [cell(1e-3, alpha, 1.0, 2.0, 6.0) for alpha in (1e-3, 1e-2)]
    cells.append(cell(1e-3, 1e-1, 0.01, diverged=2))
    ax = slices_figure(cells, "loss", HEADING).axes[0]
    (line,) = [ln for ln in ax.lines if ln.get_label() == "τ = 0.001"]
    np.testing.assert_allclose(line.get_ydata(), [2.0, 2.0, np.nan])
    (cross,) = [ln for ln in ax.lines if ln.get_marker() == "x" and len(ln.get_xdata())]
    np.testing.assert_allclose(cross.get_xdata(), [1e-1])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), np.nanmax(band)) == (1.0, 6.0)


def test_slices_of_one_automatic_row_run_along_tau() -> None:
    cells = [cell(tau, 0.4, tau) for tau in (1e-3, 1e-2)]
    ax = slices_figure(cells, "loss", AUTO).axes[0]
    assert ax.get_xlabel() == "τ = 1 − m"
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [1e-3, 1e-2])


def test_the_scatter_plot_is_over_alpha_and_tau_and_marks_diverged_cells() -> None:
    figure = scatter_figure([*GRID, cell(1e-2, 1e-1, diverged=2)], W, HEADING)
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [(c.row, c.tau) for c in GRID])
    np.testing.assert_allclose(ax.collections[0].get_array(), np.log10([c.mean for c in GRID]))
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1e-1, 1e-2]])


def test_singular_values_of_one_seed_are_drawn_against_the_optimum(tmp_path: Path) -> None:
    for seed in (0, 1):
        for alpha in (1e-3, 1e-2):
            write_run(tmp_path, epochs=300, lr_pred_setting=alpha, seed=seed)
    runs = find_runs(tmp_path).runs
    figure = singular_values_figure(runs, HEADING, seed=1)
    assert figure is not None
    assert len(figure.axes) == 2
    (run,) = [run for run in runs if run.seed == 1 and run.row == 1e-2]
    written = np.array(pq.read_table(run.path)["sv_pred"].to_pylist())
    lines = figure.axes[0].lines  # the highest alpha is the upper panel
    np.testing.assert_allclose(np.array([ln.get_ydata() for ln in lines[:10]]).T, written)
    np.testing.assert_allclose([ln.get_ydata()[0] for ln in lines[10:20]], OPTIMUM)
    assert figure.axes[0].get_xscale() == "log"


def test_runs_without_a_linear_predictor_have_no_singular_values(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, pred="mlp", without=("sv_pred", "sv_optimal"))
    assert singular_values_figure(find_runs(tmp_path).runs, HEADING, seed=42) is None


def test_a_fine_grid_is_thinned_and_the_title_reports_it(tmp_path: Path) -> None:
    for alpha in np.logspace(-4, -2, 9):
        write_run(tmp_path, epochs=200, lr_pred_setting=float(alpha))
    figure = singular_values_figure(find_runs(tmp_path).runs, HEADING, seed=42)
    assert figure is not None
    assert len(figure.axes) == 6
    assert "6 x 1 of 9 x 1 cells" in figure._suptitle.get_text()  # type: ignore[attr-defined]


def test_a_run_page_shows_its_columns_and_the_step_of_divergence(tmp_path: Path) -> None:
    table = pq.read_table(write_run(tmp_path, epochs=300, lr_pred_setting=0.1, diverges_at=250))
    figure = run_figure(table)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [
        "Loss",
        "Predictor: distance to P*",
        "Encoder: distance to A⁺",
        "Read-out of the latent",
        "Tracking gap",
        "Effective ranks",
        "Curvature",
        "Step times curvature",
    ]
    loss = {ln.get_label(): ln.get_ydata() for ln in figure.axes[0].lines}
    np.testing.assert_allclose(loss["population"], table["loss_population"])
    assert set(loss) >= {"minibatch", "population", "irreducible"}
    steps = figure.axes[-1].lines
    np.testing.assert_allclose(
        steps[0].get_ydata(), np.array(table["lr_pred"]) * np.array(table["Hmax"])
    )
    assert any(
        ln.get_label() == "stable below" and ln.get_ydata()[0] == pytest.approx(19) for ln in steps
    )
    for ax in figure.axes:
        assert any(
            to_hex(ln.get_color()) == "#d55e00" and list(ln.get_xdata()) == [250, 250]
            for ln in ax.lines
        )
    assert "diverged at step 250" in figure._suptitle.get_text()  # type: ignore[attr-defined]
    fewer = run_figure(table.drop_columns(["W_Fro_raw", "W_Fro_aligned", "Hmax"]))
    assert len(fewer.axes) == 5


def test_the_theory_is_a_dashed_line_in_every_panel(tmp_path: Path) -> None:
    run = pq.read_table(write_run(tmp_path, epochs=300))
    theory = pq.read_table(write_run(tmp_path, epochs=300, population=True, seed=1))
    figure = run_figure(run, theory)
    for ax in figure.axes:
        assert [
            ln
            for ln in ax.lines
            if ln.get_linestyle() == "--" and to_hex(ln.get_color()) == "#222222"
        ]
    gap = [ln for ln in figure.axes[4].lines if to_hex(ln.get_color()) == "#222222"]
    np.testing.assert_allclose(gap[0].get_ydata(), theory["tracking_gap"])
    assert draw_run(run, tmp_path / "page.png", theory).stat().st_size > 20_000


def test_a_page_of_an_empty_table_raises(tmp_path: Path) -> None:
    table = pq.read_table(write_run(tmp_path, epochs=300))
    with pytest.raises(ValueError, match="got 0 rows"):
        draw_run(table.slice(0, 0), tmp_path / "page.png")
