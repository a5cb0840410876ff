"""The toy runs that are found, the runs that may share a figure, and their values at a step."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jepa_lab.errors import UserError
from jepa_lab.studies.linear_byol.figures.cells import (
    best_cell,
    best_so_far,
    cells_at,
    choose_epoch,
    choose_metric,
    read_trace,
)
from jepa_lab.studies.linear_byol.figures.run_selection import (
    comparable,
    in_batches,
    of_mode,
    population_twin,
    where,
)
from jepa_lab.studies.linear_byol.figures.runs import find_runs
from jepa_lab.studies.linear_byol.figures.theory import Theory, paths, positions
from toy_files import write_run

W = "W_Fro_aligned"


def cells(runs_dir: Path, metric: str = W, epoch: int = 300, last_valid: bool = False) -> list:
    return cells_at(
        [read_trace(r, [metric]) for r in comparable(find_runs(runs_dir).runs)],
        metric,
        epoch,
        last_valid,
    )


def three(values: list[float], **more: object) -> dict:
    """Returns settings of a run with rows at steps 1, 100, 200 and 300 and these values of W."""
    return {"epochs": 300, "columns": {W: values}, **more}


@pytest.mark.parametrize("text", ['"run_id": "other"', '"lr_enc_mode": "same"'])
def test_a_run_whose_id_or_mode_is_a_path_is_skipped(text: str, tmp_path: Path) -> None:
    """Both are in the names of the figures that are written."""
    write_run(tmp_path, seed=7)
    path = write_run(tmp_path / "other", run_id="other")
    table = pq.read_table(path)
    meta = table.schema.metadata[b"jepa_lab"].decode()
    assert text in meta
    changed = meta.replace(text, text.split(":")[0] + ': "../../x"')
    pq.write_table(table.replace_schema_metadata({"jepa_lab": changed}), path)
    found = find_runs(tmp_path)
    assert [run.seed for run in found.runs] == [7]
    ((_, reason),) = found.skipped
    assert "names a folder" in reason


def test_a_run_is_read_with_its_settings_and_a_rounded_tau(tmp_path: Path) -> None:
    write_run(tmp_path, ema_m=1 - 1e-4, lr_pred_setting=3e-3, seed=7)
    (run,) = find_runs(tmp_path).runs
    assert (run.mode, run.seed, run.batch_size, run.tau, run.row, run.beta) == (
        "same",
        7,
        32,
        1e-4,
        3e-3,
        None,
    )
    assert run.config["spectrum.high"] == 100.0
    assert {W, "loss"} <= run.columns
    assert not {"run_id", "sv_pred", "diverged"} & run.columns
    assert find_runs(run.path).runs == [run]


def test_settings_missing_in_the_metadata_are_read_from_the_rows(tmp_path: Path) -> None:
    import json

    import pyarrow.parquet as pq

    path = write_run(tmp_path, lr_enc_mode="ratio", enc_over_pred=0.25)
    table = pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"jepa_lab"])
    for key in ("lr_enc_mode", "enc_over_pred"):
        del meta["config"][key]
    pq.write_table(table.replace_schema_metadata({b"jepa_lab": json.dumps(meta).encode()}), path)
    (run,) = find_runs(tmp_path).runs
    assert (run.mode, run.config["enc_over_pred"]) == ("ratio", 0.25)


def test_auto_mode_does_not_average_the_trajectory(tmp_path: Path) -> None:
    # the published maps took every rate in use for a separate run: they drew .899 instead of .2
    for seed, final in ((0, 0.19), (1, 0.21)):
        write_run(
            tmp_path,
            **three(
                [3, 2, 1, final],
                lr_enc_mode="auto",
                lr_pred_setting=None,
                auto_alpha_c=0.4,
                auto_beta_c=0.4,
                seed=seed,
            ),
        )
    (cell,) = cells(tmp_path, last_valid=True)
    assert cell.row == 0.4
    assert cell.n_seeds == 2
    assert cell.mean == pytest.approx(0.2)
    assert cell.alpha == pytest.approx(0.8 / 100.25 * (1 + 0.05 * math.log10(300)))


def test_a_diverged_run_has_no_value_even_if_its_last_rows_were_good(tmp_path: Path) -> None:
    write_run(tmp_path, **three([3, 2, 0.001], seed=0, diverges_at=150))
    for seed in (1, 2):
        write_run(tmp_path, **three([3, 2, 1, 0.5], seed=seed))
    for last_valid in (True, False):
        (cell,) = cells(tmp_path, last_valid=last_valid)
        assert (cell.n_seeds, cell.n_diverged, cell.values) == (3, 1, (0.5, 0.5))
        assert cell.shown
        assert math.isnan(cell.score(W))
    (early,) = cells(tmp_path, epoch=100)
    assert (early.n_diverged, early.mean) == (0, 2.0)  # at step 100 it had not diverged


def test_surviving_seeds_are_shown_only_if_they_are_the_majority(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, **three([3, 2, 1], seed=seed, diverges_at=150))
    for seed in (2, 3):
        write_run(tmp_path, **three([3, 2, 1, 0.5], seed=seed))
    (cell,) = cells(tmp_path)
    assert not cell.shown
    assert math.isnan(cell.mean)
    write_run(tmp_path, **three([3, 2, 1, 0.5], seed=4))
    assert cells(tmp_path)[0].shown


def test_an_infinite_loss_is_a_divergence_without_a_flag(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, columns={W: [3, 2, 1, 0.5], "loss": [1, 1, np.inf, np.nan]})
    (cell,) = cells(tmp_path, last_valid=True)
    assert (cell.n_diverged, cell.values) == (1, ())


def test_a_loss_that_was_never_finite_is_no_divergence(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, columns={W: [3, 2, 1, 0.5], "loss": [np.nan] * 4})
    assert cells(tmp_path)[0].values == (0.5,)


def test_last_valid_goes_back_to_the_last_finite_row(tmp_path: Path) -> None:
    write_run(tmp_path, **three([3, 2, 1, np.nan]))
    assert cells(tmp_path)[0].n_missing == 1
    assert cells(tmp_path, last_valid=True)[0].values == (1.0,)
    assert cells(tmp_path, epoch=250, last_valid=True)[0].values == (1.0,)
    assert cells(tmp_path, epoch=250)[0].values == ()


def test_mean_sd_median_and_range_are_taken_over_the_seeds(tmp_path: Path) -> None:
    for seed, value in enumerate((1.0, 2.0, 6.0)):
        write_run(tmp_path, **three([9, 9, 9, value], seed=seed))
    (cell,) = cells(tmp_path)
    assert (cell.mean, cell.quantile(0.5), cell.quantile(0), cell.quantile(1)) == (
        3.0,
        2.0,
        1.0,
        6.0,
    )
    assert cell.sd == pytest.approx(math.sqrt(7))
    assert cell.score(W) == pytest.approx(math.log10(12) / 3)


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    write_run(tmp_path, **three([9, 9, 9, 1.0]))
    assert math.isnan(cells(tmp_path)[0].sd)


def test_betas_of_the_logspace_mode_are_separate_cells(tmp_path: Path) -> None:
    for beta, value in ((1e-4, 1.0), (1e-2, 5.0)):
        write_run(tmp_path, **three([9, 9, 9, value], lr_enc_mode="logspace", lr_enc_setting=beta))
    assert [(c.beta, c.mean) for c in cells(tmp_path)] == [(1e-4, 1.0), (1e-2, 5.0)]


def test_the_best_cell_has_the_lowest_mean_logarithm_and_no_diverged_seed(tmp_path: Path) -> None:
    def seeds(alpha: float, values: list[float]) -> None:
        for seed, value in enumerate(values):
            write_run(tmp_path, **three([9, 9, 9, value], lr_pred_setting=alpha, seed=seed))

    seeds(1e-3, [0.1, 10.0, 0.1])  # mean 3.4, mean log10 -0.33
    seeds(1e-2, [0.9, 0.9, 0.9])  # mean 0.9, mean log10 -0.05
    seeds(1e-1, [0.01, 0.01])
    write_run(tmp_path, **three([9, 9, 9], lr_pred_setting=1e-1, seed=2, diverges_at=120))
    found = cells(tmp_path)
    best = best_cell(found, W)
    assert best is not None
    assert best.row == 1e-3
    assert best_cell(found, "erank_pred") is None  # a rank is no goal
    top = best_cell(found, "readout_r2")
    assert top is not None
    assert top.row == 1e-3  # high is good: the highest mean is best


def test_the_best_row_of_a_run_may_be_before_its_last(tmp_path: Path) -> None:
    write_run(tmp_path, **three([9, 0.5, 2, 3]))
    traces = [read_trace(run, [W]) for run in find_runs(tmp_path).runs]
    assert best_so_far(traces, W, 300)[0].values == (0.5,)
    assert best_so_far(traces, W, 1)[0].values == (9.0,)


def test_of_repeated_runs_only_the_longest_counts(tmp_path: Path) -> None:
    # in auto mode the published sweep ran every alpha, which changes nothing: 64 runs, 16 of them
    # distinct
    write_run(tmp_path / "a", **three([9, 9, 9, 1.0]))
    write_run(
        tmp_path / "b",
        **{**three([9, 9, 2.0]), "until": 200, "state": "stopped", "run_id": "other"},
    )
    runs = find_runs(tmp_path).runs
    assert len(runs) == 2
    assert [run.rows for run in comparable(runs)] == [4]


def test_runs_that_differ_in_other_settings_are_not_averaged(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, epochs=300, seed=seed)
    write_run(tmp_path, epochs=300, mom_pred=0.95, enc="mlp")
    runs = find_runs(tmp_path).runs
    with pytest.raises(UserError) as error:
        comparable(runs)
    text = str(error.value)
    assert "enc is linear (2 runs), mlp (1 run)" in text
    assert "mom_pred is 0.9 (2 runs), 0.95 (1 run)" in text
    assert "add --where enc=" in text
    assert len(comparable(where(runs, ["mom_pred=0.9"]))) == 2
    assert len(comparable(where(runs, ["enc=mlp", "mom_pred=.95"]))) == 1


@pytest.mark.parametrize(
    ("mode", "key", "asked"),
    [
        ("same", "enc_over_pred", False),
        ("ratio", "enc_over_pred", True),
        ("from_tau", "beta_from_tau_c", True),
        ("same", "auto_rule", False),
        ("auto", "auto_rule", True),
        ("same", "log_every", False),
    ],
)
def test_a_constant_counts_only_in_the_mode_that_reads_it(
    mode: str, key: str, asked: bool, tmp_path: Path
) -> None:
    values = {"auto_rule": ("two_over_h", "tau_over_h"), "log_every": (50, 100)}.get(
        key, (0.5, 1.0)
    )
    for seed, value in enumerate(values):
        write_run(tmp_path, **{"epochs": 300, "lr_enc_mode": mode, "seed": seed, key: value})
    runs = find_runs(tmp_path).runs
    if asked:
        with pytest.raises(UserError, match=key):
            comparable(runs)
    else:
        assert len(comparable(runs)) == 2


def test_both_constants_of_auto_mode_may_only_vary_together(tmp_path: Path) -> None:
    auto = {"epochs": 300, "lr_enc_mode": "auto", "lr_pred_setting": None}
    for c in (0.1, 0.4):
        write_run(tmp_path, **auto, auto_alpha_c=c, auto_beta_c=c)
    assert [run.row for run in comparable(find_runs(tmp_path).runs)] == [0.1, 0.4]
    write_run(tmp_path, **auto, auto_alpha_c=0.4, auto_beta_c=0.9)
    with pytest.raises(UserError, match="auto_beta_c"):
        comparable(find_runs(tmp_path).runs)


def test_an_automatic_alpha_and_a_set_alpha_share_no_axis(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, lr_enc_mode="auto", auto_beta_c=0.4)
    write_run(
        tmp_path,
        epochs=300,
        lr_enc_mode="auto",
        auto_beta_c=0.4,
        auto_alpha_c=0.4,
        lr_pred_setting=None,
        seed=1,
    )
    with pytest.raises(UserError, match=r"lr_pred_setting is a number \(1 run\), null \(1 run\)"):
        comparable(find_runs(tmp_path).runs)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("momentum=0.9", "no run has the setting momentum"),
        ("mom_pred=0.8", "mom_pred is 0.9 (1 run)"),
        ("mom_pred", "KEY=VALUE"),
        ("mom_pred=", "KEY=VALUE"),
        ("enc=0.9", "enc is linear"),
        ("mom_pred=big", "no such"),
    ],
)
def test_a_filter_without_a_match_reports_the_available_values(
    condition: str, message: str, tmp_path: Path
) -> None:
    write_run(tmp_path, epochs=300)
    with pytest.raises(UserError) as error:
        where(find_runs(tmp_path).runs, [condition])
    assert message in str(error.value)


def test_filters_accept_tau_booleans_and_null(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, ema_m=0.99, population=True)
    write_run(tmp_path, epochs=300)
    runs = find_runs(tmp_path).runs
    for condition in ("tau=0.01", "population=true", "ema_m=.99"):
        assert [run.tau for run in where(runs, [condition])] == [0.01]
    assert len(where(runs, ["lr_enc_setting=null"])) == 2


def test_missing_modes_and_batches_raise_with_the_available_ones(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, batch_size=64)
    write_run(tmp_path, epochs=300, lr_enc_mode="from_tau")
    runs = find_runs(tmp_path).runs
    assert list(of_mode(runs, None)) == ["same", "from_tau"]
    assert [run.mode for run in of_mode(runs, "from_tau")["from_tau"]] == ["from_tau"]
    with pytest.raises(UserError, match="available: same, from_tau"):
        of_mode(runs, "auto")
    assert [run.batch_size for run in in_batches(runs, [64])] == [64]
    with pytest.raises(UserError, match="available: 32, 64"):
        in_batches(runs, [64, 128])


def test_an_epoch_must_have_been_logged_unless_use_last_valid_is_set(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300)
    traces = [read_trace(run, []) for run in find_runs(tmp_path).runs]
    assert choose_epoch(traces, None, False) == 300
    assert choose_epoch(traces, 200, False) == 200
    assert choose_epoch(traces, 260, True) == 260
    with pytest.raises(UserError, match="never logged; nearest: 100, 200, 300"):
        choose_epoch(traces, 260, False)


def test_the_last_epoch_is_the_configured_one_if_all_runs_diverged(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, diverges_at=120)
    assert (
        choose_epoch([read_trace(run, []) for run in find_runs(tmp_path).runs], None, False) == 300
    )


def test_runs_of_different_lengths_are_compared_up_to_the_shortest(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300)
    write_run(tmp_path, epochs=500, seed=1)
    traces = [read_trace(run, []) for run in comparable(find_runs(tmp_path).runs)]
    assert choose_epoch(traces, 300, False) == 300
    for asked in (None, 400):
        with pytest.raises(
            UserError, match=r"epochs are 300 \(1 runs\), 500 \(1 runs\).*--epoch 300"
        ):
            choose_epoch(traces, asked, True)


def test_a_metric_must_have_a_value_in_some_run(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300, columns={W: [np.nan] * 4})
    traces = [read_trace(run, [W, "loss"]) for run in find_runs(tmp_path).runs]
    assert choose_metric(traces, None, [W, "loss"], "--metric") == "loss"
    assert choose_metric(traces, None, [W], "--metric") is None
    with pytest.raises(UserError, match="no run has a number"):
        choose_metric(traces, W, [], "--metric")
    for name in ("W_Fro", "run_id", "sv_pred"):
        with pytest.raises(
            UserError, match=rf"--metric {name}: no such column; available: .*W_Fro_raw"
        ):
            choose_metric(traces, name, [], "--metric")


def test_files_that_are_not_runs_are_skipped_with_the_reason(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_run(tmp_path, epochs=300)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "linear_byol.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "y").mkdir()
    pq.write_table(pa.table({"epoch": [1]}), tmp_path / "y" / "linear_byol.parquet")
    found = find_runs(tmp_path)
    assert len(found.runs) == 1
    assert [path.parent.name for path, _ in found.skipped] == ["x", "y"]
    assert "no settings in its metadata" in found.skipped[1][1]
    with pytest.raises(UserError, match="no settings"):
        find_runs(tmp_path / "y")
    with pytest.raises(UserError, match=r"no linear_byol\.parquet"):
        find_runs(_empty(tmp_path))
    with pytest.raises(UserError, match="no such folder"):
        find_runs(tmp_path / "nowhere")


def _empty(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_the_population_run_of_equal_settings_is_the_theory_of_a_run(tmp_path: Path) -> None:
    write_run(tmp_path, epochs=300)
    write_run(tmp_path, epochs=300, population=True, batch_size=64)
    write_run(tmp_path, epochs=300, population=True, ema_m=0.9)
    runs = find_runs(tmp_path).runs
    (noisy,) = [run for run in runs if not run.config["population"]]
    twin = population_twin(noisy, runs)
    assert twin is not None
    assert (twin.config["population"], twin.tau) == (True, noisy.tau)
    assert population_twin(twin, runs) is None


def test_positions_are_linear_in_the_logarithm() -> None:
    grid = [1e-3, 1e-2, 1.0]
    np.testing.assert_allclose(
        positions(grid, np.array([1e-3, 10**-2.5, 1e-2, 0.1, 1.0])), [0, 0.5, 1, 1.5, 2]
    )
    # extrapolated at the ends
    np.testing.assert_allclose(positions(grid, np.array([1e-4, 100.0])), [-1, 3])
    # a single cell: one decade per cell
    np.testing.assert_allclose(positions([0.1], np.array([0.1, 1.0])), [0, 1])
    # tau 0 has no logarithm
    np.testing.assert_allclose(positions([0.0, 1e-2, 1e-1], np.array([1e-2, 1e-1])), [1, 2])
    assert np.isnan(positions([0.0], np.array([1.0]))).all()


def test_the_lines_of_the_theory_use_the_effective_step() -> None:
    theory = Theory(d=10, momentum=0.9, curvature=100.25)
    # spec A4: stable at .15, diverges at .25
    assert theory.bound == pytest.approx(0.18953, rel=1e-4)
    assert theory.effective(1e-3) == pytest.approx(2e-3)
    lines = theory.lines(np.array([1e-3, 1e-2]))
    np.testing.assert_allclose([theory.effective(a) for a in lines["α_eff = τ"]], [1e-3, 1e-2])
    np.testing.assert_allclose(
        [theory.effective(a) * 100.25 for a in lines["α_eff H = τ"]], [1e-3, 1e-2]
    )
    drawn = paths(theory, [1e-3, 1e-2], [1e-3, 1e-2, 1e-1])
    x, y = drawn["α_eff = τ"]
    assert np.interp(1.0, x, y) == pytest.approx(np.log10(5e-3 / 1e-3), abs=1e-6)
    assert drawn["α_eff H = τ"] is None  # alpha is at most 5e-5, outside the grid
    assert paths(Theory(10, 0.9, math.nan), [1e-3], [1e-3]) == {}
