"""A codebook in Lightning's own loop: one update per step, no change in evaluation, an exact
resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from jepa_lab.callbacks import CodebookRefresh
from jepa_lab.callbacks.codebook_log import CodebookLog
from jepa_lab.callbacks.finite import FiniteGuard
from jepa_lab.callbacks.random_state import RandomState
from jepa_lab.networks.vq.build import build_quantizer

STEPS, ROWS, D = 6, 16, 4

pytestmark = [
    pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before"),
]


class Quantised(pl.LightningModule):
    """An encoder, a codebook and a decoder. `extra` is the number of further passes of the
    codebook, over augmented tokens."""

    def __init__(self, extra: int = 0, lr: float = 0.05, **options: Any) -> None:
        super().__init__()
        options = {"kind": "hard", "init": "kmeans", "size": 64, **options}
        self.encoder, self.decoder = nn.Linear(D, D), nn.Linear(D, D)
        self.vq = build_quantizer(dim=D, **options)
        self.extra, self.lr = extra, lr
        self.codes: Tensor | None = None
        self.terms: dict[str, Tensor] = {}
        self.skipped, self.finite, self.eval_prefix = False, True, "val"
        self.updates = 0

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        (x,) = batch
        mask = x.abs().sum(-1) > 1.0
        out = self.vq(self.encoder(x), mask, collect=True)
        for shift in range(self.extra):
            self.vq(self.encoder(x + 1 + shift), mask)
        self.codes = out.codes
        total = (self.decoder(out.z) - x).square().mean() + out.loss.total
        self.terms = {"total": total.detach()}
        return total

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        (x,) = batch
        self.codes = self.vq(
            self.encoder(x), torch.ones(x.shape[:-1], dtype=torch.bool), collect=True
        ).codes

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.updates += 1
        self.vq.end_step(self.skipped)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Rows(pl.Callback):
    """Keeps the last codebook metrics of every step."""

    def __init__(self) -> None:
        self.seen: dict[int, dict[str, float]] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if "codebook" in k}
        self.seen[trainer.global_step] = values


def fitted(
    module: Quantised,
    data: Tensor,
    folder: Path,
    *,
    accumulate: int = 1,
    until: int = STEPS,
    ckpt: str | None = None,
    validate: bool = False,
    callbacks: tuple[pl.Callback, ...] = (),
) -> tuple[pl.Trainer, Rows]:
    rows = Rows()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=until,
        accumulate_grad_batches=accumulate,
        logger=False,
        callbacks=[FiniteGuard(skip=True), *callbacks, rows, RandomState()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        limit_val_batches=None if validate else 0,
    )
    own: Any = {
        "generator": torch.Generator()
    }  # each loader would otherwise draw a seed from the global stream
    loader = DataLoader(TensorDataset(data), batch_size=ROWS // accumulate, **own)
    held_out = DataLoader(TensorDataset(5.0 + data[:ROWS]), batch_size=ROWS, **own)
    torch.manual_seed(9)  # for the noise; a checkpoint restores its own state
    trainer.fit(module, loader, held_out if validate else None, ckpt_path=ckpt)
    return trainer, rows


def tokens() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS * ROWS, 10, D, generator=generator)


def start(**options: Any) -> Quantised:
    torch.manual_seed(0)
    return Quantised(**options)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


@pytest.mark.parametrize("accumulate", [1, 2, 4])
@pytest.mark.parametrize("extra", [0, 6])
def test_the_codebook_moves_once_per_optimiser_step(
    accumulate: int, extra: int, tmp_path: Path
) -> None:
    """With lr 0 the tokens of a step do not depend on its batches, so codebooks must be equal."""
    plain, other = (start(lr=0.0, extra=n, init="uniform", ema_decay=0.8) for n in (0, extra))
    fitted(plain, tokens(), tmp_path)
    fitted(other, tokens(), tmp_path, accumulate=accumulate)
    assert plain.updates == other.updates == STEPS
    assert int(other.vq.forwards) == STEPS * accumulate
    assert torch.allclose(other.vq.codebook, plain.vq.codebook, atol=1e-6)
    assert torch.allclose(other.vq.counts, plain.vq.counts, atol=1e-5)
    assert torch.equal(other.vq.age, plain.vq.age)


@pytest.mark.parametrize(
    "options", [{}, {"update": "forward", "init": "empty"}, {"kind": "gumbel"}], ids=str
)
def test_evaluations_do_not_change_the_run(options: dict[str, Any], tmp_path: Path) -> None:
    one, two = start(**options), start(**options)
    fitted(one, tokens(), tmp_path)
    trainer, _ = fitted(two, tokens(), tmp_path, validate=True, callbacks=(CodebookLog(100),))
    assert same(one, two)
    assert "val/codebook/usage" in trainer.callback_metrics


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ema_decay": None},
        {"kind": "gumbel"},
        {"kind": "fsq", "levels": [4, 4]},
        {"update": "forward", "init": "empty", "in_objective": False, "extra": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    options: dict[str, Any], accumulate: int, tmp_path: Path
) -> None:
    legacy = options.get("update") == "forward"

    def callbacks() -> tuple[pl.Callback, ...]:
        rule = (
            {"rule": "legacy_share", "threshold": 0.02}
            if legacy
            else {"rule": "staleness", "stale_after": 1, "cool_down": 3}
        )
        refresh = () if options.get("kind") == "fsq" else (CodebookRefresh(2, **rule, steps=STEPS),)  # type: ignore[arg-type]
        return (*refresh, CodebookLog(250))

    whole = start(**options)
    _, rows = fitted(whole, tokens(), tmp_path, accumulate=accumulate, callbacks=callbacks())
    first, file = start(**options), tmp_path / "half.ckpt"
    trainer, _ = fitted(
        first, tokens(), tmp_path, accumulate=accumulate, until=3, callbacks=callbacks()
    )
    trainer.save_checkpoint(file)
    torch.manual_seed(77)
    second = Quantised(**options)
    # this loader cannot resume: it restarts at its first row
    rest_of_epoch = tokens().roll(-3 * ROWS, dims=0)
    _, rest = fitted(
        second,
        rest_of_epoch,
        tmp_path,
        accumulate=accumulate,
        ckpt=str(file),
        callbacks=callbacks(),
    )
    assert same(whole, second)
    if options.get("kind") != "fsq":
        assert any("train/codebook/moved" in values for values in rest.seen.values())
    changed = {
        s: {k: v for k, v in values.items() if v != rows.seen[3].get(k)}
        for s, values in rows.seen.items()
    }
    for step in (4, 5, 6):
        assert changed[step].items() <= rest.seen[step].items()


def test_a_batch_that_is_not_finite_does_not_change_the_codebook(tmp_path: Path) -> None:
    """If the second of two accumulated batches is not finite, neither counts."""
    data, half = tokens(), ROWS // 2
    spoilt = data.clone()
    spoilt[3 * ROWS + half : 4 * ROWS] = torch.nan
    module, seen = start(init="uniform"), {}

    class Look(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
            if args[-1] in (5, 7):
                seen[args[-1]] = (
                    pl_module.vq.codebook.clone(),
                    pl_module.vq.counts.clone(),
                    pl_module.vq.age.clone(),
                )

    # counts as live
    guarded = torch.where(torch.isnan(spoilt), torch.full_like(spoilt, torch.inf), spoilt)
    fitted(module, guarded, tmp_path, accumulate=2, callbacks=(Look(),))
    assert all(torch.equal(a, b) for a, b in zip(seen[5], seen[7], strict=True))
    assert torch.isfinite(module.vq.codebook).all()
    assert not torch.equal(module.vq.codebook, seen[7][0])
