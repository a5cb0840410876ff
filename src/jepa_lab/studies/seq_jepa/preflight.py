"""The checks of the preflight. Each returns a line for every problem, with the key that causes it.
No check changes its module. Checks that train or evaluate use a copy, which is never compiled."""

from __future__ import annotations

import copy
import io
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jepa_lab.auxiliary import SiteOptions
from jepa_lab.callbacks.logging import gradient_statistics
from jepa_lab.data.images.image_source import ImageSource, Splits
from jepa_lab.data.loader import ImageBatch
from jepa_lab.networks.ema import ema_update
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.preflight_views import augmentation, contexts
from jepa_lab.training.budget import Budget, target_tau
from jepa_lab.training.preflight import (
    SAMPLES,
    NotApplicable,
    Preflight,
    run_check,
    streams_restored,
    warmup,
)

PAIR = 2  # samples for bitwise comparisons: batch norm needs two, and more add nothing
LARGE = 96  # pixels; above this size the backward passes take half as many images, to save time


def target(config: Config, module: SeqJEPA) -> list[str]:
    """Checks that every average starts equal to its source and has no gradient."""
    if not module.ema_pairs:
        raise NotApplicable(f"target={config.target.name} has no average")
    for average, online in module.ema_pairs:
        followed = online.state_dict()
        for name, value in average.state_dict().items():
            if not torch.equal(value, followed[name]):
                return [
                    f"target={config.target.name}: {name} of the average differs from the online"
                    " one at the start"
                ]
        if any(p.requires_grad for p in average.parameters()):
            return [
                f"target={config.target.name}: the average would be trained by the optimiser too"
            ]
    return []


@torch.no_grad()
def evaluation(config: Config, module: SeqJEPA, images: ImageBatch) -> list[str]:
    """Checks that an evaluation pass leaves every parameter and buffer unchanged."""
    module = copy.deepcopy(module).eval()
    before = {name: value.clone() for name, value in _tensors(module)}
    module.validation_step(module.on_after_batch_transfer(first(images), 0), 0)
    moved = [name for name, value in _tensors(module) if not torch.equal(value, before[name])]
    if not moved:
        return []
    more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
    return [f"evaluation changes {moved[0]}{more}: {_owner(config, moved[0])}"]


def loss_terms(config: Config, module: SeqJEPA, images: ImageBatch) -> list[str]:
    """Checks that every term with a weight has a finite, nonzero gradient on the encoder."""
    loss = config.loss
    own = {"prediction": loss.prediction, "rate": loss.lambda_rate, "supervised": loss.supervised}
    aux = {
        name: options for name, options in config.aux.items() if isinstance(options, SiteOptions)
    }
    weights = own | {name: options.weight for name, options in aux.items()}
    if not any(weights.values()):
        if config.optim.lr == 0:
            raise NotApplicable("optim.lr=0")
        more = "".join(f", aux.{name}.weight=0" for name in aux)
        return [
            "no loss term has a weight: loss.prediction=0, loss.lambda_rate=0,"
            f" loss.supervised=0{more}"
        ]
    module = copy.deepcopy(module).train()
    if not list(module.network.encoder.parameters()):
        raise NotApplicable(f"encoder={config.encoder.name} has no parameters")
    parameters = [p for p in module.network.encoder.parameters() if p.requires_grad]
    if not parameters:
        return [f"no parameter of the encoder is trained: encoder={config.encoder.name}"]
    large = images[2].shape[-1] > LARGE
    module.objective.end_ramps()
    module.training_step(
        module.on_after_batch_transfer(first(images, 4) if large else images, 0), 0
    )
    norms = gradient_statistics(module.weighted, parameters)
    keys = {
        "prediction": (
            f"loss.prediction={loss.prediction:g} with loss.form={loss.form} and"
            f" target={config.target.name}"
        ),
        "rate": f"loss.lambda_rate={loss.lambda_rate:g} with loss.rate_target={loss.rate_target}",
        "supervised": f"loss.supervised={loss.supervised:g}",
        **{
            name: f"aux.{name}.weight={options.weight:g} with aux.{name}.site={options.where}"
            for name, options in aux.items()
        },
    }
    found = []
    for name in [name for name in {**weights, **module.weighted} if weights.get(name, 1.0) > 0]:
        norm = norms.get(f"train/gradient/{name}")
        if norm is not None and math.isfinite(norm) and norm > 0:
            continue
        wrong = (
            "is not computed"
            if norm is None
            else "has no gradient"
            if norm == 0
            else "has a gradient of NaN or inf"
        )
        found.append(f"loss term {name} {wrong}: {keys.get(name, f'loss.{name}')}")
    return found


def save_and_load(config: Config, module: SeqJEPA, images: ImageBatch, steps: int) -> list[str]:
    """Checks that a step after saving and loading (in memory) is bitwise equal to the step without
    it."""
    few = first(images)
    tau = target_tau(config, steps)
    kept, loaded = copy.deepcopy(module).train(), copy.deepcopy(module).train()
    optimisers = [m.configure_optimizers() for m in (kept, loaded)]
    _step(config, kept, optimisers[0], few, tau)  # fills the state of the optimiser
    file = io.BytesIO()
    torch.save([kept.state_dict(), *(part.state_dict() for part in _parts(optimisers[0]))], file)
    file.seek(0)
    of_module, *of_parts = torch.load(file, weights_only=True)
    loaded.load_state_dict(of_module)
    for part, state in zip(_parts(optimisers[1]), of_parts, strict=True):
        part.load_state_dict(state)
    stream = torch.get_rng_state()
    for m, optimiser in ((kept, optimisers[0]), (loaded, optimisers[1])):
        torch.set_rng_state(stream)
        _step(config, m, optimiser, few, tau)
    other = loaded.state_dict()
    # Bytes are compared, so that NaN equals NaN.
    wrong = [
        name for name, value in kept.state_dict().items() if _bytes(value) != _bytes(other[name])
    ]
    if not wrong:
        return []
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return [
        f"a step after saving and loading differs in {wrong[0]}{more}: {_owner(config, wrong[0])}"
    ]


def first(images: ImageBatch, n: int = PAIR) -> ImageBatch:
    """Returns the first n images of a batch."""
    split, *parts = images
    cut: Any = (split, *(part if part is None else part[:n] for part in parts))
    return cut


def _step(
    config: Config, module: SeqJEPA, optimiser: dict[str, Any], images: ImageBatch, tau: float
) -> None:
    """Runs an optimiser step as Lightning and the callbacks do, without clipping."""
    loss = module.training_step(module.on_after_batch_transfer(images, 0), 0)
    optimiser["optimizer"].zero_grad()
    loss.backward()
    module.on_after_backward()
    module.on_before_optimizer_step(optimiser["optimizer"])
    optimiser["optimizer"].step()
    optimiser["lr_scheduler"]["scheduler"].step()
    for average, online in module.ema_pairs:
        ema_update(average, online, tau, config.target.bn_buffers)


def _parts(optimiser: dict[str, Any]) -> list[Any]:
    return [optimiser["optimizer"], optimiser["lr_scheduler"]["scheduler"]]


def _tensors(module: SeqJEPA) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _bytes(value: Tensor) -> bytes:
    return value.detach().contiguous().numpy().tobytes()


def _owner(config: Config, name: str) -> str:
    """Returns the key that chooses the part of the module with this tensor."""
    keys = {
        "network.encoder": f"encoder={config.encoder.name}",
        "network.aggregator": f"model.aggregator={config.model.aggregator}",
        "network.predictor": f"model.predictor={config.model.predictor}",
        "network.action_projection": f"model.action_bn={config.model.action_bn}",
        "target_encoder": (
            f"target={config.target.name} with target.bn_buffers={config.target.bn_buffers}"
        ),
        **{f"objective.aux.{name}": f"aux={name}" for name in config.aux},
        "objective": f"loss.form={config.loss.form}",
    }
    return next(
        (text for prefix, text in keys.items() if name.startswith(prefix)),
        f"model={config.model.name}",
    )


def run_preflight(config: Config, splits: Splits, module: SeqJEPA, budget: Budget) -> Preflight:
    """Runs every check on copies of the module, on the CPU in float32. Random streams and the
    module stay unchanged. A check that raises an exception has failed, and the exception is its
    message. The run itself will raise it again, with a traceback."""
    start = time.perf_counter()
    train, val = sample("train", splits.train), sample("val", splits.val)
    ready: list[tuple[str, Callable[[], list[str]]]] = [
        ("warmup", lambda: warmup(config)),
        ("augmentation", lambda: augmentation(config, module.group, train)),
        ("contexts", lambda: contexts(config, module.group, train)),
        ("target", lambda: target(config, module)),
        ("evaluation", lambda: evaluation(config, module, val)),
        ("loss_terms", lambda: loss_terms(config, module, train)),
        ("save_and_load", lambda: save_and_load(config, module, train, budget.steps)),
    ]
    with streams_restored():
        done = tuple(run_check(name, check) for name, check in ready)
    return Preflight(done, time.perf_counter() - start)


def sample(split: str, source: ImageSource, n: int = SAMPLES) -> ImageBatch:
    """Returns a batch of n images, or of all if there are fewer, spread evenly over the source."""
    index = torch.linspace(0, len(source.images) - 1, min(n, len(source.images))).long()
    labels = None if source.labels is None else source.labels[index]
    batch = (split, index, source.images[index], labels)
    return batch if source.maps is None else (*batch, source.maps[index])
