"""Loads a finished, stopped or killed run: its configuration, its images and its network in
evaluation mode."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import pytorch_lightning as pl

from jepa_lab.callbacks.checkpoints import read_checkpoint
from jepa_lab.config.check import check
from jepa_lab.config.trust import NOBODY, Trust, require_plain
from jepa_lab.data.images.image_source import Splits
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.errors import UserError
from jepa_lab.ledger.read import read_json, read_yaml
from jepa_lab.ledger.run_dir import state_of
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config, EncoderConfig
from jepa_lab.studies.seq_jepa.evaluation.rollout import Rollout, measure_rollout, reach
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.network import SeqJEPANetwork
from jepa_lab.studies.seq_jepa.parts import build_views
from jepa_lab.studies.seq_jepa.resume import PLANNER

CHECKPOINTS = ("last", "best")


@dataclass(frozen=True)
class LoadedRun:
    """A run with the resolved configuration and a frozen module with the checkpoint's weights, in
    evaluation mode."""

    path: Path
    config: Config
    splits: Splits
    module: SeqJEPA
    step: int
    state: str  # state of the run, such as completed
    trust: Trust = NOBODY  # the user-defined parts that may be imported

    @property
    def network(self) -> SeqJEPANetwork:
        """The online network."""
        return self.module.network


def load_run(path: Path, checkpoint: str = "last", trust: Trust = NOBODY) -> LoadedRun:
    """Loads the run in a folder. `trust` says which of the user-defined parts that its
    configuration names may be imported. Raises UserError for any other part, if there is no run, if
    it has no such checkpoint, or if the checkpoint is of another model."""
    config = run_config(path, trust)
    file = path / "checkpoints" / f"{checkpoint}.ckpt"
    if not file.is_file():
        if os.path.lexists(file):
            raise UserError(f"{file}: no file; a folder, a pipe or a link to nothing is there")
        there = (p.name for p in file.parent.glob("*.ckpt") if p.is_file())
        names = ", ".join(sorted(there)) or "none"
        raise UserError(f"{path}: no checkpoints/{checkpoint}.ckpt (available: {names})")
    splits = PLANNER.load(config)
    module = build_frozen(config, splits)
    try:
        state = read_checkpoint(file)
    except ValueError as error:
        raise UserError(f"{file}: not a checkpoint that can be read ({error})") from error
    try:
        module.load_state_dict(state["state_dict"])
        step = int(state["global_step"])
    except Exception as error:  # torch raises many kinds for a broken or foreign file
        reason = str(error).split("\n", 1)[0][:120]
        raise UserError(f"{file}: not a checkpoint of this configuration ({reason})") from error
    status = state_of(read_json(path / "status.json") or None)
    return LoadedRun(path, config, splits, module, step, status, trust)


def run_config(path: Path, trust: Trust = NOBODY) -> Config:
    """Returns the checked configuration of a run's folder. Raises UserError if there is none, if it
    is not of a seq-JEPA, or if it names code that `trust` does not allow."""
    file = path / "config.yaml"
    if not file.is_file():
        what = "a folder without config.yaml" if path.is_dir() else "no such folder"
        raise UserError(
            f"{path}: {what}; give the folder of a run, as in runs/teacherless_b/<run_id>"
        )
    stored = read_yaml(file)
    if not stored:
        raise UserError(f"{file}: not a readable configuration")
    require_plain(stored, file, trust)
    study = stored.get("study") or Config.study
    if study != Config.study:
        raise UserError(
            f"{path}: a run of the study {study}; only runs of {Config.study} can be evaluated"
        )
    try:
        return check(stored, Config)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def build_network(config: Config, splits: Splits) -> SeqJEPANetwork:
    """Returns the network at the run's initialisation, in evaluation mode, without gradients."""
    return build_frozen(config, splits).network


def build_frozen(config: Config, splits: Splits) -> SeqJEPA:
    """Returns the whole module at the run's initialisation, in evaluation mode, without
    gradients."""
    pl.seed_everything(config.seed, verbose=False)
    module = build_module(config, build_views(config, splits.train), splits.train, steps=1)
    return module.eval().requires_grad_(False)


def raw_pixels(config: Config, splits: Splits) -> SeqJEPANetwork:
    """Returns a network whose encoder returns the pixels and whose aggregator is the mean over the
    views."""
    blank = dict.fromkeys(("ffn_ratio", "dropout", "norm_first", "eta", "sparsity"))
    mean = replace(config.model, aggregator="mean", positions="none", **blank)  # type: ignore[arg-type]
    if mean.predictor != "mlp":
        mean = replace(mean, predictor="mlp", hidden=16, predictor_depth=None, predictor_heads=None)
    return build_network(replace(config, encoder=EncoderConfig("pixels"), model=mean), splits)


def views_of(config: Config, splits: Splits, n_views: int) -> ViewGroup:
    """Returns the run's view group with another number of views."""
    return build_views(
        replace(config, dataset=replace(config.dataset, n_views=n_views, seq_len=None)),
        splits.train,
    )


def rollout_views(
    config: Config, splits: Splits, network: SeqJEPANetwork, wanted: int
) -> tuple[ViewGroup | None, str | None]:
    """Returns the run's view group with up to `wanted` views beyond the observed ones, and the
    reason if there are fewer. The group is None if no further view is possible."""
    observed = config.dataset.n_views - 1
    most, why = reach(network, observed, wanted)
    for steps in range(most, 0, -1):
        try:
            return views_of(config, splits, observed + steps), why
        except UserError as error:  # an object has no further renderings
            why = why or str(error)
    return None, why


def rollout_of(run: LoadedRun, wanted: int, limit: int) -> tuple[Rollout | None, str | None]:
    """Returns the rollout of a run on its first `limit` test images, and the reason if it has fewer
    than `wanted` steps."""
    config = run.config
    group, why = rollout_views(config, run.splits, run.network, wanted)
    if group is None:
        return None, why
    found = measure_rollout(
        run.module,
        group,
        run.splits.test,
        observed=config.dataset.n_views - 1,
        split="frozen-test-0",
        seed=config.seed,
        first_view=config.dataset.eval_first_view,
        limit=limit,
        resamples=1000,
    )
    return found, why
