"""Measures training sequences per second, phase by phase.

    python benchmarks/training.py [--dataset cifar10_rot] [--json PATH]

The phases of one optimiser step (views, forward, backward, optimiser, EMA) are timed separately, as
medians over steps after a warm-up. `monitor` and `gradients` are not part of the step. `monitor` is
the collapse monitor's own cost for one validation of 1,000 images. `gradients` is one measurement
of the gradient of every term, which a run takes every 50 steps. The plain baseline is the
convolutions of the same network alone: their forward pass over all views and their backward pass
over the observed ones. Images are random pixels, because the time does not depend on them.

Last comes one smoke run of the baseline on the digits, in CPU seconds of one thread: the probes as
a share of the training steps, and the validation passes as a share of the run. A step is a batch of
Lightning's loop with its callbacks. A validation pass is its evaluation loop (also that before
training and that on the test images) without the checkpoints. `--shares` measures this run alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from pytorch_lightning.loops.evaluation_loop import _EvaluationLoop
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop

from jepa_lab.callbacks import OnlineProbes
from jepa_lab.callbacks.checkpoints import Saver
from jepa_lab.callbacks.logging import gradient_statistics
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.config.groups import conf_dir
from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.networks.ema import ema_update
from jepa_lab.studies import checked
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.monitor import measure
from jepa_lab.studies.seq_jepa.parts import build_views

CASES = [  # dataset, channels, size, batch, steps
    ("digits_rot", 1, 16, 64, 30),
    ("cifar10_rot", 3, 32, 64, 5),
]


def configuration(dataset: str, precision: str) -> Config:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        overrides = [
            "+experiment=teacherless_a",
            f"dataset={dataset}",
            f"precision={precision}",
            "hardware=cpu",
        ]
        return checked(compose("config", overrides))


def timed(action: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def bench(
    dataset: str, channels: int, size: int, batch: int, steps: int, precision: str
) -> dict[str, float]:
    """Returns median seconds of every phase, and sequences per second."""
    config = configuration(dataset, precision)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (batch, channels, size, size), dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,))
    source = ImageSource(dataset, images, labels, 10, (0.5,) * channels, (0.25,) * channels)
    module = build_module(config, build_views(config, source), source, steps).train()
    optimiser = module.configure_optimizers()["optimizer"]
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    index = torch.arange(batch)
    gradients: list[float] = []
    phases: dict[str, list[float]] = {
        p: [] for p in ("views", "forward", "backward", "optimiser", "ema")
    }
    for step in range(steps + 2):
        taken = {}
        taken["views"], views = timed(
            lambda s=step: module.group(images, labels, index, seed=0, split="train", epoch=s)  # type: ignore[misc]
        )
        with autocast:
            taken["forward"], reps = timed(lambda v=views: module(v))  # type: ignore[misc]
            terms = module.objective(reps, labels)
        weighted, encoder = (
            module.objective.weighted(terms.terms),
            list(module.network.encoder.parameters()),
        )
        looks, _ = timed(lambda: gradient_statistics(weighted, encoder))  # noqa: B023
        taken["backward"], _ = timed(terms.total.backward)
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        taken["optimiser"], _ = timed(optimiser.step)
        optimiser.zero_grad()
        assert module.target_encoder is not None
        target, online = module.target_encoder, module.network.encoder
        taken["ema"], _ = timed(lambda: ema_update(target, online, 0.99))  # noqa: B023
        if step >= 2:
            gradients.append(looks)
            for name, seconds in taken.items():
                phases[name].append(seconds)
    out = {name: statistics.median(seconds) for name, seconds in phases.items()}
    out["sequences_per_s"] = batch / sum(out.values())
    out["gradients"] = statistics.median(gradients)
    out["convolutions_per_s"] = batch / convolutions_alone(module, batch, channels, size, autocast)
    out["monitor"] = monitor_seconds(module.network.encoder.dim)  # type: ignore[arg-type]
    return out


def convolutions_alone(
    module: torch.nn.Module, batch: int, channels: int, size: int, autocast: torch.autocast
) -> float:
    """Returns median seconds of the encoder alone on the same number of images."""
    network = module.network
    observed, target = (
        torch.randn(batch, 3, channels, size, size),
        torch.randn(batch, channels, size, size),
    )
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        with autocast:
            with torch.no_grad():
                network.encode(target)  # type: ignore[operator,union-attr]
            z = network.encode(observed)  # type: ignore[operator,union-attr]
        z.float().square().mean().backward()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def monitor_seconds(dim: int) -> float:
    rows = {
        "z": torch.randn(1000, 3, dim),
        "z_hat": torch.randn(1000, dim),
        "z_target": torch.randn(1000, dim),
    }
    rows["z_agg"] = torch.randn(1000, dim + dim // 4)
    rows |= {name: torch.rand(1000) for name in ("loss", "loss_shuffled", "loss_copy")}
    return statistics.median(timed(lambda: measure(rows, "val", 10))[0] for _ in range(3))


def cpu_clock(owner: type, method: str) -> list[float]:
    """Returns the CPU seconds of every call of this method from now on."""
    taken: list[float] = []
    original = getattr(owner, method)

    def timed_call(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return original(*args, **kwargs)
        finally:
            taken.append(time.process_time() - start)

    setattr(owner, method, timed_call)
    return taken


def smoke_run() -> dict[str, float]:
    """Returns the CPU seconds of a smoke run, and the shares of its probes and its validations."""
    steps, probes = (
        cpu_clock(_TrainingEpochLoop, "advance"),
        cpu_clock(OnlineProbes, "on_train_batch_end"),
    )
    passes, saves = cpu_clock(_EvaluationLoop, "run"), cpu_clock(Saver, "on_validation_end")
    with tempfile.TemporaryDirectory() as folder:
        overrides = ["+experiment=seq_jepa_baseline", "tier=smoke", f"runs_dir={folder}"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            config = checked(compose("config", [*overrides, "hardware=cpu", "hardware.threads=1"]))
        start = time.process_time()
        train(config)
        run = time.process_time() - start
    return {
        "run_s": run,
        "step_ms": 1e3 * statistics.median(steps),
        "probes_ms": 1e3 * statistics.median(probes),
        "probes_share": statistics.median(p / s for p, s in zip(probes, steps, strict=True)),
        "validation_s": sum(passes) - sum(saves),
        "validation_share": (sum(passes) - sum(saves)) / run,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset", choices=[c[0] for c in CASES], help="measure only this dataset"
    )
    parser.add_argument("--json", type=Path, help="also write the values to this file")
    parser.add_argument("--shares", action="store_true", help="measure only the smoke run")
    args = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    if not args.shares:
        results = phases_of_steps(args.dataset)
    shares = results["smoke run"] = smoke_run()
    print(
        f"smoke run, CPU: {shares['run_s']:.1f} s\n"
        f"  probes {shares['probes_ms']:.1f} of {shares['step_ms']:.1f} ms a step:"
        f" {shares['probes_share']:.1%}\n"
        f"  validation passes {shares['validation_s']:.2f} s of the run:"
        f" {shares['validation_share']:.1%}"
    )
    if args.json:
        args.json.write_text(json.dumps(results, indent=2))


def phases_of_steps(only: str | None) -> dict[str, dict[str, float]]:
    """Prints and returns the figures of every case, or of one dataset."""
    results: dict[str, dict[str, float]] = {}
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; milliseconds a step"
        " (median)"
    )
    names = ["views", "forward", "backward", "optimiser", "ema"]
    print(
        f"{'case':<22}"
        + "".join(f"{n:>11}" for n in [*names, "seq/s", "conv alone", "monitor", "gradients"])
    )
    for dataset, channels, size, batch, steps in CASES:
        if only in (None, dataset):
            for precision in ("fp32", "bf16"):
                figures = bench(dataset, channels, size, batch, steps, precision)
                results[f"{dataset} {precision}"] = figures
                cells = [f"{1e3 * figures[n]:>11.1f}" for n in names]
                cells += [
                    f"{figures['sequences_per_s']:>11.1f}",
                    f"{figures['convolutions_per_s']:>11.1f}",
                ]
                print(
                    f"{dataset + ' ' + precision:<22}"
                    + "".join(cells)
                    + "".join(f"{1e3 * figures[n]:>11.1f}" for n in ("monitor", "gradients")),
                    flush=True,
                )
    return results


if __name__ == "__main__":
    main()
