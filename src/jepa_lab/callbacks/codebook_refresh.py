"""CodebookRefresh: moves unused codes to tokens after the optimiser step."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.errors import UserError
from jepa_lab.networks.vq.base import Quantizer
from jepa_lab.networks.vq.refresh import (
    Revival,
    long_unused,
    overwrite_as_published,
    rarely_used,
    revive_at_tokens,
    small_mass,
)

RULES = ("relative", "staleness", "legacy_share")


class CodebookRefresh(pl.Callback):
    """Revives dead codes of `pl_module.vq` every `interval` optimiser steps.

    If the target has its own codebook, `pl_module.target_vq` is treated alike. Nothing happens on a
    skipped step, nor in the first share `ramp` of the `steps`.

    `rule` defines a dead code:

    - "relative": its share of the moving counts is below threshold / K.
    - "staleness": no token chose it for `stale_after` steps.
    - "legacy_share": its share is at most `threshold` itself. All dead codes are overwritten as
      published (see overwrite_as_published), without cap and cool-down. If the codebook is updated
      at every forward pass, the interval counts training forward passes. The interval restarts only
      after an event that found a dead code.

    With the first two rules an event revives at most the share `cap` of K, but at least one code.
    The rarest or longest unused codes come first. Codes that were revived less than `cool_down`
    steps ago are left out. See revive_at_tokens. Random draws depend on (seed, step) alone.

    Logs train/codebook/dead_before (codes), /revived (codes) and /revived_share (of K) of every
    event. If codes were revived, it also logs /moved (mean distance), /norm_before and /norm_after
    (mean norms). Metrics of the target's own codebook are under train/codebook_target. Raises
    UserError for a value out of range, a missing codebook, or a codebook whose codes are fixed.
    """

    def __init__(
        self,
        interval: int = 100,
        threshold: float = 0.1,
        rule: str = "relative",
        stale_after: int = 200,
        cap: float = 0.1,
        cool_down: int = 0,
        ramp: float = 0.0,
        *,
        steps: int = 0,
        seed: int = 0,
    ) -> None:
        check_refresh(interval, threshold, rule, stale_after, cap, cool_down, ramp)
        self.interval = interval
        self.threshold = threshold
        self.rule = rule
        self.stale_after = stale_after
        self.cap = cap
        self.cool_down = cool_down
        self.ramp = ramp
        self.steps = steps
        self.seed = seed
        self._last_step = 0
        self._since: dict[str, int] = {}  # codebook -> start of the published interval
        self._revived_at: dict[str, Tensor] = {}  # (K,) step of the last revival, -1: never

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._last_step = trainer.global_step
        if getattr(pl_module, "vq", None) is None:
            raise UserError("vq.refresh.enabled=true without a codebook (vq.enabled=false)")
        if not pl_module.vq.revivable:
            raise UserError(
                "vq.refresh.enabled=true with vq.kind=fsq: its codes are fixed, none can be revived"
            )

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        step = trainer.global_step
        if step == self._last_step:
            return
        self._last_step = step
        if getattr(pl_module, "skipped", False) or step <= self.ramp * self.steps:
            return
        for name, quantizer in _codebooks(pl_module):
            if self._due(name, quantizer, step):
                dead, event = self._refresh(name, quantizer, step)
                _forget_moments(trainer, quantizer, event)
                log_metrics(trainer, _described(f"train/{name}", quantizer, len(dead), event))

    def _due(self, name: str, quantizer: Quantizer, step: int) -> bool:
        if self.rule != "legacy_share":
            return step % self.interval == 0
        return self._clock(quantizer, step) - self._since.get(name, 0) >= self.interval

    def _clock(self, quantizer: Quantizer, step: int) -> int:
        return quantizer.on_host("forwards") if quantizer.update_at == "forward" else step

    def _refresh(self, name: str, quantizer: Quantizer, step: int) -> tuple[Tensor, Revival | None]:
        if self.rule == "legacy_share":
            dead = small_mass(quantizer.counts, self.threshold)
            event = overwrite_as_published(quantizer, dead) if len(dead) else None
            if event is not None:
                self._since[name] = self._clock(quantizer, step)
            return dead, event
        by_share = self.rule == "relative"
        dead = (
            rarely_used(quantizer.counts, self.threshold)
            if by_share
            else long_unused(quantizer.age, self.stale_after)
        )
        revived_at = self._revived_at.setdefault(
            name, torch.full((quantizer.size,), -1, dtype=torch.int64)
        )
        at = revived_at[dead.cpu()]
        rested = ((at < 0) | (step - at >= self.cool_down)).to(dead.device)
        chosen = dead[rested][: max(1, int(self.cap * quantizer.size))]
        if not len(chosen):
            return dead, None
        live = torch.ones(quantizer.size, dtype=torch.bool, device=dead.device)
        live[dead] = False
        source = torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)
        event = revive_at_tokens(quantizer, chosen, live, source)
        if event is not None:
            revived_at[chosen.cpu()] = step
        return dead, event

    def state_dict(self) -> dict[str, Any]:
        return {
            "since": dict(self._since),
            "revived_at": {k: v.clone() for k, v in self._revived_at.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._since = dict(state_dict["since"])
        self._revived_at = {
            name: steps.clone().cpu() for name, steps in state_dict["revived_at"].items()
        }


def check_refresh(
    interval: int,
    threshold: float,
    rule: str,
    stale_after: int,
    cap: float,
    cool_down: int,
    ramp: float,
) -> None:
    """Raises UserError for the first value out of range, with the allowed range."""
    if rule not in RULES:
        raise UserError(f"vq.refresh.rule={rule}: one of {', '.join(RULES)}")
    if rule == "relative" and not 0.0 < threshold < 1.0:
        raise UserError(
            f"vq.refresh.threshold={threshold}: above 0 and below 1, as it is relative to uniform"
            " use for every codebook and dataset; at 1 a uniformly used code is dead"
        )
    if rule == "legacy_share" and not 0.0 <= threshold <= 1.0:
        raise UserError(f"vq.refresh.threshold={threshold}: a share of all tokens, from 0 to 1")
    for key, value, right, fits in (
        ("interval", interval, "1 or more", interval >= 1),
        ("stale_after", stale_after, "1 or more", stale_after >= 1),
        ("cap", cap, "a share of the codebook, above 0 and at most 1", 0.0 < cap <= 1.0),
        ("cool_down", cool_down, "0 or more", cool_down >= 0),
        ("ramp", ramp, "a share of the run, from 0 to 1", 0.0 <= ramp <= 1.0),
    ):
        if not fits:
            raise UserError(f"vq.refresh.{key}={value}: {right}")


def _codebooks(pl_module: Any) -> list[tuple[str, Quantizer]]:
    own = getattr(pl_module, "target_vq", None)
    books = [("codebook", pl_module.vq)]
    return (
        [*books, ("codebook_target", own)] if own is not None and own is not pl_module.vq else books
    )


def _forget_moments(trainer: pl.Trainer, quantizer: Quantizer, event: Revival | None) -> None:
    """Clears the optimiser's moments of codes that moved, since they belong to the old vectors."""
    if event is None:
        return
    for optimiser in trainer.optimizers:
        for parameter in quantizer.parameters(recurse=False):
            for value in optimiser.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value[event.codes] = 0.0


def _described(
    prefix: str, quantizer: Quantizer, dead: int, event: Revival | None
) -> dict[str, float]:
    revived = 0 if event is None else len(event.codes)
    values = {
        "dead_before": float(dead),
        "revived": float(revived),
        "revived_share": revived / quantizer.size,
    }
    if event is not None:
        values["moved"] = float((event.after - event.before).norm(dim=1).mean())
        values["norm_before"] = float(event.before.norm(dim=1).mean())
        values["norm_after"] = float(event.after.norm(dim=1).mean())
    return {f"{prefix}/{name}": value for name, value in values.items()}
