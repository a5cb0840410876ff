"""Encoders of the library timm: (n, C, H, W) float images -> (n, d) pooled features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from jepa_lab.errors import UserError, nearest
from jepa_lab.files.extras import import_extra


class TimmEncoder(nn.Module):
    """A model of timm without its classifier, with random weights.

    `patch_size`, `pool` (as timm's `global_pool`: token, avg, ...) and `drop_path` are passed on
    unless they are None. Models that are made for one image size get that of the views.

    Raises UserError if timm is not installed, for an unknown name, for an option that the model
    lacks, and for images that it cannot take.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        image_size: int,
        *,
        patch_size: int | None = None,
        pool: str | None = None,
        drop_path: float | None = None,
    ) -> None:
        super().__init__()
        timm = import_extra("timm", "timm")
        if not timm.is_model(name):
            close = nearest(name, timm.list_models(), most=3)
            raise UserError(f"encoder.name={name}: timm has no such model{close}")
        given = {"patch_size": patch_size, "global_pool": pool, "drop_path_rate": drop_path}
        options: dict[str, Any] = {key: x for key, x in given.items() if x is not None}
        fixed: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": in_channels}
        try:
            self.net: nn.Module = _created(timm, name, image_size, {**fixed, **options})
            self.dim = self._width(in_channels, image_size)
        except Exception as error:  # each model has errors of its own
            text = str(error).splitlines()
            reason = text[0] if text else type(error).__name__
            shown = ", ".join(f"{key}={x}" for key, x in options.items()) or "its own options"
            raise UserError(
                f"encoder.name={name}: cannot be built for views of {image_size}x{image_size}"
                f" pixels with {shown} ({reason})"
            ) from error

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(images)
        return features

    @torch.no_grad()
    def _width(self, in_channels: int, image_size: int) -> int:
        """Returns the number of features. Raises ValueError unless each image has one vector."""
        parameter = next(self.net.parameters())
        features = self.net.eval()(parameter.new_zeros(1, in_channels, image_size, image_size))
        self.net.train()
        if not isinstance(features, Tensor) or features.ndim != 2:
            raise ValueError("its output is not one vector for each image")
        return features.shape[1]


def _created(timm: Any, name: str, image_size: int, options: dict[str, Any]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, img_size=image_size, **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        model = timm.create_model(name, **options)  # a convolutional network takes any size
    return model
