"""The dataclass behind conf/loss: the form of the prediction loss, and the coding rate beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from jepa_lab.config.ranges import at_least, one_of, unset, within


@dataclass
class LossConfig:
    lambda_rate: float = MISSING  # weight of -R
    alpha: Any = 1.0  # a number, or auto = d / eps^2 of unit rows, eps .5
    rate_target: str = MISSING  # z_agg | z | both
    rate_normalise: str = MISSING  # none | rows | trace
    rate_center: bool = MISSING
    rate_form: str = "logdet"  # logdet | simdino | mcr2
    symmetric: bool = False  # also predict the first view from the last ones
    form: str = "cosine"  # cosine | dino | dino_headless | sharpened
    prototypes: int | None = None  # dino
    head_hidden: int | None = None
    bottleneck: int | None = None
    student_temp: float | None = None  # dino, dino_headless
    teacher_temp_start: float | None = None
    temp_warmup: float | None = None  # share of the steps over which the teacher's temperature changes
    teacher_temp: float | None = None  # dino, dino_headless, sharpened
    center_decay: float | None = None
    supervised: float = 0.0  # weight of a cross-entropy on z_agg: the ceiling, not a self-supervised method
    prediction: float = 1.0  # weight of the prediction loss

    def validate(self) -> None:
        at_least("loss.lambda_rate", self.lambda_rate, 0.0)
        at_least("loss.supervised", self.supervised, 0.0)
        at_least("loss.prediction", self.prediction, 0.0)
        if self.alpha != "auto":
            if isinstance(self.alpha, bool) or not isinstance(self.alpha, (int, float)):
                raise ValueError(f"loss.alpha={self.alpha}: a number above 0, or auto")
            at_least("loss.alpha", self.alpha, 0.0, exclusive=True)
            self.alpha = float(self.alpha)
        one_of("loss.rate_target", self.rate_target, ["z_agg", "z", "both"])
        one_of("loss.rate_normalise", self.rate_normalise, ["none", "rows", "trace"])
        self._validate_form()
        one_of("loss.rate_form", self.rate_form, ["logdet", "simdino", "mcr2"])

    def _validate_form(self) -> None:
        heads, temps = (
            ("prototypes", "head_hidden", "bottleneck"),
            ("student_temp", "teacher_temp_start", "temp_warmup"),
        )
        centre = ("teacher_temp", "center_decay")
        reads = {
            "cosine": (),
            "dino": (*heads, *temps, *centre),
            "dino_headless": (*temps, *centre),
            "sharpened": centre,
        }
        one_of("loss.form", self.form, reads)
        for key in (*heads, *temps, *centre):
            if key not in reads[self.form]:
                unset(f"loss.{key}", getattr(self, key), f"loss.form={self.form} does not have it")
            elif getattr(self, key) is None:
                raise ValueError(f"loss.{key} is missing: loss.form={self.form} needs it")
        for key in heads:
            at_least(f"loss.{key}", getattr(self, key), 2)
        for key in ("student_temp", "teacher_temp_start", "teacher_temp"):
            at_least(f"loss.{key}", getattr(self, key), 0.0, exclusive=True)
        within("loss.temp_warmup", self.temp_warmup, 0.0, 1.0)
        within("loss.center_decay", self.center_decay, 0.0, 1.0)
