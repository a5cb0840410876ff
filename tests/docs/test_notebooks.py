"""The notebook runs as committed, and the claims in its text hold for the computed values."""

import json
import math
from typing import Any

import pytest

from conftest import ROOT

NOTEBOOK = ROOT / "notebooks" / "linear_byol.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Returns the variables of its code cells, run in order in a fresh folder."""
    names: dict[str, Any] = {"__name__": "notebook"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLBACKEND", "agg")
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        for number, cell in enumerate(CELLS):
            if cell["cell_type"] == "code":
                exec(
                    compile("".join(cell["source"]), f"{NOTEBOOK.name}, cell {number}", "exec"),
                    names,
                )
        names["plt"].close("all")
    return names


def test_the_notebook_is_committed_without_outputs() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


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
