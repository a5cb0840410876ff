"""The grids of the toy as cells of seeds: rates by tau, automatic rules, and the best fixed pair of
rates."""

from __future__ import annotations

from jepa_lab.studies.linear_byol.statistics import geometric, slope
from linear_byol_runs import SWEEP, Run, Seeds, best_rate, cells, select

METRICS = ("excess_loss", "W_Fro_raw", "W_Fro_aligned")
AUTO_METRICS = ("excess_loss", "W_Fro_raw", "BA_err_aligned")
Rates = dict[float, Seeds]  # {alpha: {seed: run}}


def same_rates(runs: list[Run], batch: int) -> dict[float, Rates]:
    """Returns {tau: {alpha: seeds}} of mode same, for taus with at least 5 rates."""
    found: dict[float, Rates] = {}
    for (tau, alpha), seeds in cells(
        select(runs, SWEEP, lr_enc_mode="same", batch_size=batch), "tau", "lr_pred"
    ).items():
        found.setdefault(tau, {})[alpha] = seeds
    return {tau: rates for tau, rates in found.items() if len(rates) >= 5}


def held_rates(runs: list[Run]) -> dict[float, dict[float, Rates]]:
    """Returns {beta: {tau: {alpha: seeds}}} of mode logspace at batch 64."""
    found: dict[float, dict[float, Rates]] = {}
    mine = [
        r
        for r in select(runs, SWEEP, lr_enc_mode="logspace", batch_size=64)
        if r.config["lr_enc"] > 0
    ]
    for (beta, tau, alpha), seeds in cells(mine, "lr_enc", "tau", "lr_pred").items():
        found.setdefault(beta, {}).setdefault(tau, {})[alpha] = seeds
    return found


def best_rates(rates: Rates, metric: str) -> tuple[dict[int, float], int]:
    """Returns {seed: its best alpha}, and the number of seeds whose best alpha is at an end of the
    stable range."""
    seeds = set.intersection(*(set(found) for found in rates.values()))
    found = {
        seed: best_rate({alpha: runs[seed] for alpha, runs in rates.items()}, metric)
        for seed in sorted(seeds)
    }
    return {seed: rate for seed, (rate, _) in found.items()}, sum(end for _, end in found.values())


def slopes(by_tau: dict[float, Rates], metric: str) -> list[float]:
    """Returns the slope of log10 of the best alpha over log10 tau for each seed: 1 if alpha is
    proportional to tau."""
    best = {tau: best_rates(rates, metric)[0] for tau, rates in by_tau.items()}
    seeds = set.intersection(*(set(found) for found in best.values()))
    return [slope({tau: rates[seed] for tau, rates in best.items()}) for seed in sorted(seeds)]


def auto_cells(runs: list[Run]) -> dict[tuple[str, str, float], dict[float, Seeds]]:
    """Returns {(rule, scale, c): {tau: seeds}} at batch 64."""
    found: dict[tuple[str, str, float], dict[float, Seeds]] = {}
    mine = select(runs, SWEEP, lr_enc_mode="auto", batch_size=64)
    for (rule, scale, c, tau), seeds in cells(
        mine, "auto_rule", "step_scale", "auto_alpha_c", "tau"
    ).items():
        found.setdefault((rule, scale, c), {})[tau] = seeds
    return found


def fixed_cells(runs: list[Run]) -> dict[float, dict[tuple[float, float], Seeds]]:
    """Returns {tau: {(alpha, beta): seeds}} of every fixed pair of rates at batch 64."""
    found: dict[float, dict[tuple[float, float], Seeds]] = {}
    for mode in ("same", "logspace"):
        mine = [
            r
            for r in select(runs, SWEEP, lr_enc_mode=mode, batch_size=64)
            if r.config["lr_enc"] > 0
        ]
        for (tau, alpha, beta), seeds in cells(mine, "tau", "lr_pred", "lr_enc").items():
            found.setdefault(tau, {}).setdefault((alpha, beta), seeds)
    return found


def fixed_best(options: dict[tuple[float, float], Seeds], metric: str) -> Seeds:
    """Returns the cell with the lowest geometric mean over seeds."""
    return min(
        options.values(), key=lambda seeds: geometric(run.last(metric) for run in seeds.values())
    )


def ratios(pairs: list[tuple[Seeds, Seeds]], metric: str) -> list[float]:
    """Returns the ratio of the geometric means over taus, first to second of each pair, for each
    seed."""
    auto, best = (over_taus([pair[side] for pair in pairs], metric) for side in (0, 1))
    return [auto[seed] / best[seed] for seed in sorted(auto.keys() & best.keys())]


def over_taus(by_tau: list[Seeds], metric: str) -> dict[int, float]:
    """Returns {seed: geometric mean over taus}."""
    seeds = set.intersection(*(set(cell) for cell in by_tau))
    return {seed: geometric(cell[seed].last(metric) for cell in by_tau) for seed in seeds}
