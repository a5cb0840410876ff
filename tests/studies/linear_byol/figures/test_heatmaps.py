"""python -m jepa_lab.heatmaps: the files that it writes, their values, and its errors."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from jepa_lab import heatmaps
from jepa_lab.studies.linear_byol.figures.all import draw_heatmaps
from toy_files import write_run

W = "W_Fro_aligned"


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def sweep(runs_dir: Path, **more: object) -> None:
    for seed in (0, 1):
        for alpha in (1e-3, 1e-2):
            for ema_m in (0.999, 0.99):
                write_run(
                    runs_dir,
                    **{
                        "epochs": 200,
                        "lr_pred_setting": alpha,
                        "ema_m": ema_m,
                        "seed": seed,
                        **more,
                    },
                )


def test_every_published_figure_is_written_with_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path / "runs")
    heatmaps.main([str(tmp_path / "runs"), "--out", str(tmp_path / "figs"), "--scatter-best"])
    suffix = "bs32_epoch200"
    names = [
        f"heatmap_{m}_{suffix}"
        for m in (W, "BA_err_aligned", "loss", "erank_encoded", "erank_pred")
    ]
    names += [f"slices_loss_vs_alpha_{suffix}", f"scatter_best_{W}_bs32"]
    for name in names:
        assert (tmp_path / "figs" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert len(rows(tmp_path / "figs" / f"{name}.csv")) == 4
    assert (tmp_path / "figs" / "singular_values_bs32.png").exists()
    assert len(list((tmp_path / "figs").glob("dynamics_bs32_*.png"))) == 1
    out = capsys.readouterr().out
    assert "best cells" in out
    for path in (tmp_path / "figs").iterdir():
        assert str(path) in out


def test_the_csv_beside_a_map_has_the_values_of_its_seeds(tmp_path: Path) -> None:
    for seed, value in enumerate((1.0, 2.0, 6.0)):
        write_run(tmp_path / "runs", epochs=200, seed=seed, columns={W: [9, 9, value]})
        write_run(
            tmp_path / "runs",
            epochs=200,
            seed=seed,
            lr_pred_setting=1e-2,
            diverges_at=150,
            columns={W: [9, 9, 0.001]},
        )
    draw_heatmaps(tmp_path / "runs", tmp_path / "figs")
    good, dead = rows(tmp_path / "figs" / f"heatmap_{W}_bs32_epoch200.csv")
    expected = [
        "batch_size",
        "tau",
        "alpha",
        "beta",
        "n_seeds",
        "n_diverged",
        "mean",
        "sd",
        "median",
        "min",
        "max",
    ]
    assert list(good)[:11] == expected
    assert [float(good[name]) for name in expected] == pytest.approx(
        [32, 1e-3, 1e-3, 1e-3, 3, 0, 3.0, 7**0.5, 2.0, 1.0, 6.0]
    )
    assert [dead[name] for name in expected[4:]] == ["3", "3", "", "", "", "", ""]
    (best,) = [row for row in rows(tmp_path / "figs" / "best_cells.csv") if row["metric"] == W]
    assert float(best["score"]) == pytest.approx(0.35972708)  # (log10 1 + log10 2 + log10 6) / 3
    assert float(best["alpha_eff_over_tau"]) == pytest.approx(2.0)
    (same,) = [
        row
        for row in json.loads((tmp_path / "figs" / "best_cells.json").read_text())["best"]
        if row["metric"] == W
    ]
    assert same["mean"] == 3.0


def test_several_modes_get_folders_and_a_single_mode_gets_none(tmp_path: Path) -> None:
    auto = {"lr_enc_mode": "auto", "lr_pred_setting": None, "auto_alpha_c": 0.4, "auto_beta_c": 0.4}
    write_run(tmp_path / "runs", epochs=200)
    write_run(tmp_path / "runs", epochs=200, **auto)
    draw_heatmaps(tmp_path / "runs", tmp_path / "all")
    for mode in ("same", "auto"):
        assert (tmp_path / "all" / mode / f"heatmap_{W}_bs32_epoch200.png").exists()
    assert {row["mode"] for row in rows(tmp_path / "all" / "best_cells.csv")} == {"same", "auto"}
    draw_heatmaps(tmp_path / "runs", tmp_path / "one", lr_enc_mode="auto")
    (row,) = rows(tmp_path / "one" / f"heatmap_{W}_bs32_epoch200.csv")
    assert (row["c"], row["n_seeds"]) == ("0.4", "1")


@pytest.mark.parametrize("mode", ["same", "ratio", "logspace", "from_tau"])
def test_every_mode_with_an_alpha_is_drawn(mode: str, tmp_path: Path) -> None:
    setting = {"lr_enc_setting": 3e-4} if mode == "logspace" else {}
    write_run(tmp_path / "runs", epochs=200, lr_enc_mode=mode, enc_over_pred=0.5, **setting)
    draw_heatmaps(tmp_path / "runs", tmp_path / "figs", lr_enc_mode=mode)
    (row,) = rows(tmp_path / "figs" / f"heatmap_{W}_bs32_epoch200.csv")
    beta = {"same": 1e-3, "ratio": 5e-4, "logspace": 3e-4, "from_tau": 4e-4}[mode]
    assert float(row["beta"]) == pytest.approx(beta)


def test_options_may_be_written_with_underscores(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", epochs=200, batch_size=64)
    write_run(tmp_path / "runs", epochs=200, batch_size=32)
    out = tmp_path / "with_underscore"
    options = [
        "--lr_enc_mode=same",
        "--enc_metric",
        "enc_proj_dist",
        "--use_last_valid",
        "--epoch",
        "150",
    ]
    heatmaps.main(
        [
            str(tmp_path / "runs"),
            *options,
            "--where",
            "mom_pred=0.9",
            "--batches",
            "64",
            f"--out={out}",
        ]
    )
    assert (out / "heatmap_enc_proj_dist_bs64_epoch150.png").exists()
    assert not list(out.glob("*bs32*"))


def test_runs_without_predictor_errors_still_have_other_figures(tmp_path: Path) -> None:
    gone = (W, "W_Fro_raw", "sv_pred", "sv_optimal", "BA_err_aligned", "excess_loss")
    write_run(tmp_path / "runs", epochs=200, pred="mlp", without=gone)
    draw_heatmaps(tmp_path / "runs", tmp_path / "figs")
    names = {path.name for path in (tmp_path / "figs").glob("heatmap_*.png")}
    assert "heatmap_loss_population_bs32_epoch200.png" in names
    assert "heatmap_enc_proj_dist_bs32_epoch200.png" in names
    assert not (tmp_path / "figs" / "singular_values_bs32.png").exists()


def test_unfinished_runs_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "runs", epochs=200)
    write_run(tmp_path / "runs", epochs=200, seed=1, until=100, state="running")
    heatmaps.main([str(tmp_path / "runs"), "--out", str(tmp_path / "figs")])
    assert "1 runs end before step 200: without a value there" in capsys.readouterr().out
    (row,) = rows(tmp_path / "figs" / f"heatmap_{W}_bs32_epoch200.csv")
    assert (row["n_seeds"], row["n_diverged"], row["n_missing"]) == ("2", "0", "1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "W_Fro"], "--metric W_Fro: no such column; available:"),
        (["--enc-metric", "no"], "--enc-metric no: no such column"),
        (["--epoch", "170"], "never logged; nearest: 1, 100, 200"),
        (["--epoch", "0"], "'0': expected a whole number above 0"),
        (["--epoch", "999"], "never logged"),
        (["--lr-enc-mode", "auto"], "--lr-enc-mode auto: not in these runs; available: same"),
        (["--lr-enc-mode", "fast"], "invalid choice: 'fast'"),
        (["--batches", "64"], "--batches 64: no such run; available: 32"),
        (["--where", "mom_pred=0.8"], "no such run; mom_pred is 0.9"),
        (["--seed", "9"], "--seed 9: no such run; available: 42"),
        (["--fast"], "unrecognized arguments: --fast"),
        (["--out", "FILE"], "a file is there, a folder is needed"),
    ],
)
def test_invalid_options_get_an_error_of_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs", epochs=200)
    (tmp_path / "FILE").write_text("")
    out = [] if "--out" in options else ["--out", str(tmp_path / "figs")]
    _refused(
        [
            str(tmp_path / "runs"),
            *[w.replace("FILE", str(tmp_path / "FILE")) for w in options],
            *out,
        ],
        message,
        capsys,
    )
    assert not (tmp_path / "figs").exists()


def test_a_folder_without_runs_and_a_missing_folder_get_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _refused([str(tmp_path)], "no linear_byol.parquet in this folder", capsys)
    _refused([str(tmp_path / "no")], "no such folder", capsys)
    _refused([], "the following arguments are required: runs_dir", capsys)


def test_mixed_settings_get_an_error_that_a_filter_resolves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs", epochs=200)
    write_run(tmp_path / "runs", epochs=200, mom_pred=0.95)
    options = [str(tmp_path / "runs"), "--out", str(tmp_path / "figs")]
    _refused(options, "mom_pred is 0.9 (1 run), 0.95 (1 run); add --where mom_pred=0.9", capsys)
    heatmaps.main([*options, "--where", "mom_pred=0.95"])
    assert (tmp_path / "figs" / f"heatmap_{W}_bs32_epoch200.png").exists()


def test_heatmaps_loads_neither_torch_nor_lightning(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", epochs=200)
    code = (
        "import sys; from jepa_lab.heatmaps import main; main(sys.argv[1:]); "
        "print(sorted({'torch', 'pytorch_lightning', 'hydra', 'sklearn'} & set(sys.modules)))"
    )
    options = [sys.executable, "-c", code, str(tmp_path / "runs"), "--out", str(tmp_path / "figs")]
    done = subprocess.run(options, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def _refused(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        heatmaps.main(options)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("jepa_lab: ")
    assert err.count("\n") == 1


def test_interrupted_figures_leave_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(tmp_path / "runs")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jepa_lab.studies.linear_byol.figures.all.write_best", interrupt)
    with pytest.raises(SystemExit) as ended:
        heatmaps.main([str(tmp_path / "runs"), "--out", str(tmp_path / "figs")])
    assert ended.value.code == 130
    assert not (tmp_path / "figs").exists()
