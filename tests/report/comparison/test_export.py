import json
import os
from pathlib import Path

import pytest

from comparison_runs import METRIC, every_state, make_run
from jepa_lab.report.comparison.export import export_models, result_rows
from jepa_lab.report.comparison.find_runs import find_runs
from jepa_lab.report.comparison.ranking import Ranking, rank_runs


def ranked(root: Path, name: str = "") -> Ranking:
    return rank_runs(find_runs(root).runs, METRIC, "max", None, (), name)


def files(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())


def test_weights_and_configuration_of_every_completed_run_are_exported(tmp_path: Path) -> None:
    ranking = ranked(every_state(tmp_path / "runs"))
    models, notes = export_models([ranking], tmp_path / "out")
    seeds = {"better": 6, "seq_jepa_baseline": 6, "collapsed": 6, "partial": 3}
    expected = [
        f"trained_models/{arm}/seed{seed}/{name}"
        for arm, n in seeds.items()
        for seed in range(n)
        for name in ("best.ckpt", "config.yaml")
    ]
    assert files(tmp_path / "out") == sorted([*expected, "trained_models/written.json"])
    weights = tmp_path / "out" / models[str(tmp_path / "runs/better/better-2")]
    assert weights.read_bytes() == b"weights of better-2"
    assert notes == []


def test_exported_weights_survive_a_resumed_run_and_are_copied_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "runs", "a", 0)
    best = run / "checkpoints" / "best.ckpt"
    export_models([ranked(tmp_path / "runs")], tmp_path / "linked")
    linked = tmp_path / "linked/trained_models/all_runs/seed0/best.ckpt"
    assert linked.samefile(best)
    new = best.with_suffix(".new")
    new.write_bytes(b"later")
    new.replace(best)  # the ledger writes files in this way
    assert linked.read_bytes() == b"weights of a-0"

    def refuse(*args: object) -> None:
        raise OSError("another disk")

    monkeypatch.setattr(os, "link", refuse)
    export_models([ranked(tmp_path / "runs")], tmp_path / "copied")
    copied = tmp_path / "copied/trained_models/all_runs/seed0/best.ckpt"
    assert copied.read_bytes() == b"later"
    assert not copied.samefile(best)


def test_a_second_export_deletes_only_its_own_outdated_files(tmp_path: Path) -> None:
    for arm in ("a", "b"):
        make_run(tmp_path / "runs", arm, 0)
    out = tmp_path / "out"
    export_models([ranked(tmp_path / "runs")], out)
    own = out / "trained_models" / "notes.txt"
    own.write_text("mine")
    status = tmp_path / "runs/b/b-0/status.json"
    status.write_text(status.read_text().replace("completed", "failed"))
    export_models([ranked(tmp_path / "runs")], out)
    kept = [
        "trained_models/a/seed0/best.ckpt",
        "trained_models/a/seed0/config.yaml",
        "trained_models/notes.txt",
    ]
    assert files(out) == [*kept, "trained_models/written.json"]
    assert not (out / "trained_models" / "b").exists()


def test_a_manifest_with_paths_outside_deletes_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "a", 0)
    victim = tmp_path / "victim.txt"
    victim.write_text("stay")
    top = tmp_path / "out" / "trained_models"
    top.mkdir(parents=True)
    (top / "written.json").write_text(json.dumps(["../../victim.txt", str(victim)]))
    export_models([ranked(tmp_path / "runs")], tmp_path / "out")
    assert victim.read_text() == "stay"


def test_arms_with_names_that_a_disk_could_confuse_have_different_folders(tmp_path: Path) -> None:
    for arm, alpha in {"x": "a b", "y": "a/b", "z": "A b"}.items():
        make_run(tmp_path / "runs", arm, 0, settings={"loss.form": alpha})
    ranking = rank_runs(find_runs(tmp_path / "runs").runs, METRIC, "max", None, ("loss.form",))
    models, _ = export_models([ranking], tmp_path / "out")
    assert len({path.lower() for path in models.values()}) == 3


def test_without_best_weights_the_last_are_exported_and_none_are_reported(tmp_path: Path) -> None:
    last, none = (make_run(tmp_path / "runs", arm, 0, checkpoint=False) for arm in ("a", "b"))
    (last / "checkpoints" / "last.ckpt").write_bytes(b"last")
    models, notes = export_models([ranked(tmp_path / "runs")], tmp_path / "out")
    assert models == {str(last): "trained_models/a/seed0/last.ckpt"}
    assert notes == ["b, seed 0: completed, but has no best.ckpt or last.ckpt"]
    assert (tmp_path / "out/trained_models/b/seed0/config.yaml").is_file()
    assert str(none) not in models


def test_a_row_has_all_results_and_the_published_columns(tmp_path: Path) -> None:
    ranking = ranked(every_state(tmp_path / "runs"))
    models, _ = export_models([ranking], tmp_path / "out")
    rows = {row["arm"]: row for row in result_rows([ranking], models, tmp_path / "out")}
    better, never, control = rows["better"], rows["never"], rows["seq_jepa_baseline"]
    assert (better["experiment"], better["aux_loss_type"], better["training_success"]) == (
        "better",
        "none",
        "SUCCESS",
    )
    assert better["best_checkpoint_jepa"] == "trained_models/better/seed5/best.ckpt"
    assert (never["training_success"], never["best_checkpoint_jepa"], never["mean"]) == (
        "FAILED",
        None,
        None,
    )
    assert (better["seeds"], better["metric"], better["direction"]) == (
        [0, 1, 2, 3, 4, 5],
        METRIC,
        "max",
    )
    assert better["mean"] == pytest.approx(0.9275)
    assert better["interval"][0] < better["mean"] < better["interval"][1]
    assert better["difference"] == pytest.approx(0.1025)
    assert (
        better["difference_interval"][0] <= better["difference"] <= better["difference_interval"][1]
    )
    assert (better["p"], better["p_holm"]) == (0.03125, 0.09375)
    best = {
        "run": "better-5",
        "seed": 5,
        "value": pytest.approx(0.955),
        "run_dir": "../runs/better/better-5",
    }
    assert better["best_run"] == best
    assert (control["is_control"], control["difference"], control["p"]) == (True, None, None)
    assert rows["partial"]["verdicts"] == {"healthy": 3}
    assert (rows["partial"]["others"], rows["partial"]["missing_seeds"]) == (
        {"failed": 1, "killed": 1},
        [5],
    )


def test_an_interrupted_copy_leaves_the_earlier_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = make_run(tmp_path / "runs", "a", 0) / "checkpoints" / "best.ckpt"
    out = tmp_path / "out"
    export_models([ranked(tmp_path / "runs")], out)
    before = {name: (out / name).read_bytes() for name in files(out)}
    best.unlink()
    best.write_bytes(b"later")

    def half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:2])
        raise KeyboardInterrupt

    monkeypatch.setattr("os.link", lambda *paths: (_ for _ in ()).throw(OSError("another disk")))
    monkeypatch.setattr("shutil.copy2", half)
    with pytest.raises(KeyboardInterrupt):
        export_models([ranked(tmp_path / "runs")], out)
    assert {name: (out / name).read_bytes() for name in files(out)} == before


def test_a_repeated_export_of_linked_files_leaves_no_temporary_ones(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "a", 0)
    for _ in range(2):
        export_models([ranked(tmp_path / "runs")], tmp_path / "out")
    assert not [name for name in files(tmp_path / "out") if name.endswith(".tmp")]
