"""Reads the outputs of named modules of a model, for training code that does not return them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from jepa_lab.errors import nearest


class Outputs(Mapping[str, Tensor]):
    """The last output of each watched module by tap. It is empty before the first forward pass.
    `close` removes the hooks."""

    def __init__(self, model: nn.Module, modules: Mapping[str, str]) -> None:
        known = dict(model.named_modules())
        for tap, path in modules.items():
            if path not in known:
                raise ValueError(f"{tap}: the model has no module {path!r}{nearest(path, known)}")
        self._last: dict[str, Tensor] = {}
        self._handles = [
            known[path].register_forward_hook(self._keeper(tap)) for tap, path in modules.items()
        ]

    def close(self) -> None:
        """Removes the hooks, and keeps the last outputs."""
        for handle in self._handles:
            handle.remove()

    def __getitem__(self, tap: str) -> Tensor:
        return self._last[tap]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def _keeper(self, tap: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            found = first_tensor(output)
            if found is None:
                raise ValueError(f"{tap}: the output of {type(module).__name__} holds no tensor")
            self._last[tap] = found.detach()

        return keep


def watch(model: nn.Module, modules: Mapping[str, str]) -> Outputs:
    """Keeps the last outputs of modules, {tap: name of the module in `model.named_modules()`}.

    A module that is called several times in a step, as for two views, keeps its last output. Of a
    tuple or a mapping the first tensor is taken. Raises ValueError for an unknown name.
    """
    return Outputs(model, modules)


def first_tensor(output: Any) -> Tensor | None:
    """Returns the first tensor of a tensor, a sequence or a mapping, in its order."""
    if isinstance(output, Tensor):
        return output
    parts = output.values() if isinstance(output, Mapping) else output
    if not isinstance(output, Mapping | list | tuple):
        return None
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)
