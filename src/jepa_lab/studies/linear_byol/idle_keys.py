"""Keys of the toy without effect in a configuration."""

from __future__ import annotations

from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.linear_byol.key_groups import MODE_KEYS


def idle_keys(config: ToyConfig) -> dict[str, str]:
    """Returns {key: reason} of the keys without effect on the runs of the configuration. Axes that
    a single value replaces are left to `grid.idle_axes`."""
    idle = {"hardware.channels_last": "the linear BYOL toy has no images"}
    idle |= _of_rates(config)
    if config.pred == "none":
        idle |= _of_predictor(config)
    idle |= uncounted_keys(config)
    if config.batch_sizes:  # the axis needs one value as a label, whatever it is
        idle.pop("batch_size", None)
    return idle


def uncounted_keys(config: ToyConfig) -> dict[str, str]:
    """Returns {key: reason} of the keys without effect that do not identify a run either."""
    idle = {
        key: f"only lr_enc_mode={mode} reads it"
        for key, mode in MODE_KEYS.items()
        if mode != config.lr_enc_mode
    }
    if config.enc == "linear" and config.pred in ("linear", "none"):
        idle |= dict.fromkeys(("hidden", "eval_size"), "only enc=mlp and pred=mlp read it")
    if config.population:
        idle |= dict.fromkeys(("batch_size", "symmetric"), "population=true: the batch is infinite")
    return idle


def _of_rates(config: ToyConfig) -> dict[str, str]:
    idle = {}
    if config.lr_enc_mode != "logspace":
        idle["lr_enc_logspace"] = "only lr_enc_mode=logspace reads it"
    if config.lr_enc_mode == "auto":
        idle |= dict.fromkeys(("lr", "lr_pred_logspace"), "lr_enc_mode=auto sets both rates")
        if config.auto_c_logspace:
            idle |= dict.fromkeys(("auto_alpha_c", "auto_beta_c"), "auto_c_logspace replaces it")
    elif config.lr_pred is None:
        idle["lr"] = "lr_pred_logspace replaces it"
    elif config.lr_pred != config.lr:
        idle["lr"] = f"lr_pred={config.lr_pred:g} replaces it"
    return idle


def _of_predictor(config: ToyConfig) -> dict[str, str]:
    """Returns the keys that only a predictor reads. In the modes same and ratio its rate
    sets the encoder's."""
    keys = ["mom_pred", "pred_update_every", "auto_alpha_c", "auto_rule"]
    if config.lr_enc_mode in ("logspace", "from_tau"):
        keys += ["lr", "lr_pred"]
    return dict.fromkeys(keys, "pred=none has no predictor")
