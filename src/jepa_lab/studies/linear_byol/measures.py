"""The measurements of a LinearBYOL population at a logged step, compared with the closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from jepa_lab.metrics.linear_theory import (
    Covariances,
    balance,
    covariance_rank,
    covariances,
    encoder_errors,
    exact_encoder,
    inverse_covariance,
    irreducible_loss,
    population_loss,
    predictor_errors,
    readout_r2,
    stability_bound,
    wiener,
)
from jepa_lab.studies.linear_byol.data import Group
from jepa_lab.studies.linear_byol.gradients import apply
from jepa_lab.studies.linear_byol.module import LinearBYOL

RIDGE = 1e-8  # relative to the mean variance of z_o, in regressions on a sample


def measure(module: LinearBYOL) -> dict[str, Tensor]:
    """Returns {column: (R,)}, and the singular values sv_pred and sv_optimal (R, d), on the CPU in
    float64. Values of diverged runs are NaN.

    Linear maps are measured by their exact moments, an MLP on the evaluation set of its seed.
    """
    found = module.each_group(lambda group: _of_group(module, group))
    out: dict[str, Tensor] = {}
    for runs, values in found:
        for name, value in values.items():
            nothing = torch.full(
                (len(module.members), *value.shape[1:]), torch.nan, dtype=torch.float64
            )
            out.setdefault(name, nothing)[runs] = value.double().cpu()
    return out


@torch.no_grad()
def _of_group(module: LinearBYOL, group: Group) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the indices and columns of the group's runs that have not diverged and whose weights
    are small enough to be measured."""
    runs = torch.arange(group.runs.start, group.runs.stop, device=module.step.device)
    runs = runs[module.active[runs] & module.bounded(runs)]
    return runs.cpu(), (_linear if module.linear else _sampled)(module, group, runs)


def _linear(module: LinearBYOL, group: Group, runs: Tensor) -> dict[str, Tensor]:
    """Returns the columns of linear runs from their exact moments."""
    (B_o,), (B_t,) = ([w.data[runs] for w in module.weights(part)] for part in ("enc", "target"))
    A, spectrum, sigma = group.data.A.to(B_o), group.data.spectrum.to(B_o), group.data.sigma
    c = covariances(A, B_o, B_t, spectrum, sigma)
    inverse = inverse_covariance(c.oo)
    weights, mean_share = readout_r2(A, B_o, spectrum, sigma, inverse)
    values = {
        **encoder_errors(A, B_o, exact_encoder(A)),
        "readout_r2": weights,
        "readout_r2_mean": mean_share,
        "tracking_gap": (B_o - B_t).flatten(1).norm(dim=1),
    }
    predictor = module.weights("pred")
    P = (
        predictor[0].data[runs]
        if predictor
        else torch.eye(B_o.shape[1]).to(B_o).expand(len(B_o), -1, -1)
    )
    values |= _of_moments(c, P, wiener(c, inverse), bool(predictor))
    begun = getattr(module, "balance_start", None)
    if begun is not None:
        begun = begun[runs]
        moved = balance(P, B_o, module.lr_pred[runs], module.lr_enc[runs]) - begun
        values["balance_drift"] = moved.flatten(1).norm(dim=1) / begun.flatten(1).norm(dim=1)
    return values | _rates(module, runs, values["Hmax"])


def _of_moments(c: Covariances, P: Tensor, P_star: Tensor, predictor: bool) -> dict[str, Tensor]:
    """Returns losses, ranks, curvature and the distance of the predictor P to P*, from the second
    moments of both branches. `predictor` is false if the model has none."""
    loss, least = population_loss(c, P), irreducible_loss(c, P_star)
    values_of = torch.linalg.svdvals(P), torch.linalg.svdvals(P_star)
    eigenvalues = torch.linalg.eigvalsh(c.oo)
    values = {
        "Hmax": eigenvalues[:, -1],
        "erank_encoded": covariance_rank(c.oo, eigenvalues=eigenvalues),
        "erank_pred": covariance_rank(P @ c.oo @ P.mT),
        "variance": c.oo.diagonal(dim1=1, dim2=2).sum(1),
        "loss_population": loss,
        "loss_star": least,
        "excess_loss": loss - least,
        "loss_share": loss / (c.tt.diagonal(dim1=1, dim2=2).mean(1)).clamp_min(1e-300),
    }
    if predictor:
        values |= predictor_errors(P, P_star, values_of)
        values |= {"sv_pred": values_of[0], "sv_optimal": values_of[1]}
    return values


def _sampled(module: LinearBYOL, group: Group, runs: Tensor) -> dict[str, Tensor]:
    """Returns the columns of runs with an MLP, measured on the evaluation set.

    A ridge regression of z_t on z_o replaces P*. The read-out of the latents is the best linear
    one. Columns of a linear part are exact.
    """
    enc, pred, target = (
        [w.data[runs] for w in module.weights(part)] for part in ("enc", "pred", "target")
    )
    latents, x, x_plus = (v.to(enc[0]) for v in group.data.evaluation(module.shared.eval_size))
    z_o, z_t = apply(enc, x), apply(target, x_plus)
    p = apply(pred, z_o)
    n = len(x)
    c = Covariances(z_o.mT @ z_o / n, z_t.mT @ z_o / n, z_t.mT @ z_t / n)
    variance = c.oo.diagonal(dim1=1, dim2=2).mean(1)
    ridge = c.oo + torch.diag_embed((RIDGE * variance + 1e-300)[:, None].expand(-1, c.oo.shape[-1]))
    P_hat = torch.linalg.solve(ridge, c.to.mT).mT
    values = _of_moments(c, pred[0] if len(pred) == 1 else P_hat, P_hat, len(pred) == 1)
    loss = (p - z_t).square().mean((1, 2))
    centred_z, centred_p = z_o - z_o.mean(1, keepdim=True), p - p.mean(1, keepdim=True)
    values |= {
        "loss_population": loss,
        "excess_loss": loss - values["loss_star"],
        "loss_share": loss
        / (z_t - z_t.mean(1, keepdim=True)).square().mean((1, 2)).clamp_min(1e-300),
        "erank_encoded": covariance_rank(centred_z.mT @ centred_z / n),
        "erank_pred": covariance_rank(centred_p.mT @ centred_p / n),
        "variance": centred_z.square().sum((1, 2)) / n,
        "tracking_gap": torch.stack(
            [(a - b).flatten(1).norm(dim=1) for a, b in zip(enc, target, strict=True)]
        ).norm(dim=0),
    }
    values["readout_r2"], values["readout_r2_mean"] = _sample_readout(latents, centred_z)
    if len(enc) == 1:
        values |= encoder_errors(group.data.A.to(x), enc[0])
    return values | _rates(module, runs, values["Hmax"])


def _sample_readout(latents: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Returns two R² of the latents (n, d) regressed on centred codes (R, n, d): for the total
    variance, and as the mean of one R² per latent. Both have shape (R,)."""
    y = latents - latents.mean(0)
    moment = z.mT @ z
    ridge = RIDGE * moment.diagonal(dim1=1, dim2=2).mean(1) + 1e-300
    weights = torch.linalg.solve(
        moment + torch.diag_embed(ridge[:, None].expand(-1, z.shape[-1])), z.mT @ y
    )
    residual, total = (y - z @ weights).square().sum(1), y.square().sum(0)
    return 1 - residual.sum(1) / total.sum(), (1 - residual / total).mean(1)


def _rates(module: LinearBYOL, runs: Tensor, h_max: Tensor) -> dict[str, Tensor]:
    """Returns the rates in use, the largest stable rate, and the effective step times H
    over tau."""
    d = module.shared.d_latent
    rates = {name: getattr(module, name)[runs] for name in ("lr_pred", "lr_enc", "mom_pred", "tau")}
    h = h_max.clamp_min(1e-300)
    step = rates["lr_pred"] * (2 / d) / (1 - rates["mom_pred"])
    return {
        "lr_pred": rates["lr_pred"],
        "lr_enc": rates["lr_enc"],
        "alpha_bound": torch.as_tensor(stability_bound(h, rates["mom_pred"], d)),
        "alpha_H_over_tau": step * h_max / rates["tau"],
    }
