"""Vector quantisation: a hard codebook, Gumbel samples and finite scalar quantisation."""

from __future__ import annotations

from collections.abc import Sequence

from jepa_lab.networks.vq.base import Quantized, Quantizer
from jepa_lab.networks.vq.fsq import FiniteScalarQuantizer
from jepa_lab.networks.vq.gumbel import GumbelQuantizer
from jepa_lab.networks.vq.hard import Codebook, HardQuantizer

__all__ = [
    "Codebook",
    "FiniteScalarQuantizer",
    "GumbelQuantizer",
    "HardQuantizer",
    "Quantized",
    "Quantizer",
    "build_quantizer",
]

KINDS = ("hard", "gumbel", "fsq")


def build_quantizer(
    kind: str,
    dim: int,
    size: int = 128,
    *,
    commitment: float = 0.25,
    ema_decay: float | None = 0.99,
    init: str = "kmeans",
    in_objective: bool = True,
    weight_on: str = "commitment",
    update: str = "step",
    count_padding: bool = False,
    share: bool = True,
    levels: Sequence[int] | None = None,
    gumbel_temperature: tuple[float, float] = (1.0, 0.1),
    gumbel_share: float = 1.0,
    gumbel_scale: float = 1.0,
    usage_weight: float = 0.01,
    seed: int = 0,
) -> Quantizer:
    """Returns the quantizer of `kind` hard, gumbel or fsq. Arguments that a kind does not use are
    ignored.

    - hard: commitment, ema_decay, weight_on, size, init and in_objective.
    - gumbel: gumbel_*, usage_weight, size, init and in_objective.
    - fsq: levels, whose product is its size.
    - all: update, count_padding, share (see Quantizer.for_target) and seed.

    The published behaviour is init "empty" (its counts and its formula), in_objective False,
    weight_on "codebook", update "forward", count_padding True and share False. Raises ValueError
    for an unknown kind or a value out of range.
    """
    common: dict[str, object] = {"update": update, "count_padding": count_padding, "seed": seed}
    quantizer: Quantizer
    if kind == "hard":
        quantizer = HardQuantizer(
            dim,
            size,
            commitment=commitment,
            ema_decay=ema_decay,
            in_objective=in_objective,
            weight_on=weight_on,
            init=init,
            **common,  # type: ignore[arg-type]
        )
    elif kind == "gumbel":
        quantizer = GumbelQuantizer(
            dim,
            size,
            temperature=gumbel_temperature,
            until=gumbel_share,
            scale=gumbel_scale,
            usage_weight=usage_weight,
            in_objective=in_objective,
            init=init,
            **common,
        )
    elif kind == "fsq":
        if levels is None:
            raise ValueError("kind fsq needs levels, for example [8, 6, 5] for 240 codes")
        quantizer = FiniteScalarQuantizer(dim, levels, **common)
    else:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    quantizer.share = share
    return quantizer
