"""Files of toy runs in the toy's format, with numbers from a recursion of its eigenmodes. They are
fixtures, not results."""

from __future__ import annotations

import json
import math
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LAMBDA = np.linspace(0.1, 100, 10) + 0.25
OPTIMUM = np.sort((LAMBDA - 0.25) / LAMBDA)[::-1]
SETTINGS: dict[str, Any] = {
    "lr_pred_setting": 1e-3,
    "lr_enc_setting": None,
    "ema_m": 0.999,
    "seed": 42,
    "batch_size": 32,
    "epochs": 2000,
    "log_every": 100,
    "d_latent": 10,
    "d_obs": 100,
    "sigma_n": 0.5,
    "mom_pred": 0.9,
    "mom_enc": 0.9,
    "pred_update_every": 1,
    "enc_update_every": 1,
    "enc": "linear",
    "pred": "linear",
    "enc_init": "pinv",
    "spectrum": {"kind": "linear", "low": 0.1, "high": 100.0},
    "lr_enc_mode": "same",
    "auto_alpha_c": 0.0,
    "auto_beta_c": 0.0,
    "enc_over_pred": 1.0,
    "beta_from_tau_c": 0.4,
    "auto_rule": "two_over_h",
    "step_scale": "plain",
    "population": False,
    "stop_gradient": True,
    "symmetric": False,
}
FLOATS = [
    "loss",
    "Hmax",
    "wall_s",
    "W_rel_sv_err",
    "W_Fro_raw",
    "W_Fro_aligned",
    "W_cos_left_min",
    "W_cos_right_min",
    "enc_cos_min",
    "enc_cos_mean",
    "enc_proj_dist",
    "BA_err_raw",
    "BA_err_aligned",
    "enc_procrustes_fro",
    "erank_encoded",
    "erank_pred",
    "log10_W_Fro_raw",
    "log10_W_Fro_aligned",
    "log10_BA_err_aligned",
    "loss_population",
    "loss_star",
    "excess_loss",
    "loss_share",
    "tracking_gap",
    "readout_r2",
    "variance",
    "balance_drift",
    "alpha_bound",
    "alpha_H_over_tau",
]


def write_run(
    runs_dir: Path,
    *,
    columns: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    until: int | None = None,
    diverges_at: int | None = None,
    state: str = "completed",
    **changes: Any,
) -> Path:
    """Writes a run with SETTINGS changed by `changes`.

    `columns` replace computed columns, with one value for each row. `until` is the step at which
    the run was stopped. `diverges_at` flags the last row as the toy does. An alpha above the bound
    diverges at step 150 without it, unless `columns` are given.
    """
    s = {**SETTINGS, **changes}
    run_id = (
        s.pop("run_id", None) or sha256(json.dumps(s, sort_keys=True).encode()).hexdigest()[:10]
    )
    automatic = s["lr_pred_setting"] is None
    alpha = 2 * s["auto_alpha_c"] / LAMBDA[-1] if automatic else s["lr_pred_setting"]
    if diverges_at is None and columns is None and alpha * LAMBDA[-1] > 10 * (1 + s["mom_pred"]):
        diverges_at = 150
    last = diverges_at or until or s["epochs"]
    steps = [1, *range(s["log_every"], last, s["log_every"]), last]
    table = _numbers(np.array(sorted(set(steps))), s, alpha, automatic)
    table.update(
        {name: np.asarray(values, dtype=np.float64) for name, values in (columns or {}).items()}
    )
    n = len(table["epoch"])
    table["diverged"] = np.arange(n) == (n - 1 if diverges_at else n)
    table["diverged_step"] = np.where(table["diverged"], diverges_at or -1, -1)
    table.update(
        {
            k: np.full(n, s[k])
            for k in ("enc_over_pred", "auto_alpha_c", "auto_beta_c", "beta_from_tau_c")
        }
    )
    table.update(
        {
            k: [s[k]] * n
            for k in ("enc", "pred", "lr_enc_mode", "enc_init", "auto_rule", "step_scale")
        }
    )
    table.update({k: np.full(n, s[k]) for k in ("population", "stop_gradient", "symmetric")})
    table["run_id"] = [run_id] * n
    for name in without:
        del table[name]
    meta = {"run_id": run_id, "state": state, "config": s}
    data = pa.table(
        {
            k: pa.array(list(v) if isinstance(v, np.ndarray) and v.ndim > 1 else v)
            for k, v in table.items()
        }
    )
    path = Path(runs_dir) / "linear_byol" / run_id / "linear_byol.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        data.replace_schema_metadata({b"jepa_lab": json.dumps(meta).encode()}),
        path,
        compression="zstd",
    )
    return path


def _numbers(steps: np.ndarray, s: dict[str, Any], alpha: float, automatic: bool) -> dict[str, Any]:
    n, d, tau = len(steps), s["d_latent"], 1 - s["ema_m"]
    random = np.random.default_rng([s["seed"], s["batch_size"]])
    # the rate of auto mode drifts with the curvature
    live = alpha * (1 + 0.05 * np.log10(steps)) if automatic else np.full(n, alpha)
    beta = _beta(s, live, tau)
    step = alpha * 2 / d / (1 - s["mom_pred"])
    start = 0.3 + 0.5 * random.random(d)
    with np.errstate(over="ignore"):
        left = np.exp(-np.minimum(step, 1.5) * LAMBDA[::-1] * steps[:, None])
    noise = (
        0.3
        * math.sqrt(alpha / s["batch_size"] * 10)
        * np.abs(1 + 0.2 * random.standard_normal((n, d)))
    )
    sv = OPTIMUM + (start - OPTIMUM) * left + noise * 0.3
    raw = np.sqrt(((sv - OPTIMUM) ** 2).sum(1)) * 1.1 + 0.02 * tau / max(step, 1e-9) ** 0.5
    drift = (
        np.sqrt(beta / (beta + 2e-3))
        * (1 - np.exp(-steps / 60))
        * 1.3
        * np.exp(-tau * steps * 2e-3)
        + 1e-3
    )
    drift = drift * (1 + 0.15 * random.standard_normal())
    loss = (
        0.4806
        + 58 * np.exp(-step * 2 * steps)
        + 0.3 * raw**2
        + 0.05 * np.abs(random.standard_normal(n))
    )
    hmax = 100.25 * (1 - 0.02 * drift)
    computed = {
        "W_Fro_raw": raw,
        "W_Fro_aligned": raw * 0.8,
        "BA_err_aligned": drift,
        "BA_err_raw": drift * 1.6,
        "Hmax": hmax,
        "enc_proj_dist": drift * 0.15,
        "enc_procrustes_fro": drift * 1.1,
        "loss": loss,
        "loss_population": loss * 0.97,
        "loss_star": np.full(n, 0.4806),
        "excess_loss": loss * 0.97 - 0.4806,
        "erank_encoded": 7.82 - 0.3 * drift,
        "erank_pred": 7.76 - 0.5 * drift,
        "readout_r2": 1 - 0.05 * drift,
        "tracking_gap": drift * 0.1 / (1 + tau),
        "log10_W_Fro_aligned": np.log10(raw * 0.8),
        "alpha_bound": d * (1 + s["mom_pred"]) / hmax,
    }
    table: dict[str, Any] = {
        "epoch": steps.astype(np.int64),
        "seed": np.full(n, s["seed"]),
        "batch_size": np.full(n, s["batch_size"]),
        "lr_pred": live,
        "lr_enc": beta,
        "mom_pred": np.full(n, s["mom_pred"]),
        "mom_enc": np.full(n, s["mom_enc"]),
        "lr": live,
        "ema_m": np.full(n, s["ema_m"]),
        "tau": np.full(n, tau),
        "sigma_n": np.full(n, s["sigma_n"]),
        "d_latent": np.full(n, d),
        "d_obs": np.full(n, s["d_obs"]),
    }
    table.update({name: computed.get(name, np.full(n, 0.5)) for name in FLOATS})
    return {**table, "sv_pred": sv, "sv_optimal": np.tile(OPTIMUM, (n, 1))}


def _beta(s: dict[str, Any], alpha: np.ndarray, tau: float) -> np.ndarray:
    return np.broadcast_to(
        {
            "same": alpha,
            "ratio": s["enc_over_pred"] * alpha,
            "logspace": s["lr_enc_setting"],
            "from_tau": s["beta_from_tau_c"] * tau,
            "auto": s["auto_beta_c"] * tau / 100.25,
        }[s["lr_enc_mode"]],
        alpha.shape,
    ).astype(np.float64)
