"""CodebookLog: use of the codes, in windows of training tokens and over every evaluation pass."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from jepa_lab.callbacks.logging import log_metrics
from jepa_lab.metrics import code_norms, codebook_churn, dead_code_age, perplexity, usage
from jepa_lab.networks.vq.base import Quantizer
from jepa_lab.networks.vq.maths import code_counts
from jepa_lab.ranks import gathered, summed

CHURN_TOKENS = 2048


class CodebookLog(pl.Callback):
    """Logs `train/codebook/<name>` after every `window_tokens` quantised live tokens, and
    `<eval_prefix>/codebook/<name>` after every evaluation pass.

    Windows are counted in tokens, so that runs with different batch sizes are comparable. The
    callback counts `pl_module.codes` of all ranks: int64 of any shape, -1 where there is no token.
    In training these are the codes of the context, and `pl_module.live` has the numbers of the
    places with a token, if the module knows them. In evaluation `pl_module.target_codes` are
    counted too, if the module has them.

    - usage and perplexity: of the window or the pass. n: its number of tokens.
    - dead_code_age: mean optimiser steps since each code was last used in training.
    - norm_median, norm_min, norm_max: lengths of the codes.
    - churn: share of the last step's tokens whose code differs from the code that they would have
      had at the end of the window before. It is missing in evaluation, for the first window and for
      fixed codes.

    A window closes at the end of an optimiser step and holds exactly `window_tokens` tokens. The
    remaining tokens start the next window. If one step fills several windows, only the last is
    logged. Skipped steps are not counted. Raises ValueError for a window below 1.
    """

    def __init__(self, window_tokens: int = 65536) -> None:
        if window_tokens < 1:
            raise ValueError(f"a window has at least one token, got {window_tokens}")
        self.window_tokens = window_tokens
        self._last_step = 0
        # codes of the batches of this optimiser step, which no checkpoint contains
        self._step_codes: list[Tensor] = []
        self._counts: Tensor | None = None  # (K,) counts of the window so far
        self._held = 0  # their sum
        self._codebook: Tensor | None = None  # (K, d) at the end of the window before
        self._evaluated: Tensor | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._last_step = trainer.global_step
        self._step_codes = []

    @torch.no_grad()
    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        vq = getattr(pl_module, "vq", None)
        if vq is None:
            return
        self._step_codes.append(_live(pl_module.codes, getattr(pl_module, "live", None)))
        if trainer.global_step == self._last_step:
            return
        self._last_step = trainer.global_step
        codes, self._step_codes = torch.cat(self._step_codes), []
        if getattr(pl_module, "skipped", False):
            return
        full = self._windows(gathered(codes.unsqueeze(1)).squeeze(1), vq.size)
        if full is not None:
            values = {**_use(full), **_state(vq), **self._churn(vq)}
            log_metrics(
                trainer, {f"train/codebook/{name}": value for name, value in values.items()}
            )

    def _windows(self, codes: Tensor, size: int) -> Tensor | None:
        """Adds (n,) codes. Returns the (K,) counts of the last window that they fill, or None."""
        counts = codes.new_zeros(size) if self._counts is None else self._counts.to(codes.device)
        full = None
        while len(codes):
            some = codes[: self.window_tokens - self._held]
            counts = counts + code_counts(some, size)
            self._held += len(some)
            codes = codes[len(some) :]
            if self._held == self.window_tokens:
                full, counts, self._held = counts, torch.zeros_like(counts), 0
        self._counts = counts
        return full

    def _churn(self, vq: Quantizer) -> dict[str, float]:
        if not vq.revivable:
            return {}
        tokens, now = vq.live_tokens(CHURN_TOKENS).cpu(), vq.codebook.detach().cpu().clone()
        before, self._codebook = self._codebook, now
        if (
            before is None
            or not len(tokens)
            or not bool(torch.isfinite(tokens).all() & torch.isfinite(now).all())
        ):
            return {}
        return {"churn": float(codebook_churn(tokens, before, now))}

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._evaluated = None

    @torch.no_grad()
    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        vq = getattr(pl_module, "vq", None)
        if vq is None:
            return
        for codes in (pl_module.codes, getattr(pl_module, "target_codes", None)):
            if codes is not None:
                counts = torch.bincount(_live(codes), minlength=vq.size)
                self._evaluated = counts if self._evaluated is None else self._evaluated + counts

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        counts, self._evaluated = self._evaluated, None
        if counts is None or trainer.sanity_checking:
            return
        counts = summed(counts)
        if int(counts.sum()):
            values = {**_use(counts), **_state(pl_module.vq)}
            log_metrics(
                trainer,
                {
                    f"{pl_module.eval_prefix}/codebook/{name}": value
                    for name, value in values.items()
                },
            )

    def state_dict(self) -> dict[str, Any]:
        return {
            "window_tokens": self.window_tokens,
            "counts": self._counts,
            "codebook": self._codebook,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["window_tokens"] == self.window_tokens:  # else a new window starts
            self._counts = state_dict["counts"]
            self._held = 0 if self._counts is None else int(self._counts.sum())
        self._codebook = state_dict["codebook"]


def _live(codes: Tensor, places: Tensor | None = None) -> Tensor:
    return codes[codes >= 0] if places is None else codes.flatten().index_select(0, places)


def _use(counts: Tensor) -> dict[str, float]:
    return {
        "usage": float(usage(counts)),
        "perplexity": float(perplexity(counts)),
        "n": float(counts.sum()),
    }


def _state(vq: Quantizer) -> dict[str, float]:
    """Returns ages and lengths of the codes. The lengths are missing if they are not finite."""
    oldest = int(vq.age.max())
    values = {"dead_code_age": float(dead_code_age(oldest - vq.age, oldest))}
    codebook = vq.codebook.detach()
    if bool(torch.isfinite(codebook).all()):
        norms = code_norms(codebook)
        values |= {f"norm_{name}": float(norms[name]) for name in ("median", "min", "max")}
    return values
