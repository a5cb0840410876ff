"""The configuration of the linear BYOL toy: its keys, which are top-level as in the published code,
their ranges, and the combinations that contradict each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from omegaconf import MISSING

from jepa_lab.config.ranges import at_least, one_of, unset
from jepa_lab.config.run_config import RunConfig
from jepa_lab.studies.linear_byol.key_groups import AXES, ENCODER_CONSTANTS, MODES

# the largest variance or standard deviation: its square, and products with others, stay finite
LARGEST = 1e50
SMALLEST_TAU = 1e-10  # float64 stores 1 - tau with an error of 1e-16
MOST_VALUES = 1000  # the largest number of values of an axis
CHUNK = 64  # training steps whose batches are drawn together; another value changes the data
MAX_BLOCK = 100  # steps; a request to stop takes effect at the end of a block


@dataclass
class ToyConfig(RunConfig):
    """The configuration of one run or of a grid.

    Raises ValueError for keys that are out of range or contradict each other.
    """

    save_every_s: float = MISSING
    figures: bool = MISSING
    # the grid: a single value replaces its axis (see AXES)
    seed: int | None = None
    seeds: list[int] = field(default_factory=list)
    batch_size: int | None = None
    batch_sizes: list[int] = field(default_factory=list)
    lr: float = MISSING  # rate of predictor and encoder, unless another key sets it
    lr_pred: float | None = None
    lr_pred_logspace: list[float] | None = None
    ema_m: float | None = None
    tau_logspace: list[float] | None = None
    lr_enc_mode: str | None = None  # null: logspace if lr_enc is given, else same
    lr_enc: float | None = None
    lr_enc_logspace: list[float] | None = None
    enc_over_pred: float | None = None
    beta_from_tau_c: float | None = None
    auto_alpha_c: float = MISSING
    auto_beta_c: float = MISSING
    auto_c_logspace: list[float] | None = None
    auto_rule: str = MISSING
    step_scale: str = MISSING
    auto_refresh_every: int = MISSING
    auto_memory: int = MISSING
    # one run
    epochs: int = MISSING
    log_every: int = MISSING
    d_latent: int = MISSING
    d_obs: int = MISSING
    sigma_n: float = MISSING
    spectrum: str = MISSING
    spectrum_range: list[float] = field(default_factory=list)
    orthonormal: bool = MISSING
    enc: str = MISSING
    pred: str = MISSING
    hidden: int = MISSING
    enc_init: str | None = None  # null: pinv, or random for enc=mlp
    enc_init_scale: float | None = None
    pred_init: str = MISSING
    mom_pred: float = MISSING
    mom_enc: float = MISSING
    pred_update_every: int = MISSING
    enc_update_every: int = MISSING
    eval_size: int = MISSING
    population: bool = MISSING
    symmetric: bool = MISSING
    stop_gradient: bool = MISSING

    title: ClassVar[str] = "linear BYOL toy"
    single_threaded: ClassVar[bool] = True
    lacks: ClassVar[str] = (
        "the linear BYOL toy has no such group; its keys are top-level (--cfg job)"
    )

    def validate(self) -> None:
        for key, value in (("devices", self.hardware.devices), ("nodes", self.hardware.nodes)):
            if value != 1:
                raise ValueError(
                    f"hardware.{key}={value}: the toy trains all of its runs on one device; give 1"
                )
        if self.hardware.compile:
            raise ValueError("hardware.compile=true: the toy has nothing to compile")
        unset("sweep.report", self.sweep.report, "only sweeps of the seq-JEPA experiments have it")
        super().validate()
        self.enc_init = self.enc_init or ("pinv" if self.enc == "linear" else "random")
        self.lr_enc_mode = self.lr_enc_mode or ("same" if self.lr_enc is None else "logspace")
        at_least("save_every_s", self.save_every_s, 0.0)
        self._validate_run()
        self._validate_axes()
        self._validate_rates()

    def _validate_run(self) -> None:
        for key in (
            "epochs",
            "log_every",
            "d_latent",
            "hidden",
            "pred_update_every",
            "enc_update_every",
        ):
            at_least(key, getattr(self, key), 1)
        at_least("eval_size", self.eval_size, 2)
        at_least("auto_refresh_every", self.auto_refresh_every, 1)
        at_least("auto_memory", self.auto_memory, 1)
        if self.d_latent > self.d_obs:
            raise ValueError(
                f"d_latent={self.d_latent}: more latents than d_obs={self.d_obs} observations"
                " cannot be recovered"
            )
        at_least("sigma_n", self.sigma_n, 0.0)
        if self.sigma_n > LARGEST:
            raise ValueError(
                f"sigma_n={self.sigma_n}: must be at most {LARGEST:g}, or its moments overflow"
            )
        one_of("spectrum", self.spectrum, ["lin", "log"])
        if (
            len(self.spectrum_range) != 2
            or not 0 < self.spectrum_range[0] <= self.spectrum_range[1] <= LARGEST
        ):
            raise ValueError(
                f"spectrum_range={self.spectrum_range}: expected [lowest, highest], above 0 and at"
                f" most {LARGEST:g}"
            )
        one_of("enc", self.enc, ["linear", "mlp"])
        one_of("pred", self.pred, ["linear", "mlp", "none"])
        one_of("enc_init", self.enc_init, ["pinv", "random", "perturbed", "rotated"])
        one_of("pred_init", self.pred_init, ["random", "identity", "zero", "optimal"])
        moves = self.enc_init in ("random", "perturbed")
        if not moves:
            unset(
                "enc_init_scale",
                self.enc_init_scale,
                "only enc_init=random and enc_init=perturbed have it",
            )
        at_least("enc_init_scale", self.enc_init_scale, 0.0)
        if self.enc == "mlp" and self.enc_init != "random":
            raise ValueError(
                f"enc_init={self.enc_init}: enc=mlp has no such start; give enc_init=random"
            )
        if self.enc == "mlp":
            unset(
                "enc_init_scale", self.enc_init_scale, "enc=mlp starts as torch's linear layers do"
            )
        if self.pred != "linear" and self.pred_init != "random":
            raise ValueError(
                f"pred_init={self.pred_init}: only pred=linear has it, and pred={self.pred}"
            )
        if self.pred_init == "optimal" and self.enc != "linear":
            raise ValueError("pred_init=optimal: enc=mlp has no closed form; give pred_init=random")
        for key in ("mom_pred", "mom_enc"):
            if not 0 <= getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)}: must be at least 0 and below 1")
        if self.population and (self.enc, self.pred) not in (
            ("linear", "linear"),
            ("linear", "none"),
        ):
            raise ValueError(
                f"population=true: enc={self.enc} pred={self.pred} have no exact moments; give"
                " enc=linear pred=linear"
            )
        if self.population and self.batch_size is None and len(self.batch_sizes) > 1:
            raise ValueError(
                f"population=true and batch_sizes={self.batch_sizes} contradict: an infinite batch"
                " has no size; give one value as a label for the tables, as in batch_size=64"
            )
        if not self.stop_gradient and self.ema_m != 0:
            raise ValueError(
                f"stop_gradient=false and ema_m={self.ema_m} contradict: the gradient can only"
                " enter a target that is the online encoder itself; give ema_m=0"
            )

    def _validate_axes(self) -> None:
        for key, axis, low in (("seed", "seeds", 0), ("batch_size", "batch_sizes", 1)):
            at_least(key, getattr(self, key), low)
            values = getattr(self, axis)
            if getattr(self, key) is None and not values:
                raise ValueError(f"{key} and {axis} are both empty: give one of them")
            for value in values:
                at_least(axis, value, low)
            if len(set(values)) != len(values):
                raise ValueError(f"{axis}={values}: a value is given twice")
        if self.ema_m is not None and not 0 <= self.ema_m < 1:
            raise ValueError(
                f"ema_m={self.ema_m}: tau = 1 - ema_m = {1 - self.ema_m:.6g} lies outside (0, 1]"
            )
        if self.ema_m is None and self.tau_logspace is None:
            raise ValueError("ema_m and tau_logspace are both empty: give one of them")
        for key in AXES:
            if key.endswith("_logspace"):
                _check_logspace(key, getattr(self, key))
        if self.ema_m is None and self.tau_logspace is not None and max(self.tau_logspace[:2]) > 1:
            raise ValueError(f"tau_logspace={self.tau_logspace}: tau lies outside (0, 1]")
        if (
            self.ema_m is None
            and self.tau_logspace is not None
            and min(self.tau_logspace[:2]) < SMALLEST_TAU
        ):
            raise ValueError(
                f"tau_logspace={self.tau_logspace}: ema_m = 1 - tau cannot hold a tau below"
                f" {SMALLEST_TAU:g}; give a higher end"
            )

    def _validate_rates(self) -> None:
        one_of("lr_enc_mode", self.lr_enc_mode, MODES)
        one_of("auto_rule", self.auto_rule, ["tau_over_h", "two_over_h"])
        one_of("step_scale", self.step_scale, ["published", "effective"])
        mode = self.lr_enc_mode
        for key in ("lr", "lr_pred", "lr_enc", "enc_over_pred", "beta_from_tau_c"):
            at_least(key, getattr(self, key), 0.0)
        for key in ("auto_alpha_c", "auto_beta_c"):
            at_least(key, getattr(self, key), 0.0, exclusive=True)
        if mode == "auto":
            for key in ("lr_pred", "lr_enc"):
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"{key}={getattr(self, key)} and lr_enc_mode=auto contradict: auto sets"
                        " both rates from auto_alpha_c and auto_beta_c; remove one of the two"
                    )
        else:
            unset(
                "auto_c_logspace",
                self.auto_c_logspace,
                f"only lr_enc_mode=auto has it, and lr_enc_mode={mode}",
            )
            if self.lr_pred is None and self.lr_pred_logspace is None:
                self.lr_pred = self.lr
        if mode in ("same", "ratio", "from_tau") and self.lr_enc is not None:
            raise ValueError(
                f"lr_enc={self.lr_enc} and lr_enc_mode={mode} contradict: this mode sets the"
                " encoder's rate itself; give lr_enc_mode=logspace, which takes lr_enc as it is"
            )
        constant = ENCODER_CONSTANTS.get(str(mode))
        if constant is not None and getattr(self, constant) is None:
            raise ValueError(
                f"lr_enc_mode={mode} needs its constant: give {constant}, as in {constant}=0.4"
            )
        if mode == "logspace" and self.lr_enc is None and self.lr_enc_logspace is None:
            raise ValueError(
                "lr_enc_mode=logspace needs lr_enc or lr_enc_logspace=[lowest, highest, number]"
            )


def keys_of_type(kind: str) -> set[str]:
    """Returns the keys whose values have the type `kind`, as in "int", null allowed."""
    return {f.name for f in fields(ToyConfig) if str(f.type) in (kind, f"{kind} | None")}


def _check_logspace(key: str, value: list[Any] | None) -> None:
    """Raises ValueError unless `value` is None or [lowest, highest, number]."""
    if value is None:
        return
    if len(value) != 3 or not all(math.isfinite(v) for v in value):
        raise ValueError(f"{key}={value}: expected [lowest, highest, number]")
    low, high, number = value
    if low <= 0 or high <= 0:
        raise ValueError(f"{key}={value}: both ends of a logarithmic axis must be above 0")
    if number != int(number) or not 1 <= number <= MOST_VALUES:
        raise ValueError(
            f"{key}={value}: the third entry is the number of values, 1 to {MOST_VALUES}"
        )
    if low == high and number > 1:
        raise ValueError(
            f"{key}={value}: {number:g} values from {low:g} to {high:g} are all the same; give"
            " different ends"
        )
