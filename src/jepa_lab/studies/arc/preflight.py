"""The preflight of the ARC JEPA: checks that detect the defects of the public runs before the first
epoch. Each check returns a list of failures. It raises NotApplicable if the run has nothing for it
to check."""

from __future__ import annotations

import copy
import io
import time
from collections.abc import Callable

import torch
from torch import Tensor

from jepa_lab.callbacks.logging import gradient_statistics
from jepa_lab.networks.vq.build import HardQuantizer
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.batch import ArcBatch
from jepa_lab.studies.arc.data.loader import ArcLoader
from jepa_lab.studies.arc.module import ArcJEPA
from jepa_lab.training.preflight import (
    Check,
    NotApplicable,
    Preflight,
    run_check,
    streams_restored,
    warmup,
)
from jepa_lab.training.study import Parts

SAMPLES = 8
TENFOLD = 10.0  # largest ratio of the longest code to the longest token after one update


def run_preflight(config: ArcConfig, parts: Parts) -> Preflight:
    """Runs every check on copies of the module. Random streams, loaders and the module keep their
    state."""
    start = time.perf_counter()
    module, loaders = parts.module, parts.loaders
    with streams_restored():
        train, val = (loaders[split].examples_at(0, SAMPLES) for split in ("train", "val"))
        ready: list[tuple[str, Callable[[], list[str]]]] = [
            ("warmup", lambda: warmup(config)),
            ("augmentation", lambda: augmentation(config, loaders["train"])),
            ("contexts", lambda: contexts(config, train)),
            ("evaluation", lambda: evaluation(config, module, val)),
            ("loss_terms", lambda: loss_terms(config, module, train)),
            ("codebook_loss", lambda: codebook_loss(config)),
            ("codebook_update", lambda: codebook_update(config, module, train)),
            ("codebook_norms", lambda: codebook_norms(config, module, train)),
            ("refresh", lambda: refresh(config)),
            ("save_and_load", lambda: save_and_load(config, module, train)),
        ]
        done: tuple[Check, ...] = tuple(run_check(name, check) for name, check in ready)
    return Preflight(done, time.perf_counter() - start)


def augmentation(config: ArcConfig, loader: ArcLoader) -> list[str]:
    """Requires that two epochs have different grids, if augmentation is on."""
    a = config.dataset.augment
    if not (a.palette or a.symmetry or a.translation):
        raise NotApplicable("dataset.augment is off")
    one, other = (loader.examples_at(epoch, SAMPLES).view.context for epoch in (0, 1))
    same = torch.equal(one.features, other.features) and torch.equal(one.colors, other.colors)
    return ["dataset.augment: two epochs see the same grids"] if same else []


def contexts(config: ArcConfig, batch: ArcBatch) -> list[str]:
    """Requires that the grids of a context are not copies of one another."""
    if batch.present.shape[1] == 1:
        raise NotApplicable("a context is one grid")
    grids = batch.view.context.features.unflatten(0, tuple(batch.present.shape)).flatten(2)
    colors = batch.view.context.colors.unflatten(0, tuple(batch.present.shape)).flatten(2)
    alike = all(bool((x == x[:, :1]).all()) for x in (grids, colors))
    if not alike:
        return []
    return [
        f"dataset.problem={config.dataset.problem}: the grids of every context are copies of one"
        " another, which no aggregation can tell apart; give dataset.problem=demos"
    ]


@torch.no_grad()
def evaluation(config: ArcConfig, module: ArcJEPA, batch: ArcBatch) -> list[str]:
    """Requires that an evaluation pass changes no parameter and no buffer."""
    module = copy.deepcopy(module).eval()
    before = {name: value.clone() for name, value in _tensors(module)}
    module.validation_step(batch, 0)
    moved = [name for name, value in _tensors(module) if not torch.equal(value, before[name])]
    return (
        [f"evaluation changes {moved[0]}" + (f" and {len(moved) - 1} more" if moved[1:] else "")]
        if moved
        else []
    )


def loss_terms(config: ArcConfig, module: ArcJEPA, batch: ArcBatch) -> list[str]:
    """Requires that every part of the loss has a finite, non-zero gradient on the encoder."""
    module = copy.deepcopy(module).train()
    module.objective.aux.end_ramps()
    module.training_step(batch, 0)
    parameters = [p for p in module.network.encoder.parameters() if p.requires_grad]
    norms = gradient_statistics({k: v for k, v in module.weighted.items() if k != "vq"}, parameters)
    found = []
    where = {
        name: f": aux.{name}.site={term.options.where}"
        for name, term in module.objective.aux.named()
    }
    for name in (
        key.removeprefix("train/gradient/") for key in norms if key.startswith("train/gradient/")
    ):
        norm = norms[f"train/gradient/{name}"]
        if not norm > 0:
            found.append(f"{name} has no gradient on the encoder{where.get(name, '')}")
        elif norm == float("inf"):
            found.append(
                f"the gradient of {name} on the encoder is not finite{where.get(name, '')}"
            )
    return found


def codebook_loss(config: ArcConfig) -> list[str]:
    """Requires that the commitment loss, which draws tokens to their codes, is minimised."""
    v = config.vq
    if not v.enabled or v.kind != "hard":
        raise NotApplicable("no codebook with a commitment loss")
    if not v.in_objective:
        return [
            f"vq.in_objective=false: vq.commitment={v.commitment:g} has no effect, nothing draws"
            " tokens to codes"
        ]
    if v.weight_on == "codebook" and v.ema_decay is not None:
        return [
            f"vq.weight_on=codebook: vq.commitment={v.commitment:g} weighs a term that this"
            " codebook does not have"
        ]
    return []


def codebook_update(config: ArcConfig, module: ArcJEPA, batch: ArcBatch) -> list[str]:
    """Requires that one optimiser step updates the codebook once, from untransformed contexts."""
    if not config.vq.enabled or not isinstance(module.vq, HardQuantizer):
        raise NotApplicable("no codebook that is averaged")
    module = copy.deepcopy(module).train()
    assert module.vq is not None
    before = int(module.vq.forwards)
    module.training_step(batch, 0)
    passes = int(module.vq.forwards) - before
    if config.vq.update == "forward" and passes * config.optim.accumulate > 1:
        number = passes * config.optim.accumulate
        return [
            f"vq.update=forward: {number} updates of the codebook in one optimiser step; give"
            " vq.update=step"
        ]
    return []


def codebook_norms(config: ArcConfig, module: ArcJEPA, batch: ArcBatch) -> list[str]:
    """Requires that codes are not much longer than tokens after one update."""
    if not isinstance(module.vq, HardQuantizer):
        raise NotApplicable("no codebook that is averaged")
    module = copy.deepcopy(module).train()
    assert module.vq is not None
    module.training_step(batch, 0)
    module.vq.end_step()
    with torch.no_grad():
        tokens = module.network.encoder(batch.view.context)[batch.view.context.mask]
        longest, token = (
            float(module.vq.codebook.norm(dim=1).max()),
            float(tokens.norm(dim=1).max()),
        )
    if longest <= TENFOLD * max(token, 1e-12):
        return []
    return [
        f"vq.init={config.vq.init}: codes of length {longest:.0f} after one update, tokens have"
        f" {token:.2g}"
    ]


def refresh(config: ArcConfig) -> list[str]:
    """Requires that a code in uniform use does not count as dead."""
    r, size = config.vq.refresh, config.vq.size
    if not config.vq.enabled or not r.enabled or size is None:
        raise NotApplicable("no refresh")
    if r.rule != "legacy_share" or r.threshold < 1.0 / size:
        return []
    return [
        f"vq.refresh.threshold={r.threshold:g}: is a share of all use; in uniform use every code"
        f" has {1.0 / size:.2g} and counts as dead; give vq.refresh.rule=relative"
    ]


def save_and_load(config: ArcConfig, module: ArcJEPA, batch: ArcBatch) -> list[str]:
    """Requires that the loss of a step is bitwise the same after saving and loading the state."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    losses = []
    for loaded in (False, True):
        other = copy.deepcopy(module).train()
        if loaded:
            file.seek(0)
            other.load_state_dict(torch.load(file, weights_only=True))
        torch.manual_seed(0)
        losses.append(other.training_step(batch, 0))
    return (
        []
        if torch.equal(*losses)
        else ["a step after saving and loading differs from a step without it"]
    )


def _tensors(module: torch.nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
