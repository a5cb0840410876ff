"""ProbeReferences: the class accuracies of raw pixels, of the untrained encoder and of a constant,
measured once before training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.callbacks.probes import ProbeHeads
from jepa_lab.data.images.image_source import ImageSource, Splits
from jepa_lab.networks.probe import Probe
from jepa_lab.training.preflight import streams_restored

MOST_IMAGES = 4096  # first views that a head is trained on
MOST_DRAWS = 4  # first views of an image
MOST_STEPS = 2000  # steps of a head
MOST_VALUES = 1 << 27  # pixel values kept in memory, 512 MiB: there are fewer of very large views
CHUNK = 256  # images that are rendered and encoded at a time


class FirstViews(NamedTuple):
    """The first views of n sequences: `pixels` (n, C * H * W), their encodings `z` (n, d), and
    `labels` (n,)."""

    pixels: Tensor
    z: Tensor
    labels: Tensor

    def rows(self, index: Tensor) -> FirstViews:
        """Returns the views at the positions `index` (k,)."""
        return FirstViews(*(part[index] for part in self))


class ProbeReferences(pl.Callback):
    """Logs three accuracies (0..1) on the first views of the validation images, in the pass
    "reference" before training. A resumed run has no such pass and keeps the logged values.

    - `reference/probe/class_from_pixels`: the probe class_from_z, reading the pixels instead.
    - `reference/probe/class_from_untrained_z`: the same on the encodings of the untrained encoder.
    - `reference/probe/class_from_constant`: the share of the most frequent class.

    The heads have the form, the optimiser, the learning rate, the weight decay, the batch size and
    the number of steps of class_from_z in this run. They learn from first views of the training
    images, rendered and encoded once. Three limits keep the cost low: a head takes at most 2,000
    steps, over which its learning rate falls to 0; it reads at most 4,096 views, drawn from the
    training images; and an image is rendered up to four times if its first view varies and there
    are fewer images. Views of more than 32,768 values are fewer than 4,096, so that they fit into
    512 MiB.

    Nothing is logged without classes. The run keeps its bits: the encoder is a copy in evaluation
    mode, the order comes from a generator of its own, and the random streams are restored.
    """

    def __init__(
        self,
        data: Splits,
        *,
        batch_size: int,
        lr: float,
        weight_decay: float,
        steps: int,
        seed: int,
    ) -> None:
        self.data = data
        self.batch_size = batch_size
        self.options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "seed": seed}
        self.steps = min(steps, MOST_STEPS)
        self._heads: ProbeHeads | None = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if pl_module.eval_prefix != "reference" or pl_module.n_classes < 2:
            return
        gpus = range(torch.cuda.device_count()) if pl_module.device.type == "cuda" else ()
        precision = trainer.precision_plugin.val_step_context
        with streams_restored(gpus), torch.inference_mode(False), torch.enable_grad():
            self._heads = train_heads(
                training_views(pl_module, self.data.train, precision),
                pl_module.n_classes,
                batch_size=self.batch_size,
                steps=self.steps,
                **self.options,
            )
        self._heads.start_scoring()

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if self._heads is not None:
            batch, z = pl_module.batch, pl_module.evaluated.reps.z[:, 0]
            views = FirstViews(batch.views[:, 0].flatten(1), z, batch.labels)
            self._heads.score(views, views)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._heads is not None:
            values = self._heads.scores()
            counts = torch.tensor(self.data.class_counts()["val"])
            values["class_from_constant"] = float(counts.max() / counts.sum())
            log_metrics(
                trainer, {f"reference/probe/{name}": value for name, value in values.items()}
            )
        self._heads = None


@torch.no_grad()
def training_views(
    module: Any,
    source: ImageSource,
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> FirstViews:
    """Returns first views of training sequences, as the module renders them in its first epochs,
    and their encodings by its encoder in evaluation mode. Their images are a random choice that the
    module's seed determines. `precision` gives the context in which the encoder runs."""
    group, device = module.group, module.device
    assert source.labels is not None
    height, width = group.view_size(*source.images.shape[2:])
    limit = max(2, min(MOST_IMAGES, MOST_VALUES // (len(group.mean) * height * width)))
    generator = torch.Generator().manual_seed(module.seed)
    chosen = torch.randperm(len(source.images), generator=generator)[:limit]
    draws = min(MOST_DRAWS, limit // len(chosen)) if group.first_view == "random" else 1
    encoder = copy.deepcopy(module.network.encoder).eval()  # a copy is never compiled
    parts = []
    for epoch in range(draws):
        for index in chosen.split(CHUNK):
            images = source.images[index].to(device)
            maps = group.maps(images) if source.maps is None else source.maps[index].to(device)
            params = group.draw(
                index.to(device), seed=module.seed, split="train", epoch=epoch, maps=maps
            )
            views = group.render(images, params[:, :1])[:, 0]
            with precision():
                z = module.network.encode(views, encoder).float()
            parts.append(FirstViews(views.flatten(1), z, source.labels[index].to(device)))
    return FirstViews(*(torch.cat(part) for part in zip(*parts, strict=True)))


class LinearClassHeads(ProbeHeads):
    """ProbeHeads of class probes. Their gradients are written out, since autograd takes most of the
    time of heads that are so small."""

    @torch.no_grad()
    def set_gradients(self, features: Any, batch: Any) -> None:
        """Sets the gradients of the cross-entropies: softmax minus one-hot, times the input."""
        for probe in self.probes:
            head: Any = self.heads[probe.name]
            norm, linear = head
            x, answer = norm(probe.read(features)), probe.answer(batch)[:, None]
            error = linear(x).softmax(dim=1)
            error.scatter_add_(1, answer, error.new_full(answer.shape, -1.0)).div_(len(x))
            linear.weight.grad, linear.bias.grad = error.T @ x, error.sum(0)


def train_heads(
    views: FirstViews,
    n_classes: int,
    *,
    batch_size: int,
    steps: int,
    lr: float,
    weight_decay: float,
    seed: int,
) -> ProbeHeads:
    """Returns a linear head for the pixels and one for the encodings, trained for `steps` batches
    in an order drawn from `seed`. As in training, an epoch leaves out the last short batch."""
    heads = LinearClassHeads(
        [
            Probe("class_from_pixels", lambda v: v.pixels, lambda v: v.labels, n_classes, True),
            Probe("class_from_untrained_z", lambda v: v.z, lambda v: v.labels, n_classes, True),
        ],
        views,
        views.pixels.device,
        lr=lr,
        weight_decay=weight_decay,
        hidden=0,
        steps=steps,
        seed=seed,
    )
    size, generator = min(batch_size, len(views.labels)), torch.Generator().manual_seed(seed)
    left: list[Tensor] = []
    for _ in range(steps):
        if not left:
            order = torch.randperm(len(views.labels), generator=generator)
            left = [part for part in order.split(size) if len(part) == size]
        batch = views.rows(left.pop().to(views.labels.device))
        heads.learn(batch, batch)
    return heads
