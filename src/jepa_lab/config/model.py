"""The dataclass behind conf/model: aggregator and predictor of seq-JEPA."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from jepa_lab.config.ranges import at_least, one_of, unset, within


@dataclass
class ModelConfig:
    name: str = MISSING  # seq_jepa
    action_dim: int = MISSING  # width P of the action embedding
    aggregator: str = MISSING  # transformer | crate | mean
    predictor: str = MISSING  # mlp | crate
    depth: int = MISSING  # blocks of the aggregator
    heads: int = MISSING  # of the aggregator
    positions: str = MISSING  # none | learned | sincos
    action_conditioning: bool = True  # false: every action embedding is zero
    action_bn: str = "single_call"  # | two_calls: the public code's two batch statistics a step
    ffn_ratio: int | None = None  # transformer
    dropout: float | None = None  # transformer
    norm_first: bool | None = None  # transformer: pre-norm blocks; the published ones are post-norm
    hidden: int | None = None  # of the mlp; 0 is a linear predictor
    predictor_depth: int | None = None  # crate
    predictor_heads: int | None = None
    eta: float | None = None  # crate, both: step size of ISTA
    sparsity: float | None = None  # crate, both: its threshold

    def validate(self) -> None:
        one_of("model.name", self.name, ["seq_jepa"])
        one_of("model.positions", self.positions, ["none", "learned", "sincos"])
        one_of("model.action_bn", self.action_bn, ["single_call", "two_calls"])
        one_of("model.aggregator", self.aggregator, ["transformer", "crate", "mean"])
        one_of("model.predictor", self.predictor, ["mlp", "crate"])
        for key in ("action_dim", "depth", "heads", "ffn_ratio", "predictor_depth", "predictor_heads"):
            at_least(f"model.{key}", getattr(self, key), 1)
        at_least("model.hidden", self.hidden, 0)
        within("model.dropout", self.dropout, 0.0, 0.9)
        at_least("model.eta", self.eta, 0.0, exclusive=True)
        at_least("model.sparsity", self.sparsity, 0.0)
        readers = {
            "ffn_ratio": self.aggregator == "transformer",
            "dropout": self.aggregator == "transformer",
            "norm_first": self.aggregator == "transformer",
            "hidden": self.predictor == "mlp",
            "predictor_depth": self.predictor == "crate",
            "predictor_heads": self.predictor == "crate",
            "eta": "crate" in (self.aggregator, self.predictor),
            "sparsity": "crate" in (self.aggregator, self.predictor),
        }
        parts = f"model/aggregator={self.aggregator} with model/predictor={self.predictor}"
        for key, is_read in readers.items():
            if not is_read and self.aggregator != "mean":
                unset(f"model.{key}", getattr(self, key), f"{parts} does not have it")
            if is_read and getattr(self, key) is None:
                raise ValueError(f"model.{key} is missing: {parts} needs it")
