"""The configuration of the model and the codebook of the ARC JEPA."""

from __future__ import annotations

from dataclasses import dataclass, field

from omegaconf import MISSING

from jepa_lab.config.ranges import at_least, one_of, unset, within


@dataclass
class ArcModelConfig:
    name: str = MISSING  # arc_jepa
    width: int = MISSING  # h, the width of token and grid vectors
    depth: int = MISSING  # blocks of the token encoder
    heads: int = MISSING
    dropout: float = 0.0  # of the blocks
    attention: str = "adjacency"  # | full: between all tokens of a grid
    final_norm: bool = True  # false: the scale of the tokens is free, as published
    # how the grids of a context become one vector: | mean | last | learned | gru
    context: str = "attention"
    # false, as published: the aggregation does not know which grid is input, output or query
    roles: bool = True
    predictor: str = "mlp"  # | none, as published
    hidden: int = MISSING  # width of the predictor's hidden layer
    projection: int = MISSING  # dimensions of the space where prediction and target are compared
    projection_form: str = "linear_end"  # | relu_end, as published

    def validate(self) -> None:
        one_of("model.name", self.name, ["arc_jepa"])
        for key in ("width", "depth", "heads", "hidden", "projection"):
            at_least(f"model.{key}", getattr(self, key), 1)
        if self.width % self.heads:
            raise ValueError(f"model.heads={self.heads}: must divide model.width={self.width}")
        within("model.dropout", self.dropout, 0.0, 0.9)
        one_of("model.attention", self.attention, ["adjacency", "full"])
        one_of("model.context", self.context, ["attention", "mean", "last", "learned", "gru"])
        one_of("model.predictor", self.predictor, ["mlp", "none"])
        one_of("model.projection_form", self.projection_form, ["linear_end", "relu_end"])


@dataclass
class RefreshConfig:
    enabled: bool = True
    # optimiser steps between two checks; with vq.update=forward: training forward passes
    interval: int = 20
    threshold: float = 0.1  # share of uniform use; rule=legacy_share: share of all use
    rule: str = "relative"  # | staleness | legacy_share
    stale_after: int | None = None  # staleness: optimiser steps without use
    cap: float = 0.1  # largest share of the codebook revived at once
    cool_down: int = 0  # optimiser steps before the same code may be revived again
    ramp: float = 0.0  # share of the run before the first check

    def validate(self, size: int) -> None:
        one_of("vq.refresh.rule", self.rule, ["relative", "staleness", "legacy_share"])
        at_least("vq.refresh.interval", self.interval, 1)
        at_least("vq.refresh.cool_down", self.cool_down, 0)
        at_least("vq.refresh.threshold", self.threshold, 0.0)
        if self.rule != "staleness" and self.threshold >= 1:
            what = (
                "a share of all use" if self.rule == "legacy_share" else "relative to uniform use"
            )
            raise ValueError(
                f"vq.refresh.threshold={self.threshold:g}: must be below 1; it is {what}, at 1"
                " every code is dead"
            )
        at_least("vq.refresh.cap", self.cap, 0.0, exclusive=True)
        within("vq.refresh.cap", self.cap, 0.0, 1.0)
        within("vq.refresh.ramp", self.ramp, 0.0, 1.0)
        if self.rule == "staleness":
            if self.stale_after is None:
                raise ValueError(
                    "vq.refresh.stale_after is missing: the steps after which an unused code is"
                    " dead"
                )
            at_least("vq.refresh.stale_after", self.stale_after, 1)
        else:
            unset(
                "vq.refresh.stale_after",
                self.stale_after,
                f"vq.refresh.rule={self.rule} does not read it",
            )


@dataclass
class VQConfig:
    enabled: bool = True
    kind: str = "hard"  # | gumbel | fsq
    site: str = "main"  # | side: tokens are quantised beside the path to the prediction
    size: int | None = None  # K, the number of codes
    commitment: float | None = None  # beta, the weight of the term named by weight_on
    ema_decay: float | None = None  # null: the codebook is learned by gradient
    init: str | None = None  # kmeans | data | uniform | empty
    in_objective: bool = True  # false: the loss of the codebook is not minimised, as published
    weight_on: str | None = None  # commitment | codebook: the term that vq.commitment weighs
    # the codebook's average moves once per optimiser step, or at every forward pass
    update: str | None = None  # step | forward
    count_padding: bool = False  # true: empty places count as tokens, as published
    share: bool = True  # false: the target branch has a separate codebook, as published
    levels: list[int] | None = None  # fsq: levels of each dimension
    # gumbel: temperature at the start, and after the share gumbel_share of the run
    gumbel_start: float | None = None
    gumbel_end: float | None = None
    gumbel_share: float | None = None
    # gumbel: factor of the squared distances; null: 1 / model.width; as published: 1
    gumbel_scale: float | None = None
    usage_weight: float | None = None  # gumbel: weight of ln K - H(mean assignment)
    window_tokens: int = 16384  # training tokens over which the codes in use are counted
    refresh: RefreshConfig = field(default_factory=RefreshConfig)

    def validate(self) -> None:
        one_of("vq.kind", self.kind, ["hard", "gumbel", "fsq"])
        one_of("vq.site", self.site, ["main", "side"])
        if not self.enabled:
            return
        hard = ("commitment", "init", "weight_on", "update")
        soft = ("gumbel_start", "gumbel_end", "gumbel_share", "usage_weight")
        reads = {"hard": ("size", *hard), "gumbel": ("size", *soft), "fsq": ("levels",)}[self.kind]
        for key in ("size", *hard, *soft, "levels"):
            if key not in reads:
                unset(f"vq.{key}", getattr(self, key), f"vq.kind={self.kind} does not read it")
            elif getattr(self, key) is None:
                raise ValueError(f"vq.{key} is missing: vq.kind={self.kind} needs it")
        if self.kind != "gumbel":
            unset("vq.gumbel_scale", self.gumbel_scale, f"vq.kind={self.kind} does not read it")
        at_least("vq.gumbel_scale", self.gumbel_scale, 0.0, exclusive=True)
        at_least("vq.window_tokens", self.window_tokens, 1)
        if self.kind != "hard":
            unset("vq.ema_decay", self.ema_decay, f"vq.kind={self.kind} has no average")
        at_least("vq.size", self.size, 2)
        at_least("vq.commitment", self.commitment, 0.0)
        at_least("vq.usage_weight", self.usage_weight, 0.0)
        within("vq.ema_decay", self.ema_decay, 0.0, 1.0)
        within("vq.gumbel_share", self.gumbel_share, 0.0, 1.0)
        for key in ("gumbel_start", "gumbel_end"):
            at_least(f"vq.{key}", getattr(self, key), 0.0, exclusive=True)
        if self.levels is not None and (not self.levels or min(self.levels) < 2):
            raise ValueError(f"vq.levels={self.levels}: needs two levels or more per dimension")
        if self.kind == "hard":
            one_of("vq.init", self.init, ["kmeans", "data", "uniform", "empty"])
            one_of("vq.weight_on", self.weight_on, ["commitment", "codebook"])
            one_of("vq.update", self.update, ["step", "forward"])
        if self.kind != "hard" and self.refresh.enabled:
            raise ValueError(
                f"vq.refresh.enabled=true: codes of vq.kind={self.kind} cannot be revived; give"
                " false"
            )
        if self.refresh.enabled:
            self.refresh.validate(self.size or 2)
