"""Batch norm over the rows of all processes of a distributed training."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from jepa_lab.ranks import gather_rows, world_size


class SyncedBatchNorm(_BatchNorm):
    """The counterpart of torch.nn.SyncBatchNorm for the CPU, which that lacks.

    The mean and the squared deviations of each process are merged (Chan et al. 1979), in one gather
    for each direction. In evaluation mode, and with one process, it is an ordinary batch norm.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"expected (n, c, ...), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if world_size() == 1 or not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        mean, variance, count = statistics_of_all(x.transpose(0, 1).flatten(1))
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        shape = (1, -1, *[1] * (x.ndim - 2))
        y = (x - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        return y if self.weight is None else y * self.weight.view(shape) + self.bias.view(shape)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics, as torch does."""
        if self.running_mean is None or self.running_var is None:
            return
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        assert momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(variance.to(self.running_var), momentum)


def statistics_of_all(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the mean (C,), the biased variance (C,) and the number of the values (C, m) of all
    processes. m may differ by process."""
    mean = x.mean(dim=1)
    squares = (x - mean[:, None]).square().sum(dim=1)
    own = torch.cat([mean, squares, mean.new_tensor([x.shape[1]])])
    (parts,) = gather_rows([own[None]], world_size())
    means, squared, counts = parts.split([len(mean), len(mean), 1], dim=1)
    total = counts.sum()
    mean = (means * counts).sum(dim=0) / total
    between = (counts * (means - mean).square()).sum(dim=0)
    return mean, (squared.sum(dim=0) + between) / total, total


def sync_batch_norms(module: nn.Module, on_gpus: bool) -> None:
    """Replaces the batch norms inside a module, in place. Parameters, buffers and names stay."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm):
            setattr(module, name, _synced(child, nn.SyncBatchNorm if on_gpus else SyncedBatchNorm))
        else:
            sync_batch_norms(child, on_gpus)


def _synced(norm: _BatchNorm, kind: type[_BatchNorm]) -> _BatchNorm:
    synced = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    synced._parameters, synced._buffers = norm._parameters, norm._buffers
    synced.track_running_stats = norm.track_running_stats
    return synced.train(norm.training)
