"""LinearBYOL: R runs of the linear BYOL toy as one LightningModule. A single run is R = 1.

A training batch is a Block: consecutive steps of all runs. Runs with the same seed and batch size
form a group, which reads the same data in one matrix product. The steps of a group are taken
together, so that its weights stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from jepa_lab.devices import sent
from jepa_lab.metrics.linear_theory import balance, covariances
from jepa_lab.studies.linear_byol.config import CHUNK, ToyConfig
from jepa_lab.studies.linear_byol.data import Group, make_groups
from jepa_lab.studies.linear_byol.descent import RATES, descend, rate, weights_of
from jepa_lab.studies.linear_byol.gradients import Gradients, apply, autograd, closed_form, exact
from jepa_lab.studies.linear_byol.rates import State, auto_state, update_rates
from jepa_lab.studies.linear_byol.start import start_encoder, start_predictor

T = TypeVar("T")
# relative to the first step's loss or the target's power; transients of a stable run stay far below
DIVERGED = 1e4
POWER_SAMPLES = 256
# the largest weight that is measured: above it the measures overflow, and the loss of the next
# step exceeds its limit
LARGEST = 1e60


class Block(NamedTuple):
    """The training steps `first` to `last`, counted from 1, both included."""

    first: int
    last: int


class LinearBYOL(pl.LightningModule):
    """Parameters (R, ...): `enc_0` is the encoder (R, d, D) and `pred_0` the predictor (R, d, d).
    An MLP also has _1 and _2. Buffers (R, ...): `target_*`, the velocities, the rates in use,
    `loss` of the last step, and `diverged_step` (-1 if the run has not diverged).

    `members` are the configurations of single runs. They agree in all but seed, batch size, rates,
    momenta and update periods, and runs of one seed and batch size are adjacent. `by_autograd` uses
    autograd even if there are closed-form gradients. `threads` is the number of groups that are
    trained at a time.
    """

    enc_0: Tensor
    pred_0: Tensor
    lr_pred: Tensor
    lr_enc: Tensor
    step: Tensor
    _pool: ThreadPoolExecutor | None
    loss: Tensor
    loss_scale: Tensor
    h_x: Tensor
    diverged_step: Tensor

    def __init__(
        self, members: Sequence[ToyConfig], by_autograd: bool = False, threads: int = 1
    ) -> None:
        super().__init__()
        self.threads, self._pool = threads, None
        self.automatic_optimization = False
        self.members, self.shared = list(members), members[0]
        self.linear = self.shared.enc == "linear" and self.shared.pred in ("linear", "none")
        self.by_autograd = by_autograd or not self.linear
        self.auto = self.shared.lr_enc_mode == "auto"
        self.groups = make_groups(self.members)
        self.every_step = all(m.pred_update_every == m.enc_update_every == 1 for m in self.members)
        self._names: list[str] = []
        self._chunks: dict[int, tuple[int, tuple[Tensor, Tensor]]] = {}
        self._start_weights()
        self._start_rates()
        self._hold(
            "loss", torch.full((len(members),), math.nan, dtype=torch.float64), in_state=False
        )
        self._hold(
            "loss_scale",
            torch.cat([self._target_power(group) for group in self.groups]),
            in_state=False,
        )
        self._hold("diverged_step", torch.full((len(members),), -1), in_state=False)
        self._hold("step", torch.tensor(0), in_state=False)
        if (
            self.linear
            and self.shared.pred == "linear"
            and not self.auto
            and bool((self.lr_pred * self.lr_enc).all())
        ):
            start = balance(self.pred_0.data, self.enc_0.data, self.lr_pred, self.lr_enc)
            self._hold("balance_start", start, in_state=False)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Returns no optimizer: every run has its own momentum descent."""
        return []

    @property
    def active(self) -> Tensor:
        """(R,) bool: true for runs that have not diverged."""
        return self.diverged_step < 0

    def weights(self, part: str) -> list[Tensor]:
        """Returns the tensors (R, ...) of "enc", "pred" or "target"."""
        return weights_of({name: getattr(self, name) for name in self._names}, part)

    def training_step(self, block: Block, batch_idx: int = 0) -> None:
        """Takes the block's steps, group by group, for the runs that have not diverged."""
        self.each_group(lambda group: self._train_group(group, block))
        self.step.fill_(block.last)

    def on_train_end(self) -> None:
        """Lets the batches of all groups go: files and figures of a grid take memory of their
        own."""
        self._chunks.clear()

    def each_group(self, work: Callable[[Group], T]) -> list[T]:
        """Returns work(group) for every group, computed in threads.

        Groups share nothing, and each is computed by one thread, so the number of threads changes
        no bit of the result.
        """
        if len(self.groups) == 1 or self.threads == 1 or self.step.is_cuda:
            return [work(group) for group in self.groups]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self.threads, initializer=torch.set_num_threads, initargs=(1,)
            )
        return list(self._pool.map(work, self.groups))

    @torch.no_grad()
    def _train_group(self, group: Group, block: Block) -> None:
        runs = torch.arange(group.runs.start, group.runs.stop, device=self.step.device)
        runs = runs[self.active[runs]]
        if not len(runs):
            return
        whole = len(runs) == group.runs.stop - group.runs.start
        index = group.runs if whole else runs
        # views if no run of the group is left out, else copies
        s: State = {name: getattr(self, name).data[index] for name in self._names}
        losses = torch.empty(
            block.last - block.first + 1, len(runs), dtype=torch.float64, device=self.step.device
        )
        A, spectrum = sent(group.data.A, losses), sent(group.data.spectrum, losses)
        for step, (x, x_plus) in zip(
            range(block.first, block.last + 1), self._views(group, block), strict=True
        ):
            grads = self._gradients(s, x, x_plus, A, spectrum)
            if self.auto:
                assert grads.moment is not None
                update_rates(s, grads.moment, step, self.shared, s["c_pred"], s["c_enc"])
            descend(s, grads, None if self.every_step else step)
            losses[step - block.first] = grads.loss
        if not whole:
            for name, value in s.items():
                getattr(self, name).data[index] = value
        self._watch(runs, losses, block.first)

    def _gradients(
        self, s: State, x: Tensor, x_plus: Tensor, A: Tensor, spectrum: Tensor
    ) -> Gradients:
        enc, pred, target = (weights_of(s, part) for part in ("enc", "pred", "target"))
        stop, P = self.shared.stop_gradient, pred[0] if pred else None
        if self.shared.population:
            sigma = self.shared.sigma_n
            return exact(
                P, enc[0], target[0], A, spectrum, sigma, stop_gradient=stop, moment=self.auto
            )
        if self.by_autograd:
            return autograd(enc, pred, target, x, x_plus, stop_gradient=stop, moment=self.auto)
        return closed_form(P, enc[0], target[0], x, x_plus, stop_gradient=stop, moment=self.auto)

    def _views(self, group: Group, block: Block) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the batch of every step of the block. A symmetric loss has each view in both
        roles. The batches are empty if the moments are exact."""
        for step in range(block.first - 1, block.last):
            if self.shared.population:
                yield torch.empty(0), torch.empty(0)
                continue
            x, x_plus = (views[step % CHUNK] for views in self._chunk(group, step // CHUNK))
            yield (
                (torch.cat([x, x_plus]), torch.cat([x_plus, x]))
                if self.shared.symmetric
                else (x, x_plus)
            )

    def _chunk(self, group: Group, number: int) -> tuple[Tensor, Tensor]:
        """Returns a stretch of the group's stream on the device. It is kept until the next one is
        requested."""
        kept = self._chunks.get(group.runs.start)
        if kept is None or kept[0] != number:
            x, x_plus = group.data.batches(group.batch_size, number)
            there = self.step.device
            kept = self._chunks[group.runs.start] = (number, (sent(x, there), sent(x_plus, there)))
        return kept[1]

    def _watch(self, runs: Tensor, losses: Tensor, first: int) -> None:
        """Stores the last loss, and the first step at which a run's loss exceeded its limit."""
        if first == 1:
            self.loss_scale[runs] = torch.maximum(losses[0], self.loss_scale[runs])
        self.loss[runs] = losses[-1]
        gone = ~(losses <= DIVERGED * self.loss_scale[runs])  # true for NaN too
        if first + len(losses) > self.shared.epochs:  # no later loss will show the divergence
            gone[-1] |= ~self.bounded(runs)
        hit = gone.any(0)
        if bool(hit.any()):
            at = gone.int().argmax(0)[hit]
            self.diverged_step[runs[hit]] = first + at
            self.loss[runs[hit]] = losses[at, hit.nonzero()[:, 0]]

    def bounded(self, runs: Tensor) -> Tensor:
        """Returns (len(runs),) bool: true for runs whose weights are finite and small enough to be
        measured."""
        weights = [w for part in ("enc", "pred") for w in self.weights(part)]
        return torch.stack([w.data[runs].flatten(1).abs().amax(1) <= LARGEST for w in weights]).all(
            0
        )

    @torch.no_grad()
    def _target_power(self, group: Group) -> Tensor:
        """Returns the mean square of the target's initial outputs (runs,).

        The first loss alone is a poor scale, because a first batch may fit by chance, above all
        with batch size 1 and one latent.
        """
        target, data = [w[group.runs] for w in self.weights("target")], group.data
        if self.shared.enc == "linear":
            c = covariances(data.A, target[0], target[0], data.spectrum, data.sigma)
            return c.tt.diagonal(dim1=1, dim2=2).mean(1)
        return apply(target, data.evaluation(POWER_SAMPLES)[2]).square().mean((1, 2))

    def _start_weights(self) -> None:
        parts: dict[str, list[list[Tensor]]] = {"enc": [], "pred": []}
        for run, member in enumerate(self.members):
            data = next(g.data for g in self.groups if g.runs.start <= run < g.runs.stop)
            enc = start_encoder(
                str(member.enc_init), member.enc, member.hidden, data, member.enc_init_scale
            )
            parts["enc"].append(enc)
            parts["pred"].append(
                start_predictor(member.pred_init, member.pred, member.hidden, data, enc)
            )
        for part, runs in parts.items():
            for i, tensors in enumerate(zip(*runs, strict=True)):
                value = torch.stack(tensors)
                self._hold(f"{part}_{i}", value, parameter=True)
                self._hold(f"{part}_velocity_{i}", torch.zeros_like(value))
                if part == "enc":
                    self._hold(f"target_{i}", value.clone())

    def _start_rates(self) -> None:
        for name in RATES:
            values = [rate(member, name) for member in self.members]
            self._hold(name, torch.tensor(values, dtype=torch.float64))
        if self.auto:
            for name, value in auto_state(
                [int(m.seed or 0) for m in self.members], self.shared.d_latent
            ).items():
                self._hold(name, value)
            for group in self.groups if self.linear else ():
                # it has the nonzero eigenvalues of A spectrum A'
                gram = group.data.A.mT @ group.data.A * group.data.spectrum
                self.h_x[group.runs] = torch.linalg.eigvals(gram).real.max() + group.data.sigma**2

    def _hold(
        self, name: str, value: Tensor, parameter: bool = False, in_state: bool = True
    ) -> None:
        """Registers a tensor. With `in_state` it has shape (R, ...) and is read or written in a
        training step."""
        if parameter:
            setattr(self, name, nn.Parameter(value, requires_grad=False))  # updated by `descend`
        else:
            self.register_buffer(name, value)
        if in_state:
            self._names.append(name)
