"""The notebook runs as committed, and the claims in its text hold for the computed values."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RECIPE = 'RECIPE = ("recipe=predictive", f"dataset.epochs={EPOCHS}")'
# what the seq-JEPA notebook trains here, in place of the runs of minutes that its text describes
TINY = """RECIPE = (
    *("tier=smoke", "dataset.train_size=256", "dataset.val_size=64", "dataset.epochs=2"),
    *("encoder.widths=[8,16]", "model.depth=1", "model.hidden=32", "probes.hidden=16"),
    *("preflight=off", "hardware=cpu", "hardware.threads=1"),
)
"""


def cells(notebook: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return loaded


def computed_by(name: str, folder: Path, replaced: str = "", by: str = "") -> dict[str, Any]:
    """Returns the variables of a notebook's code cells, run in order in a fresh folder."""
    names: dict[str, Any] = {"__name__": "notebook"}
    code = [
        "".join(cell["source"]) if cell["cell_type"] == "code" else ""
        for cell in cells(ROOT / "notebooks" / f"{name}.ipynb")
    ]
    assert not replaced or any(replaced in source for source in code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "agg")
        patch.chdir(folder)
        for number, source in enumerate(code):
            changed = source.replace(replaced, by) if replaced else source
            exec(compile(changed, f"{name}.ipynb, cell {number}", "exec"), names)
        names["plt"].close("all")
    return names


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(notebook: Path) -> None:
    code = [cell for cell in cells(notebook) if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_diagnosis_of_a_loop_is_what_its_text_says(tmp_path: Path) -> None:
    found = computed_by("diagnose_your_run", tmp_path)
    assert found["good"].verdict().status == "healthy"
    bad = found["bad"].verdict()
    assert (bad.status, bad.tap) == ("complete_collapse", "projection")
    assert found["repaired"].verdict().status == "healthy"
    losses = [found[name].history["train/loss/total"][-1][1] for name in ("good", "bad")]
    assert losses[1] < losses[0]
    assert found["verdict"].evidence["neighbour_accuracy"] > 0.9  # of the run with the fault


def test_the_seq_jepa_notebook_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = computed_by("seq_jepa_digits", tmp_path, RECIPE, TINY)
    assert found["protected"].state == found["control"].state == "completed"
    assert "R² of the action from two z" in capsys.readouterr().out


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Returns the variables of the toy's notebook."""
    return computed_by("linear_byol", tmp_path_factory.mktemp("notebook"))


def test_the_theory_has_the_values_of_the_text(computed: dict[str, Any]) -> None:
    assert computed["H"] == pytest.approx(100.25, abs=1e-6)
    assert computed["least_loss"] == pytest.approx(0.4806, abs=5e-5)
    assert computed["P_star"].diagonal()[0].item() == pytest.approx(0.2857, abs=5e-5)
    assert computed["bound"] / (2 / computed["H"]) == pytest.approx(9.5)


def test_the_bound_separates_stable_from_diverging_runs(computed: dict[str, Any]) -> None:
    assert list(computed["diverged"].values()) == [False, True]
    low, high = computed["diverged"]
    assert low < computed["bound"] < high


def test_the_best_alpha_does_not_follow_tau(computed: dict[str, Any]) -> None:
    assert len(computed["members"]) == 84
    taus, best = computed["taus"], list(computed["best_alpha"].values())
    assert max(taus) / min(taus) == pytest.approx(1000)
    assert max(best) / min(best) < 10
    assert all(min(computed["alphas"]) < alpha < max(computed["alphas"]) for alpha in best)


def test_a_run_follows_the_recursion(computed: dict[str, Any]) -> None:
    assert 10 ** computed["gap"] < 1.2
    assert len(computed["recursion"]) == len(computed["table"])


def test_runs_from_random_weights_find_directions_but_not_the_scale(
    computed: dict[str, Any],
) -> None:
    assert len(computed["learned"]) == 3
    for table in computed["learned"]:
        distance, drift = (table[name].to_numpy() for name in ("enc_proj_dist", "balance_drift"))
        assert distance[0] > 4
        assert distance[-1] < 2.7
        assert drift.max() < 0.05
        assert table["BA_err_aligned"][-1].as_py() > 1


def test_the_collapsed_run_gets_the_verdict_collapse(computed: dict[str, Any]) -> None:
    assert computed["collapse"].verdict["status"] == "complete_collapse"
    assert computed["left"] < 1e-6
    assert computed["gone"]["erank_encoded"][-1].as_py() == 1.0
    assert math.isfinite(computed["gone"]["loss"][-1].as_py())
