"""A grid of the toy computes, writes and holds nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jepa_lab.studies.linear_byol import checkpoints, outcome, study
from jepa_lab.studies.linear_byol.checkpoints import ToySaver
from jepa_lab.studies.linear_byol.figures.style import settle
from jepa_lab.studies.linear_byol.grid import members
from jepa_lab.studies.linear_byol.measures import measure
from jepa_lab.studies.linear_byol.memory import STEP, bytes_needed
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL
from jepa_lab.studies.linear_byol.monitor import Blocks, ToyRows, logged_rows
from jepa_lab.studies.linear_byol.resume import plan_toy
from toy_configs import configure

Command = Callable[..., tuple[int, str, str]]
SMALL = ["d_latent=3", "d_obs=8", "epochs=40", "log_every=5", "batch_sizes=[4,5]", "seeds=[1,2]"]
SMALL += ["lr_pred_logspace=[1e-3,3e-3,2]", "tau_logspace=[1e-2,1e-2,1]", "figures=false"]


def small(*overrides: str) -> Any:
    return configure(*SMALL, *overrides, experiment="linear_byol_sweep")


def counted(patch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """Returns a list that gets the arguments of every call of a function from now on."""
    calls: list[Any] = []
    original = getattr(owner, name)

    def called(*args: Any, **options: Any) -> Any:
        calls.append((args, options))
        return original(*args, **options)

    patch.setattr(owner, name, called)
    return calls


def test_a_grid_that_is_never_interrupted_writes_every_table_once(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished, finished = (counted(monkeypatch, at, "write_run") for at in (study, outcome))
    judged = counted(monkeypatch, study.ToyStudy, "judge")
    line = ["+experiment=linear_byol_sweep", *SMALL, "hardware=cpu", "save_every_s=600"]
    assert command(*line)[0] == 0
    assert (len(unfinished), len(finished)) == (0, 8)
    (((_, _, fit), _),) = judged
    assert fit.module._chunks == {}, "batches of the training, which nothing reads any more"


def test_tables_wait_while_they_would_take_more_than_their_share_of_the_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    now, flushed, saved = 0.0, [], []

    def flush() -> None:
        nonlocal now
        flushed.append(now)
        now += 10.0

    monkeypatch.setattr(checkpoints, "time", SimpleNamespace(monotonic=lambda: now))
    module, rows = LinearBYOL(members(small())), ToyRows(5, 40)
    saver = ToySaver(tmp_path, [], rows, flush, 60.0, 40)
    monkeypatch.setattr(saver, "write_checkpoint", lambda module: saved.append(now))
    trainer: Any = SimpleNamespace(lightning_module=module)
    for step in range(1, 11):
        now += 60.0
        saver.on_train_batch_end(trainer, module, None, Block(step, step), step)
    assert len(saved) == 10
    assert flushed == [60.0, 310.0, 560.0]  # 10 s are a twentieth of 200 s
    saver.save(trainer)
    assert len(flushed) == 4, "a stop writes the tables"


@pytest.mark.parametrize(("epochs", "log_every"), [(40, 5), (41, 5), (3, 100), (1, 1), (7, 1)])
def test_a_checkpoint_shares_the_memory_of_the_rows_and_holds_no_other(
    epochs: int, log_every: int
) -> None:
    module, rows = LinearBYOL(members(small())), ToyRows(log_every, epochs)
    taken = 0
    for block in Blocks(1, epochs, log_every):
        module.training_step(block)
        rows.take(module, block.last)
        taken += 1
        state = rows.state()["tables"]
        assert state["sv_pred"].shape == (taken, 8, 3)
        for name, table in state.items():
            assert table.untyped_storage().nbytes() == 8 * table.numel(), name
            assert np.shares_memory(table.numpy(), rows._tables[name])
    assert taken == logged_rows(log_every, epochs)
    assert {len(table) for table in rows._tables.values()} == {taken}


@pytest.mark.parametrize(
    "overrides", [[], ["pred=none"], ["pred=mlp"], ["enc=mlp"], ["lr_enc_mode=auto"]]
)
def test_the_memory_of_the_rows_is_counted_before_a_grid_starts(overrides: list[str]) -> None:
    config = small("log_every=1", *overrides)
    rows = ToyRows(1, 40)
    rows.take(LinearBYOL(members(config)), 1)
    held = sum(table.nbytes for table in rows._tables.values())
    counted_of_rows = bytes_needed(config) - bytes_needed(small("log_every=40", *overrides))
    assert counted_of_rows - 39 * STEP == pytest.approx(held * 39 / 40, rel=0.04)


def test_a_measurement_inverts_the_covariance_of_a_group_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = LinearBYOL(members(small()))
    inverted = counted(monkeypatch, torch.linalg, "pinv")
    spectra = counted(monkeypatch, torch.linalg, "eigvalsh")
    measure(module)
    assert len([1 for _, options in inverted if options.get("hermitian")]) == len(module.groups)
    assert len(spectra) == 2 * len(module.groups)  # of the code and of its prediction


def test_the_settings_of_a_run_are_made_once_and_cannot_be_changed() -> None:
    run, *_ = plan_toy(small()).runs
    assert run.settings is run.settings
    with pytest.raises(TypeError):
        run.settings["seed"] = 3  # type: ignore[index]


def test_a_settled_figure_with_a_colour_bar_is_drawn_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    figure.colorbar(panel.imshow(np.eye(3)), ax=panel)
    settle(figure)
    drawn = counted(monkeypatch, Figure, "draw")
    figure.savefig(tmp_path / "a.png")
    assert len(drawn) == 1
