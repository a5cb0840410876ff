"""The dataclass behind conf/encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import MISSING

from jepa_lab.config.ranges import at_least, one_of, unset, within

RESNETS = ("resnet18_cifar", "resnet18_imagenet", "resnet_small")
VITS = ("vit_tiny", "vit_small")
OF_VIT = ("patch_size", "width", "depth", "heads", "pool", "drop_path")
OF_TIMM = ("patch_size", "pool", "drop_path")


@dataclass
class EncoderConfig:
    name: str = MISSING  # with library=timm the name of a model of timm
    widths: list[int] = field(default_factory=list)  # resnet_small only: one width per block
    library: str | None = None  # timm, or null for the encoders of this package
    patch_size: int | None = None  # vit, timm: side of a patch in pixels
    width: int | None = None  # vit: features of a token
    depth: int | None = None  # vit: number of blocks
    heads: int | None = None  # vit: attention heads
    # vit: cls (a learned token) | mean (of the patches); timm: its global_pool
    pool: str | None = None
    drop_path: float | None = None  # vit, timm: rate of stochastic depth in the last block

    def validate(self) -> None:
        one_of("encoder.library", self.library, [None, "timm"])
        if self.library is None:
            one_of("encoder.name", self.name, [*RESNETS, "pixels", *VITS])
        if self.name != "resnet_small" or self.library:
            unset("encoder.widths", self.widths or None, "only encoder=resnet_small has it")
        elif not self.widths or min(self.widths) < 1:
            raise ValueError(f"encoder.widths={self.widths}: one width above 0 for every block")
        reads = OF_TIMM if self.library else OF_VIT if self.name in VITS else ()
        for key in OF_VIT:
            if key not in reads:
                unset(f"encoder.{key}", getattr(self, key), f"{self.title} does not have it")
        for key in ("patch_size", "width", "depth", "heads"):
            at_least(f"encoder.{key}", getattr(self, key), 1)
        within("encoder.drop_path", self.drop_path, 0.0, 0.9)
        if self.name in VITS and not self.library:
            self._validate_vit()

    def _validate_vit(self) -> None:
        for key in OF_VIT:
            if getattr(self, key) is None:
                raise ValueError(f"encoder.{key} is missing: {self.title} needs it")
        one_of("encoder.pool", self.pool, ["cls", "mean"])
        width, heads = self.width or 0, self.heads or 1
        if width % heads:
            raise ValueError(f"encoder.width={width}: must be a multiple of encoder.heads={heads}")
        if width % 4:
            raise ValueError(f"encoder.width={width}: must be a multiple of 4, for the positions")

    @property
    def title(self) -> str:
        """The encoder in messages."""
        return f"encoder={self.library or self.name}"

    def options(self) -> dict[str, Any]:
        """Returns the options of a vision transformer, those that are set."""
        given = {key: getattr(self, key) for key in OF_VIT}
        return {key: value for key, value in given.items() if value is not None}

    def counted(self) -> dict[str, Any]:
        """Returns the settings that identify a run. Runs that are older than a key keep their
        identity."""
        kept = ("name", "widths")
        return {x: y for x, y in asdict(self).items() if x in kept or y is not None}
