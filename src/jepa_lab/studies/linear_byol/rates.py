"""Learning rates that follow the curvature: alpha_t = c tau / H_t, where H_t is measured during
training."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.data import generator

# power iterations: in the first step from a random vector, later from the last direction
FIRST_ITERATIONS, ITERATIONS = (30, 3)
FLOOR = 1e-2  # relative to the first H: in a collapse H goes to 0, and c tau / H would blow up
# relative to the stability bound of heavy-ball descent, d (1 + mu) / H; the encoder's bound has
# its own curvature
CAP = 0.5

State = dict[str, Tensor]  # the tensors (R, ...) of some runs, by name


def auto_state(seeds: list[int], d: int) -> State:
    """Returns the buffers of the schedule.

    They are the running second moment of z_o (R, d, d), its leading direction (R, d), H and its
    first value (R,), and the largest variance of x (R,). LinearBYOL fills in the last one if the
    maps are linear.
    """
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
    """Updates the running second moment and, if a refresh is due, the rates.

    `moment` is this step's Z_o'Z_o / B (R, d, d). The running average has a memory of `auto_memory`
    steps. Every `auto_refresh_every` steps, from the first step on, sets lr_pred and lr_enc (R,)
    for this and the following steps. c_alpha and c_beta have shape (R,).
    """
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
        # the effective step is lr (2 / d) / (1 - mu)
        if config.step_scale == "effective":
            step_size = step_size * (1 - momentum) * d / 2
        curvature = (
            s["h"] if name == "lr_pred" else torch.maximum(s["h"], _gain(s, config) * s["h_x"])
        )
        step_size = torch.minimum(step_size, CAP * d * (1 + momentum) / curvature)
        # H is 0 if all codes are 0: then no step is taken
        s[name].copy_(torch.where(s["h"] > 0, step_size, 0.0))


def _gain(s: State, config: ToyConfig) -> Tensor | float:
    """Returns an upper bound (R,) on the ratio of the loss's curvature in B_o to the variance of x.

    It is |P|^2, or (|P| + 1)^2 if the gradient also enters the target. It does not fall with H when
    the code collapses.
    """
    norm = s["pred_0"].flatten(1).norm(dim=1) if "pred_0" in s else 1.0
    return (norm if config.stop_gradient else norm + 1.0) ** 2
