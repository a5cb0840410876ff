"""Lower bounds of the memory that a module takes in training. Nothing is allocated for them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from jepa_lab.config.run_config import RunConfig
from jepa_lab.errors import UserError
from jepa_lab.process.memory import is_out_of_memory, memory_at_hand
from jepa_lab.training.accelerator import accelerator_of

FLOAT = 4  # bytes
MOST_KEPT = 5  # maps that a layer with its normalisation and activation keeps for its gradients
COPIES = 4  # of a trained parameter: itself, its gradient, and the two averages of Adam


def bytes_of_module(build: Callable[[], nn.Module]) -> tuple[float, nn.Module | None]:
    """Returns the bytes of the module that `build` makes, in training by Adam, and the module on
    torch's device "meta". No random number is drawn.

    A size beyond 64 bits is infinite. A module that cannot be built on this device counts as 0.
    For both the module is None. Raises UserError as `build` does.
    """
    try:
        with torch.device("meta"), _WithoutDraws():
            module = build()
    except UserError:
        raise
    except Exception as error:  # user-defined parts may do anything
        return (math.inf if is_out_of_memory(error) else 0.0), None
    trained = sum(_size(p) for p in module.parameters() if p.requires_grad)
    held = [*(p for p in module.parameters() if not p.requires_grad), *module.buffers()]
    return float(COPIES * trained + sum(map(_size, held))), module


class _WithoutDraws(TorchFunctionMode):
    """Skips draws from the normal distribution on torch's device "meta", which has no values. torch
    imports its compiler for them, which takes a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.normal_ and args[0].is_meta:
            return args[0]
        if func is torch.randn and kwargs.get("device") is None:
            kwargs.pop("generator", None)
            func = torch.empty
        return func(*args, **kwargs)


def bytes_of_activations(module: nn.Module, *shape: int) -> float:
    """Returns the bytes that a module on torch's device "meta" keeps for its gradients, for one
    input of this shape. Sizes count as in `bytes_of_module`."""
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        kept[value.untyped_storage()._cdata] = _size(value)
        return value

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value), _Fused():
            out = module(torch.empty(shape, device="meta"))
    except Exception as error:
        return math.inf if is_out_of_memory(error) else 0.0
    return float(sum(kept.values()) + _size(out))


class _Fused(TorchFunctionMode):
    """Lets attention keep its inputs and its output alone, as fused attention does. On "meta" torch
    would keep the weights of every pair of tokens too."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention:
            return _KeptByAttention.apply(*args[:3])
        return func(*args, **(kwargs or {}))


class _KeptByAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = value.new_empty(*query.shape[:-1], value.shape[-1])
        ctx.save_for_backward(query, key, value, out)
        return out


def most_bytes_of_activations(module: nn.Module, n: int, channels: int, *size: int) -> float:
    """Returns more bytes than `bytes_of_activations` does for n images of this size, at once: it
    counts MOST_KEPT maps in the full size of the image for every channel of every layer. Holds for
    modules that do not enlarge their input."""
    wide = sum(p.shape[0] for p in module.parameters() if p.ndim > 1)
    weights = sum(map(_size, module.parameters()))
    return float(FLOAT * n * math.prod(size) * MOST_KEPT * (channels + wide) + weights)


def device_memory(config: RunConfig) -> float:
    """Returns the bytes of memory of the device that trains the run."""
    if accelerator_of(config.hardware) is not None:
        return float(torch.cuda.get_device_properties(0).total_memory)
    return memory_at_hand()


def _size(value: Tensor) -> int:
    return value.numel() * value.element_size()
