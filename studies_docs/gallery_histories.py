"""Histories with a known answer: the curves of runs that went well, or wrong in a known way.
Imports no torch, and its random numbers are seeded."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Curves = dict[str, list[tuple[int, float]]]
STEPS = [50 * (i + 1) for i in range(20)]  # validations
LOGGED = [10 * (i + 1) for i in range(100)]  # training losses


@dataclass(frozen=True)
class RunCase:
    """A name, the right status and tap, the step at which the failure began (None: not checked),
    and the function that makes the curves with their settings."""

    name: str
    status: str
    make: Callable[[], Curves | tuple[Curves, Mapping[str, Any]]]
    tap: str | None = None
    since: int | None = None

    def build(self) -> tuple[Curves, Mapping[str, Any]]:
        made = self.make()
        return made if isinstance(made, tuple) else (made, {})


def line(start: float, end: float, n: int = 20) -> list[float]:
    return [start + (end - start) * i / (n - 1) for i in range(n)]


def loss(end: float = 0.2, start: float = 1.0, seed: int = 0) -> list[float]:
    """Returns a falling loss with the noise of mini-batches."""
    noise = random.Random(seed)
    return [
        (end + (start - end) * math.exp(-i / 15)) * (1 + 0.05 * noise.gauss(0, 1))
        for i in range(100)
    ]


def run(
    *,
    z: Sequence[float] | float = 20.0,
    z_agg: Sequence[float] | float = 10.0,
    spread: Sequence[float] | float = 0.5,
    skill: Sequence[float] | float | None = None,
    action: Sequence[float] | float = 0.02,
    copy: Sequence[float] | float = 0.1,
    train: Sequence[float] | None = None,
    start: float = 6.0,
    n: float = 500.0,
    **more: Sequence[float] | float,
) -> Curves:
    """Returns a run of 1,000 steps with 20 validations. Keys of `more` have __ for /. Lists of 100
    values are training metrics."""
    skills = line(0.1, 0.6) if skill is None else skill
    out: Curves = {}
    for tap, ranks in (("z", z), ("z_agg", z_agg)):
        out[f"val/{tap}/effective_rank"] = at(STEPS, ranks)
        out[f"val/{tap}/feature_std_l2"] = at(STEPS, spread)
        cosine = [1 - s * s if s < 0.3 else 0.3 for _, s in at(STEPS, spread)]
        out[f"val/{tap}/mean_pairwise_cosine"] = at(STEPS, cosine)
        out[f"val/{tap}/n"], out[f"val/{tap}/d"] = at(STEPS, n), at(STEPS, 128.0)
        out[f"reference/{tap}/effective_rank"] = [(0, start)]
    out["reference/n_classes"] = [(0, 10.0)]
    out["val/skill"], out["val/action_gain"], out["val/copy_gain"] = (
        at(STEPS, skills),
        at(STEPS, action),
        at(STEPS, copy),
    )
    out["val/loss/prediction"] = at(STEPS, 0.2)
    out["train/loss/prediction"] = at(LOGGED, train or loss())
    for name, values in more.items():
        long = isinstance(values, Sequence) and len(values) == len(LOGGED)
        out[name.replace("__", "/")] = at(LOGGED if long else STEPS, values)
    return out


def readout(use: Sequence[float] | float, **more: Any) -> Curves:
    """Returns a run that measured the use of actions relative to a readout of its features."""
    return run(val__action_use=use, val__readout__loss=0.15, val__readout__action_gain=0.1, **more)


def at(steps: Sequence[int], values: Sequence[float] | float) -> list[tuple[int, float]]:
    listed = [values] * len(steps) if isinstance(values, int | float) else list(values)
    return list(zip(steps, listed, strict=True))


def then(before: float, after: float, at_index: int, n: int = 20) -> list[float]:
    """Returns `before` up to an index and `after` from there on."""
    return [before] * at_index + [after] * (n - at_index)


def spiked(times: float, *places: int) -> list[float]:
    values = loss()
    for place in places:
        values[place] *= times
    return values


def book(usage: Sequence[float], **more: Any) -> Curves:
    return run(**more) | {"val/codebook/usage": at(STEPS, usage)}


def gradients(ratio: float, **more: Any) -> Curves:
    strong = {
        "train/gradient/prediction": at(STEPS, 0.1),
        "train/gradient/rate": at(STEPS, 0.1 * ratio),
    }
    return run(**more) | strong


def dino(information: float, each: float, **more: Any) -> Curves:
    statistics = {
        "mutual_information": information,
        "mean_entropy": each,
        "entropy_of_mean": each + information,
    }
    return run(**more) | {f"train/dino/{k}": at(LOGGED, v) for k, v in statistics.items()}


def info_nce(values: Sequence[float]) -> Curves:
    return run(train__loss__info_nce=values, train__info_nce__negatives=255.0)


def without(curves: Curves, prefix: str) -> Curves:
    return {k: v for k, v in curves.items() if not k.startswith(prefix)}


CROSS = [5.5, *[0.1] * 9, *line(0.1, 5.0, 90)]  # the targets change from one-hot to spread
PROTOTYPES = {"loss": {"prototypes": 256}}
OFF = {"model": {"action_conditioning": False}}
UNTRAINED = {"optim": {"lr": 0.0}}
SUPERVISED = {"loss": {"prediction": 0.0}}
M, K, H = "dimensional_collapse", "complete_collapse", "healthy"

RUNS: tuple[RunCase, ...] = (
    RunCase("rank grows", H, lambda: run(z=line(8, 30), z_agg=line(4, 15))),
    RunCase("rank falls a little", H, lambda: run(z=line(24, 16), start=20.0)),
    RunCase(
        "a collapse that it recovered from", H, lambda: run(z=[20.0] * 5 + [1.5] * 5 + [20.0] * 10)
    ),
    RunCase("one bad batch", H, lambda: run(train=spiked(2.0, 60))),
    RunCase("low rank that still rises", H, lambda: run(z_agg=line(1.6, 3.4), start=3.0)),
    RunCase("actions used a little", H, lambda: run(action=0.0015)),
    RunCase("without actions, by design", H, lambda: (run(action=0.0), OFF)),
    RunCase("untrained row", H, lambda: (run(skill=-5.0, action=0.0, copy=-0.1), UNTRAINED)),
    RunCase("supervised row", H, lambda: (run(skill=-4.0, action=0.0, copy=-0.1), SUPERVISED)),
    RunCase("skill below 0 that still rises", "too_short", lambda: run(skill=line(-5.0, -0.5))),
    RunCase("strong regulariser that costs nothing", H, lambda: gradients(10.0)),
    RunCase("inert regulariser", H, lambda: gradients(0.0)),
    RunCase(
        "temperature on its clamp",
        H,
        lambda: run(train__temperature=line(0.2, 0.05, 40) + [0.05] * 60),
    ),
    RunCase("codebook in use", H, lambda: book(line(0.9, 0.6))),
    RunCase(
        "cross-entropy that rises with its targets",
        H,
        lambda: run(train=CROSS) | {"train/loss/cross_entropy": at(LOGGED, CROSS)},
    ),
    RunCase("InfoNCE that learns", H, lambda: info_nce(line(5.5, 2.0, 100))),
    RunCase("DINO that learns", H, lambda: dino(2.0, 3.0)),
    RunCase("rank fell, skill held", "low_rank", lambda: run(z=line(20, 8), start=20.0), "z"),
    RunCase(
        "rank fell, and the skill",
        M,
        lambda: run(z=then(20, 8, 10), skill=then(0.6, 0.2, 10), start=20.0),
        "z",
        550,
    ),
    RunCase("rank of z at 1", M, lambda: run(z=then(12, 1.4, 8)), "z", 450),
    RunCase("z well, z_agg collapsed", M, lambda: run(z_agg=then(10, 1.3, 12)), "z_agg", 650),
    RunCase("low at the start, and at the end", M, lambda: run(z_agg=2.2, start=2.9), "z_agg"),
    RunCase(
        "rank rose and fell to a few",
        M,
        lambda: run(z_agg=[5, 8, 9, 9, 9, *[2.1] * 15], start=3.1),
        "z_agg",
        300,
    ),
    RunCase(
        "collapse with a better loss",
        K,
        lambda: run(spread=then(0.4, 0.01, 6), train=loss(0.001)),
        "z",
        350,
    ),
    RunCase(
        "spread gone, rank high", K, lambda: run(z=40.0, spread=then(0.4, 0.005, 15)), "z", 800
    ),
    RunCase("features not finite", "diverged", lambda: run(z=then(20, math.nan, 15)), "z"),
    RunCase(
        "loss not finite",
        "diverged",
        lambda: run(train=[*loss()[:60], *[math.nan] * 40]),
        None,
        610,
    ),
    RunCase("loss runs away", "diverged", lambda: run(train=[*loss()[:70], *line(1.0, 30.0, 30)])),
    RunCase("spikes", "unstable", lambda: run(train=spiked(2.5, 30, 45, 60, 80))),
    RunCase("one great spike", "unstable", lambda: run(train=spiked(8.0, 60)), None, 610),
    RunCase(
        "an auxiliary term explodes",
        "unstable",
        lambda: run(train__loss__relational=line(0.1, 3.0, 100)),
    ),
    RunCase("InfoNCE at chance", "no_learning", lambda: info_nce([5.54] * 100)),
    RunCase(
        "DINO's information at 0", "no_learning", lambda: (dino(0.02, 3.0, skill=0.0), PROTOTYPES)
    ),
    RunCase("DINO's targets uniform", "uniform_output", lambda: dino(0.001, 5.54, skill=0.0)),
    RunCase("no better than a constant", "no_learning", lambda: run(skill=-0.01)),
    RunCase("ignored actions", "ignores_actions", lambda: run(action=0.0)),
    RunCase(
        "actions of no effect",
        "ignores_actions",
        lambda: run(action=[1e-6 * (-1) ** i for i in range(20)]),
    ),
    RunCase("a prediction that has learned", "healthy", lambda: readout(line(0.0, 0.8))),
    RunCase(
        "nearly nothing of the possible use of actions",
        "ignores_actions",
        lambda: readout(line(0.0, 0.01), action=0.02, skill=0.6),
        since=50,
    ),
    RunCase(
        "a prediction that has just begun",
        "too_short",
        lambda: readout(line(0.0, 0.3), skill=line(-1.0, 0.05)),
    ),
    RunCase(
        "a prediction that stands still near a constant",
        "inconclusive",
        lambda: readout(0.1, skill=0.05),
    ),
    RunCase("copy of the last view", "copy_shortcut", lambda: run(copy=0.001)),
    RunCase(
        "a regulariser dominates",
        "regulariser_dominated",
        lambda: gradients(10.0, z=line(10, 60), skill=[*line(0.1, 0.6, 8), *line(0.6, 0.2, 12)]),
    ),
    RunCase(
        "codebook dead", "codebook_collapse", lambda: book(then(0.6, 0.02, 10)), "codebook", 550
    ),
    RunCase("codebook dies slowly", "codebook_collapse", lambda: book(line(0.8, 0.1)), "codebook"),
    RunCase(
        "codebook before the rank before the loss",
        "codebook_collapse",
        lambda: book(then(0.6, 0.02, 4), z=then(20, 1.2, 10), train=loss()[:80] + [0.9] * 20),
        "codebook",
        250,
    ),
    RunCase("no validation", "inconclusive", lambda: without(run(), "val/z")),
    RunCase("eight samples", "inconclusive", lambda: run(n=8.0)),
    RunCase("nothing at all", "inconclusive", dict),
)
