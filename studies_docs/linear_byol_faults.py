"""The faults of the public analysis: the values that its metrics would have given for the same
weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from jepa_lab.metrics.linear_theory import covariances, wiener
from jepa_lab.studies.linear_byol.data import GaussianViews
from jepa_lab.studies.linear_byol.statistics import geometric
from linear_byol_runs import (
    LEARN,
    SWEEP,
    Run,
    cells,
    factor,
    final_weights,
    interval,
    select,
    table,
)


def published_aligned(P: Tensor, P_star: Tensor) -> float:
    """Returns |R_t'P R_o - P*| with R_t = U*U', R_o = V*V', the transposes as in the
    public code."""
    u, _, vh = torch.linalg.svd(P)
    u_star, _, vh_star = torch.linalg.svd(P_star)
    left, right = u_star @ u.mT, vh_star.mT @ vh
    return float((left.mT @ P @ right - P_star).norm())


def published_rank(covariance: Tensor) -> float:
    """Returns the effective rank as in the public code: every eigenvalue is raised to at least
    1e-12, and 1e-12 is added to the denominator."""
    values = torch.linalg.eigvalsh(covariance).clamp_min(1e-12)
    share = values / (values.sum() + 1e-12)
    return math.exp(-float((share * share.log()).sum()))


def faults_table(runs: list[Run], runs_dir: Path) -> str:
    """Returns a row for each fault: the value of the public analysis, and the right value."""
    rows = []
    auto = select(
        runs,
        SWEEP,
        lr_enc_mode="auto",
        auto_rule="two_over_h",
        step_scale="published",
        auto_alpha_c=0.4,
        batch_size=64,
    )
    averaged = [float(np.nanmean(run.columns["W_Fro_raw"])) for run in auto]
    rows.append(
        [
            "mode auto, last valid row: the mean over the trajectory",
            f"W_Fro_raw {factor(averaged)}",
            f"{factor(run.last('W_Fro_raw') for run in auto)} at the last step",
        ]
    )
    found = cells(select(runs, SWEEP, lr_enc_mode="same", batch_size=64), "lr_pred", "tau")
    mine = [run for seeds in found.values() for run in seeds.values() if not run.diverged]
    weights = final_weights(runs_dir, mine)
    wrong, raw, right = [], [], []
    for run in mine:
        if (held := weights.get(run.config["run_id"])) is not None:
            data = _data(run)
            P_star = wiener(
                covariances(data.A, held["enc_0"], held["target_0"], data.spectrum, data.sigma)
            )
            wrong.append(published_aligned(held["pred_0"].double(), P_star))
            raw.append(run.last("W_Fro_raw"))
            right.append(run.last("W_Fro_aligned"))
    if wrong:
        larger = sum(w > r for w, r in zip(wrong, raw, strict=True))
        mended = sum(a <= r * (1 + 1e-9) for a, r in zip(right, raw, strict=True))
        rows.append(
            [
                (
                    f"W_Fro_aligned of {len(wrong):,} runs: an alignment cannot exceed the raw"
                    " distance"
                ),
                f"larger than raw in {larger:,}; {geometric(wrong):.2g} on average",
                (
                    f"never larger than raw ({mended:,} of {len(raw):,}); {geometric(right):.2g},"
                    f" raw {geometric(raw):.2g}"
                ),
            ]
        )
    gone = select(runs, {**LEARN, "stop_gradient": False, "pred": "none", "tau": 1.0}, lr_pred=1e-2)
    collapsed = final_weights(runs_dir, gone)
    shown = []
    for run in gone:
        if run.config["run_id"] in collapsed:
            data, B = _data(run), collapsed[run.config["run_id"]]["enc_0"]
            shown.append(published_rank(covariances(data.A, B, B, data.spectrum, data.sigma).oo))
    if shown:
        variance = max(run.last("variance") for run in gone)
        rows.append(
            [
                f"effective rank of a total collapse (variance at most {variance:.1e})",
                interval(shown, ".2f"),
                f"{interval([r.last('erank_encoded') for r in gone], '.2f')}: nothing varies",
            ]
        )
    return table(["", "published", "here"], rows)


def _data(run: Run) -> GaussianViews:
    c = run.config
    low, high = c["spectrum_range"]
    return GaussianViews.make(
        c["seed"],
        c["d_latent"],
        c["d_obs"],
        c["sigma_n"],
        c["spectrum"],
        (low, high),
        orthonormal=c["orthonormal"],
    )
