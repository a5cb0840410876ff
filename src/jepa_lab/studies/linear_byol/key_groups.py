"""The groups of the toy's keys that the grid, the tables and the figures use."""

from __future__ import annotations

MODES = ("same", "ratio", "logspace", "from_tau", "auto")

# each axis of the grid -> the key whose single value replaces the axis, or None
AXES: dict[str, str | None] = {
    "seeds": "seed",
    "batch_sizes": "batch_size",
    "tau_logspace": "ema_m",
    "lr_pred_logspace": "lr_pred",
    "lr_enc_logspace": "lr_enc",
    "auto_c_logspace": None,
}
# keys of the command that do not change the result of a run. `hardware` is among them because each
# group of runs is computed by one thread, and `lr` because it only fills in lr_pred.
COMMAND_KEYS = (
    "runs_dir",
    "on_existing",
    "max_wall_s",
    "save_every_s",
    "figures",
    "sweep",
    "hardware",
    "lr",
)
# each lr_enc_mode -> the constant from which it sets the encoder's rate
ENCODER_CONSTANTS = {"ratio": "enc_over_pred", "from_tau": "beta_from_tau_c", "auto": "auto_beta_c"}
# keys that act in one lr_enc_mode only -> this mode; in other modes they do not identify a run
MODE_KEYS = {
    "enc_over_pred": "ratio",
    "beta_from_tau_c": "from_tau",
    "auto_alpha_c": "auto",
    "auto_beta_c": "auto",
    "auto_rule": "auto",
    "step_scale": "auto",
    "auto_refresh_every": "auto",
    "auto_memory": "auto",
}
# settings of a run that are columns of its table, in this order; `tau` and `run_id` are derived
TABLE_SETTINGS = (
    "seed",
    "batch_size",
    "mom_pred",
    "mom_enc",
    "ema_m",
    "tau",
    "sigma_n",
    "d_latent",
    "d_obs",
    "run_id",
    "enc",
    "pred",
    "lr_enc_mode",
    "enc_init",
    "auto_rule",
    "step_scale",
    "auto_alpha_c",
    "auto_beta_c",
    "enc_over_pred",
    "beta_from_tau_c",
    "population",
    "stop_gradient",
    "symmetric",
)
