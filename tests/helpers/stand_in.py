"""A device without hardware, on which every wait of the host for the device is seen.

Tensors on torch's device `meta` have shapes and no values. What a training step reads back from
such a device, or copies there from pageable memory, makes the host wait on an accelerator too.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.fx.experimental import _config
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from jepa_lab.training.trainer import quiet

aten = torch.ops.aten
DEVICE = torch.device("meta")
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._unsafe_index}
# the shape of a result depends on values, so the host waits for them
OF_VALUES = {
    aten.nonzero,
    aten.masked_select,
    aten.bincount,
    aten._unique2,
    aten.unique_dim,
    aten.unique_consecutive,
    aten.repeat_interleave,
    aten.equal,
}
FUSED = {aten._fused_adam_, aten._fused_adamw_}  # they have no kernel for shapes alone
FROM_LISTS = {torch.tensor, torch.as_tensor, Tensor.new_tensor}


class HostWaits(TorchDispatchMode):
    """Lists what makes the host wait for the device in `places`, as "operation file:line"."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        op, kwargs = func.overloadpacket, kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if op in FUSED:
            return None
        if op in (aten._to_copy, aten.copy_):
            return self._copied(func, args, kwargs)
        if not any(x.is_meta for x in tensors):
            return func(*args, **kwargs)
        if op is aten._local_scalar_dense:
            self.add("item")
            return 1
        by_mask = op in INDEXED and any(
            x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]
        )
        if by_mask or op in OF_VALUES or any(x.ndim and not x.is_meta for x in tensors):
            self.add(str(op))
        return func(*args, **kwargs)

    def _copied(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        if func.overloadpacket is aten.copy_:
            to, of, waits = args[0].device, args[1].device, not (len(args) > 2 and args[2])
        else:
            of, to = args[0].device, torch.device(kwargs.get("device") or args[0].device)
            waits = not kwargs.get("non_blocking")
        if to == of:
            return func(*args, **kwargs)
        if to != DEVICE:
            self.add("copy to the host")
            return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if waits:
            self.add("copy to the device")
        return func(*args, **kwargs)

    def add(self, operation: str) -> None:
        """Adds an operation with the two innermost lines of the package that called it."""
        frame, lines = sys._getframe(1), []
        while frame.f_back is not None and len(lines) < 2:
            frame = frame.f_back
            _, package, file = frame.f_code.co_filename.rpartition("/jepa_lab/")
            lines += [f"{file}:{frame.f_lineno}"] if package else []
        self.places.append(f"{operation} {' < '.join(lines)}")


class _FromLists(TorchFunctionMode):
    """Sees tensors that are made on the device from numbers in Python."""

    def __init__(self, waits: HostWaits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in FROM_LISTS and made.is_meta:
            self.waits.add("numbers to the device")
        return made


class _StandIn(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Accepts the device."""


class _Autocast(torch.autocast):
    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if device_type == "meta" else device_type, *args, **kwargs)


class _Steps(pl.Callback):
    def __init__(self, waits: HostWaits) -> None:
        self.waits = waits
        self.steps: list[list[str]] = []

    def on_train_batch_end(self, *args: Any) -> None:
        self.steps.append(self.waits.places)
        self.waits.places = []


@contextmanager
def seeing_waits() -> Iterator[HostWaits]:
    """Yields the waits of the host inside the context."""
    waits = HostWaits()
    with _config.patch(meta_nonzero_assume_all_nonzero=True), _FromLists(waits), waits:
        yield waits


def waits_of_steps(
    module: pl.LightningModule,
    batches: Any,
    callbacks: list[pl.Callback],
    patch: pytest.MonkeyPatch,
    steps: int = 2,
) -> list[list[str]]:
    """Trains the module on the device and returns what made the host wait in every step, with the
    loading of its batch. The first entry also has what happens once."""
    quiet()
    patch.setattr(torch, "autocast", _Autocast)
    adam = importlib.import_module("torch.optim.adam")
    patch.setattr(adam, "_device_dtype_check_for_fused", lambda *args, **kwargs: None)
    with seeing_waits() as waits:
        seen = _Steps(waits)
        trainer = pl.Trainer(
            strategy=SingleDeviceStrategy(device=DEVICE, accelerator=_StandIn()),
            max_steps=steps,
            callbacks=[*callbacks, seen],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        trainer.fit(module, batches)
    return seen.steps
