"""Learning rates that follow the curvature: alpha_t = c tau / H_t, with H_t measured while the toy
trains."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.data import generator

# of the power iteration: from a random vector, and from the last one
FIRST_ITERATIONS, ITERATIONS = (30, 3)
FLOOR = 1e-2  # of the first H: in a collapse H goes to 0, and c tau / H would blow up
# of the stability bound of heavy-ball descent, d (1 + mu) / H; for the encoder with a curvature of
# its own
CAP = 0.5

State = dict[str, Tensor]  # of some runs, by name: (R, ...)


def auto_state(seeds: list[int], d: int) -> State:
    """What the schedule remembers: the running second moment of z_o (R, d, d), its leading
    direction (R, d), H and the H it began with (R,), and the largest variance of x (R,), which the
    module of linear maps fills in."""
    directions = [
        torch.randn(d, generator=generator("power iteration", seed), dtype=torch.float64)
        for seed in seeds
    ]
    runs = len(seeds)
    return {
        "second_moment": torch.zeros(runs, d, d, dtype=torch.float64),
        "direction": torch.stack([v / v.norm() for v in directions]),
        "h": torch.zeros(runs, dtype=torch.float64),
        "h_start": torch.zeros(runs, dtype=torch.float64),
        "h_x": torch.zeros(runs, dtype=torch.float64),
    }


def update_rates(
    s: State, moment: Tensor, step: int, config: ToyConfig, c_alpha: Tensor, c_beta: Tensor
) -> None:
    """Takes in this step's Z_o'Z_o / B (R, d, d), with a memory of `auto_memory` steps; every
    `auto_refresh_every` steps, the first included, sets lr_pred and lr_enc (R,) for this step and
    those to come. c_alpha, c_beta (R,)."""
    s["second_moment"].lerp_(moment, max(1.0 / step, 1.0 / config.auto_memory))
    if (step - 1) % config.auto_refresh_every:
        return
    direction = s["direction"]
    for _ in range(FIRST_ITERATIONS if step == 1 else ITERATIONS):
        ahead = torch.einsum("rij,rj->ri", s["second_moment"], direction)
        norm = ahead.norm(dim=1, keepdim=True)
        direction.copy_(torch.where(norm > 0, ahead / norm.clamp_min(1e-300), direction))
    h = torch.einsum("ri,rij,rj->r", direction, s["second_moment"], direction)
    if step == 1:
        s["h_start"].copy_(h)
    s["h"].copy_(torch.maximum(h, FLOOR * s["h_start"]))
    d = moment.shape[-1]
    steps = {"lr_enc": c_beta * s["tau"] / s["h"]}
    steps["lr_pred"] = (
        2 * c_alpha / s["h"] if config.auto_rule == "two_over_h" else c_alpha * s["tau"] / s["h"]
    )
    for name, step_size in steps.items():
        momentum = s[name.replace("lr", "mom")]
        # the step that is taken in the end is lr (2 / d) / (1 - mu)
        if config.step_scale == "effective":
            step_size = step_size * (1 - momentum) * d / 2
        curvature = (
            s["h"] if name == "lr_pred" else torch.maximum(s["h"], _gain(s, config) * s["h_x"])
        )
        step_size = torch.minimum(step_size, CAP * d * (1 + momentum) / curvature)
        # nothing but zeros: nothing to follow
        s[name].copy_(torch.where(s["h"] > 0, step_size, 0.0))


def _gain(s: State, config: ToyConfig) -> Tensor | float:
    """By how much at most (R,) the loss curves more in B_o than x varies: |P|^2, and (|P| + 1)^2
    where the gradient enters the target too. It does not fall with H when the code collapses."""
    norm = s["pred_0"].flatten(1).norm(dim=1) if "pred_0" in s else 1.0
    return (norm if config.stop_gradient else norm + 1.0) ** 2
