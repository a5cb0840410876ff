"""Measures views, training steps, an epoch, toy sweeps and a population of seeds on an accelerator.

    python benchmarks/gpu.py [--tiny] [--batch N] [--parts PART ...] [--json PATH]

It is one script of under six minutes, without data sets: images are random bytes, because the time
does not depend on them. Without an accelerator it runs on the CPU; `--tiny` takes sizes for that,
and its numbers mean nothing. The parts:

- views: sequences of four views a second, rendered on the device, of the rotations and of the
  augmentations.
- training: sequences a second of the seq-JEPA with an EMA target, in the training loop of a run
  with its guard, its target and its probes: ResNet-18, 32 x 32, fp32 without and with TF32, bf16,
  channels_last, all networks compiled. The first steps, which compile, do not count.
- shares: what a step of the bf16 run would be without its probes and without rendering views, and
  the collapse monitor's own cost for one validation of 1,000 images.
- epoch: seconds of the second epoch of 50,000 images in bf16, from the memory of the device.
- toy: seconds of 100 steps of 1,024 and of 16,384 runs of the linear BYOL toy with one seed and one
  batch size, and of building them.
- seeds: sequences a second of a population of small networks that differ in their seeds, all in one
  program (torch.func.vmap) and one network after another.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from jepa_lab.callbacks import OnlineProbes, TargetEMA
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.cli.compose import checked
from jepa_lab.data.images.image_source import ImageSource, Splits
from jepa_lab.data.views.build import make_view_group
from jepa_lab.losses import vicreg
from jepa_lab.networks.encoders import build_encoder
from jepa_lab.studies.linear_byol.grid import members
from jepa_lab.studies.linear_byol.module import Block, LinearBYOL
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.monitor import measure
from jepa_lab.studies.seq_jepa.parts import build_loaders, build_views
from jepa_lab.studies.seq_jepa.probes import SeqJEPAProbes
from jepa_lab.training.accelerator import accelerator_of, set_accelerator
from jepa_lab.training.one_process import OneProcessTrainer
from jepa_lab.training.trainer import quiet

BF16 = ("precision=bf16",)
VARIANTS: dict[str, tuple[str, ...]] = {
    "fp32": ("hardware.tf32=off", "hardware.channels_last=false"),
    "fp32, TF32 convolutions": ("hardware.channels_last=false",),
    "fp32, TF32": ("hardware.tf32=all", "hardware.channels_last=false"),
    "fp32, TF32, channels_last": ("hardware.tf32=all",),
    "bf16": (*BF16, "hardware.channels_last=false"),
    "bf16, channels_last": BF16,
    "bf16, channels_last, compiled": (*BF16, "hardware.compile=true"),
}


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    batch: int = 512
    side: int = 32
    encoder: tuple[str, ...] = ("encoder=resnet18_cifar",)
    variants: tuple[str, ...] = tuple(VARIANTS)
    warm: int = 5  # steps that do not count
    steps: int = 30
    images: int = 50_000  # of an epoch
    monitored: int = 1000
    toys: tuple[int, ...] = (1024, 16_384)
    toy_steps: int = 100
    seeds: int = 16
    pairs: int = 128  # of views that a network of the population sees at once
    seconds: float = 1.0  # of a repeated measurement


TINY = Sizes(
    batch=4,
    side=8,
    encoder=("encoder=resnet_small", "encoder.widths=[4,4]"),
    variants=("fp32", "bf16, channels_last"),
    warm=1,
    steps=2,
    images=12,
    monitored=40,
    toys=(2, 4),
    toy_steps=4,
    seeds=2,
    pairs=8,
    seconds=0.0,
)


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def clock() -> float:
    """Returns the time in seconds once the device has finished its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds_of(work: Callable[[], object], at_least: float) -> float:
    """Returns the seconds of one call, after a first one, repeated for about `at_least` seconds."""
    work()
    start, calls = clock(), 0
    while not calls or clock() - start < at_least:
        work()
        calls += 1
    return (clock() - start) / calls


def configure(sizes: Sizes, *overrides: str, experiment: str = "seq_jepa_baseline") -> Config:
    few = [f"dataset.batch_size={sizes.batch}", *sizes.encoder]
    names = [f"+experiment={experiment}", "dataset=cifar10_rot", *few, *overrides]
    config: Config = checked(names)
    return config


def random_images(n: int, side: int) -> ImageSource:
    images = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8)
    return ImageSource("random", images, torch.arange(n) % 10, 10, (0.5,) * 3, (0.25,) * 3)


class Clock(pl.Callback):
    """Reads the clock after every `every` training steps."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.global_step % self.every == 0:
            self.times.append(clock())


def step_seconds(
    sizes: Sizes, *overrides: str, images: int | None = None, probes: bool = True
) -> float:
    """Returns the seconds of one optimiser step of a run. With `images` the steps are those of its
    second epoch, otherwise `sizes.steps` steps after the first ones."""
    torch.manual_seed(0)
    config = configure(sizes, *overrides)
    set_accelerator(config.hardware)
    warm, steps = sizes.warm, sizes.steps
    if images is not None:
        warm = steps = images // sizes.batch
    source = random_images(images or sizes.batch * (warm + steps), sizes.side)
    module = build_module(config, build_views(config, source), source, warm + steps)
    options: Any = {"lr": 1e-3, "weight_decay": 0.0, "hidden": 64, "steps": warm + steps, "seed": 0}
    clocks = Clock(warm), Clock(warm + steps)
    callbacks: list[Any] = [FiniteGuard(), TargetEMA(0.99, "constant", warm + steps)]
    callbacks += [OnlineProbes(SeqJEPAProbes(), **options)] if probes else []
    trainer = OneProcessTrainer(
        accelerator="cpu" if accelerator_of(config.hardware) is None else "gpu",
        devices=1,
        precision="bf16-mixed" if config.precision.name == "bf16" else "32-true",
        max_steps=warm + steps,
        callbacks=[*callbacks, *clocks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module, build_loaders(config, Splits(source, source, source))["train"])
    return (clocks[1].times[0] - clocks[0].times[0]) / steps


def views(sizes: Sizes) -> Iterator[tuple[str, str]]:
    source = random_images(2 * sizes.batch, sizes.side)
    images, index = source.images[:].to(device()), torch.arange(2 * sizes.batch, device=device())
    for kind in ("rotation", "augment"):
        options: dict[str, Any] = {"image_size": sizes.side} if kind == "augment" else {}
        group = make_view_group(kind, n_views=4, mean=source.mean, std=source.std, **options)
        with torch.inference_mode():
            taken = seconds_of(
                lambda g=group: g(images, None, index, seed=0, split="train", epoch=0),  # type: ignore[misc]
                sizes.seconds,
            )
        yield f"{kind}, batch {len(images)}", f"{len(images) / taken:,.0f} sequences/s"


def training(sizes: Sizes) -> Iterator[tuple[str, str]]:
    for name in sizes.variants:
        rate = sizes.batch / step_seconds(sizes, *VARIANTS[name])
        yield f"{name}, batch {sizes.batch}", f"{rate:,.0f} sequences/s"


def shares(sizes: Sizes) -> Iterator[tuple[str, str]]:
    whole = step_seconds(sizes, *BF16)
    without = step_seconds(sizes, *BF16, probes=False)
    yield "step, bf16", f"{1e3 * whole:.2f} ms"
    yield "probes", f"{1e3 * (whole - without):.2f} ms, {1 - without / whole:.1%} of a step"
    source = random_images(sizes.batch, sizes.side)
    group = build_views(configure(sizes), source)
    images, index = source.images[:].to(device()), torch.arange(sizes.batch, device=device())
    with torch.inference_mode():
        rendered = seconds_of(
            lambda: group(images, None, index, seed=0, split="train", epoch=0), sizes.seconds
        )
    yield "views", f"{1e3 * rendered:.2f} ms, {rendered / whole:.1%} of a step"
    n, dim = sizes.monitored, 512
    rows = {"z": torch.randn(n, 3, dim), "z_agg": torch.randn(n, dim + dim // 4)}
    rows |= {name: torch.randn(n, dim) for name in ("z_hat", "z_target")}
    rows |= {name: torch.rand(n) for name in ("loss", "loss_shuffled", "loss_copy")}
    rows = {name: x.to(device()) for name, x in rows.items()}
    monitor = seconds_of(lambda: measure(rows, "val", 10), sizes.seconds)
    yield f"monitor, {n} images", f"{1e3 * monitor:.0f} ms, {monitor / whole:.1f} steps"


def epoch(sizes: Sizes) -> Iterator[tuple[str, str]]:
    steps = sizes.images // sizes.batch
    taken = steps * step_seconds(sizes, *BF16, images=sizes.images)
    yield f"{sizes.images:,} images, bf16, channels_last", f"{taken:.2f} s"


def toy(sizes: Sizes) -> Iterator[tuple[str, str]]:
    base = ["+experiment=linear_byol_sweep", "seeds=[0]", "batch_sizes=[64]"]
    for runs in sizes.toys:
        rates = 2 ** (runs.bit_length() // 2)  # of the predictor, and runs / rates of the target
        grid = [
            f"lr_pred_logspace=[1e-5,1e-2,{rates}]",
            f"tau_logspace=[1e-4,1e-1,{runs // rates}]",
        ]
        config = checked([*base, *grid])
        start = clock()
        module = LinearBYOL(members(config)).to(device())
        built = clock() - start
        assert len(module.members) == runs
        module.training_step(Block(1, 2))
        start = clock()
        module.training_step(Block(3, 2 + sizes.toy_steps))
        taken = clock() - start
        rate = runs * sizes.toy_steps / taken
        steps = f"{sizes.toy_steps} steps {taken:.2f} s, {rate:,.0f} run-steps/s"
        yield f"{runs:,} runs", f"{steps}; built in {built:.1f} s"


def seeds(sizes: Sizes) -> Iterator[tuple[str, str]]:
    """Trains encoders with VICReg of two views by plain gradient descent, as one program and one
    after another."""
    networks = []
    for seed in range(sizes.seeds):
        torch.manual_seed(seed)
        encoder = build_encoder("resnet_small", in_channels=3, image_size=16, widths=(16, 32))
        torch.func.replace_all_batch_norm_modules_(encoder)
        networks.append(encoder.to(device()))
    skeleton = networks[0]
    two = torch.randn(2, sizes.pairs, 3, 16, 16, device=device())

    def loss(weights: dict[str, Tensor]) -> Tensor:
        x, y = (functional_call(skeleton, weights, (view,)) for view in two)
        total: Tensor = vicreg(x, y).total
        return total

    gradients = grad(loss)

    def descend(weights: dict[str, Tensor], slopes: dict[str, Tensor]) -> None:
        for name, weight in weights.items():
            weight.sub_(slopes[name], alpha=1e-3)

    stacked, _ = stack_module_state(list[nn.Module](networks))
    alone = [{k: p.detach().clone() for k, p in x.named_parameters()} for x in networks]
    population = {name: x.detach().clone() for name, x in stacked.items()}

    def one_after_another() -> None:
        for weights in alone:
            descend(weights, gradients(weights))

    pairs = sizes.pairs * sizes.seeds
    rates = {
        "one program": lambda: descend(population, vmap(gradients)(population)),
        "one after another": one_after_another,
    }
    taken = {name: seconds_of(work, sizes.seconds) for name, work in rates.items()}
    for name, seconds in taken.items():
        yield f"{sizes.seeds} seeds, {name}", f"{pairs / seconds:,.0f} pairs/s"
    yield "ratio", f"{taken['one after another'] / taken['one program']:.2f}"


PARTS: dict[str, Callable[[Sizes], Iterator[tuple[str, str]]]] = {
    "views": views,
    "training": training,
    "shares": shares,
    "epoch": epoch,
    "toy": toy,
    "seeds": seeds,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU does in seconds")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--batch", type=int, help="sequences a step, where memory is short")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    args = parser.parse_args(arguments)
    quiet()
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    sizes = TINY if args.tiny else Sizes()
    sizes = sizes if args.batch is None else replace(sizes, batch=args.batch)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no accelerator: CPU"
    tiny = "; tiny sizes, the numbers mean nothing" if args.tiny else ""
    print(f"torch {torch.__version__}, {name}{tiny}\n")
    table: dict[str, dict[str, str]] = {}
    for part in args.parts:
        start = clock()
        for row, value in PARTS[part](sizes):
            table.setdefault(part, {})[row] = value
            print(f"{part:<10}{row:<46}{value}", flush=True)
        print(f"{'':<10}{clock() - start:.1f} s in all\n", flush=True)
    if args.json:
        args.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
