"""Writes the tables and the figure of docs/results/linear_byol.md from finished runs. Trains
nothing.

    python studies_docs/linear_byol.py --runs-dir runs [--out docs/results/linear_byol.md]
                                       [--figure docs/images/...png]

Reads the Parquet files and last checkpoints of linear_byol_sweep and linear_byol_learn under
--runs-dir (the document lists the commands that train them). Writes the tables between the marks
`<!-- NAME -->` and `<!-- end -->` of the document. The document's verdicts are claims (python -m
jepa_lab.claims). Only cells with 8 seeds count. Means of rates and errors are geometric, ± are 95 %
t intervals over seeds.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from documents import filled
from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.studies.linear_byol.statistics import geometric
from linear_byol_cells import (
    AUTO_METRICS,
    METRICS,
    auto_cells,
    best_rates,
    fixed_best,
    fixed_cells,
    held_rates,
    over_taus,
    ratios,
    same_rates,
    slopes,
)
from linear_byol_faults import faults_table
from linear_byol_figure import draw
from linear_byol_runs import (
    LEARN,
    PLAIN,
    SWEEP,
    Run,
    cells,
    effective,
    factor,
    interval,
    read,
    select,
    short,
    table,
)

# variance of z at the optimum, summed over its coordinates: 500.5 of the latents and d sigma^2
VARIANCE = 503.0
H_START = 100.25  # largest eigenvalue of C_oo at the optimum, where all these runs begin


def predictor_table(runs: list[Run], batches: tuple[int, ...] = (32, 64)) -> str:
    """Returns the best alpha for every tau, batch size and metric, with the slope."""
    rows = []
    for batch in batches:
        by_tau = same_rates(runs, batch)
        for metric in METRICS:
            for tau, rates in by_tau.items():
                best, ends = best_rates(rates, metric)
                middle = geometric(best.values())
                ratio, ratio_eff = short(middle / tau), short(effective(middle) / tau)
                ended = f"{ends} of {len(best)}"
                rows.append(
                    [str(batch), metric, short(tau), factor(best.values()), ratio, ratio_eff, ended]
                )
            rows.append(
                [
                    str(batch),
                    metric,
                    "**slope**",
                    f"**{interval(slopes(by_tau, metric), '.2f')}**",
                    "",
                    "",
                    "",
                ]
            )
    return table(["batch", "lowest", "τ", "best α", "α / τ", "α_eff / τ", "at an end"], rows)


def held_table(runs: list[Run]) -> str:
    """Returns the best alpha by excess loss for each beta and tau, with the slope."""
    rows = []
    for beta, by_tau in held_rates(runs).items():
        best = [factor(best_rates(rates, "excess_loss")[0].values()) for rates in by_tau.values()]
        rows.append([short(beta), *best, interval(slopes(by_tau, "excess_loss"), ".2f")])
    taus = next(iter(held_rates(runs).values()))
    return table(["β", *(f"τ {short(tau)}" for tau in taus), "slope"], rows)


def encoder_table(runs: list[Run]) -> str:
    """Returns BA_err_aligned and enc_proj_dist over beta and tau, at alpha = 1e-3."""
    found = cells(
        select(runs, SWEEP, lr_enc_mode="logspace", lr_pred=1e-3, batch_size=64), "lr_enc", "tau"
    )
    found = {cell: seeds for cell, seeds in found.items() if cell[0] > 0}
    taus, betas = sorted({tau for _, tau in found}), sorted({beta for beta, _ in found})
    rows = []
    for metric in ("BA_err_aligned", "enc_proj_dist"):
        for beta in betas:
            values = [
                factor((run.last(metric) for run in found[beta, tau].values()), ".2g")
                for tau in taus
            ]
            rows.append([metric, short(beta), *values])
    return table(["", "β", *(f"τ {short(tau)}" for tau in taus)], rows)


def learn_table(runs: list[Run]) -> str:
    """Returns metrics of runs from random weights over beta and tau, at alpha = .01."""
    rows = []
    mine = [
        run
        for mode in ("logspace", "same")
        for run in select(runs, LEARN, lr_pred=1e-2, lr_enc_mode=mode)
    ]
    for (beta, tau), seeds in cells(mine, "lr_enc", "tau").items():
        values = [
            interval([r.last(m) for r in seeds.values()], form)
            for m, form in (
                ("readout_r2_mean", ".3f"),
                ("enc_proj_dist", ".2f"),
                ("BA_err_aligned", ".2f"),
            )
        ]
        rows.append(
            [short(beta), short(tau), *values, factor(r.last("W_Fro_raw") for r in seeds.values())]
        )
    return table(
        [
            "β",
            "τ",
            "read-out R², mean over latents",
            "enc_proj_dist",
            "BA_err_aligned",
            "W_Fro_raw",
        ],
        rows,
    )


def space_table(runs: list[Run]) -> str:
    """Returns the table of claim (e): the part of A^+ that is found, over rates (alpha = beta) and
    steps."""
    rows = []
    mine = [
        run
        for epochs in (20000, 100000)
        for run in select(runs, LEARN, epochs=epochs, lr_enc_mode="same")
    ]
    for (alpha, tau, epochs), seeds in cells(mine, "lr_pred", "tau", "epochs").items():
        alive = [run for run in seeds.values() if not run.diverged]
        gone = f"{len(seeds) - len(alive)} of {len(seeds)}"
        if 2 * len(alive) < len(seeds):
            rows.append([short(alpha), short(tau), f"{epochs:,}", gone, "", "", "", "", ""])
            continue
        values = [
            interval([run.last(m) for run in alive], form)
            for m, form in (
                ("enc_proj_dist", ".2f"),
                ("readout_r2_mean", ".3f"),
                ("BA_err_aligned", ".2f"),
            )
        ]
        scale = interval([run.last("variance") / VARIANCE for run in alive], ".2f")
        at_start = interval([float(run.columns["enc_proj_dist"][0]) for run in alive], ".2f")
        rows.append([short(alpha), short(tau), f"{epochs:,}", gone, at_start, *values, scale])
    head = [
        "α = β",
        "τ",
        "steps",
        "diverged",
        "enc_proj_dist at first",
        "at last",
        "read-out R², mean",
        "BA_err_aligned",
        "variance of z, as a share of the optimum's",
    ]
    return table(head, rows)


def auto_table(runs: list[Run]) -> str:
    """Returns each automatic rule over all taus, with its ratio to the best fixed pair of rates at
    the same tau."""
    fixed, rows = fixed_cells(runs), []
    for (rule, scale, c), by_tau in auto_cells(runs).items():
        taus = [tau for tau in by_tau if tau in fixed]
        row = [rule, scale, f"{c:g}"]
        for metric in AUTO_METRICS:
            best = {tau: fixed_best(fixed[tau], metric) for tau in taus}
            row.append(factor(over_taus([by_tau[tau] for tau in taus], metric).values()))
            row.append(factor(ratios([(by_tau[tau], best[tau]) for tau in taus], metric)))
        rates = [
            r.columns["lr_pred"][-1] for tau in taus for r in by_tau[tau].values() if not r.diverged
        ]
        row.append(f"{short(min(rates))} to {short(max(rates))}" if rates else "")
        rows.append(row)
    heads = [cell for metric in AUTO_METRICS for cell in (metric, "÷ best fixed")]
    return table(["rule", "step", "c", *heads, "α at the end"], rows)


def fixed_table(runs: list[Run]) -> str:
    """Returns the best fixed pair of rates for each metric and tau."""
    rows = []
    for tau, options in fixed_cells(runs).items():
        for metric in AUTO_METRICS:
            if len(options) < 10:
                continue
            seeds = fixed_best(options, metric)
            one = next(iter(seeds.values()))
            rates = [short(one.config["lr_pred"]), short(one.config["lr_enc"])]
            rows.append(
                [
                    short(tau),
                    metric,
                    *rates,
                    *(factor(r.last(m) for r in seeds.values()) for m in AUTO_METRICS),
                ]
            )
    return table(["τ", "lowest", "α", "β", *AUTO_METRICS], rows)


def stability_rows(runs: list[Run]) -> list[list[str]]:
    """Returns the highest stable and the lowest diverging alpha with a fixed encoder, over seeds,
    next to the theory."""
    rows = []
    base = {k: v for k, v in PLAIN.items() if k != "mom_pred"}
    held = select(
        runs, base, name="linear_byol_sweep", lr_enc_mode="logspace", lr_enc=0.0, enc_init="pinv"
    )
    for population, epochs in ((True, 2000), (False, 1000), (False, 2000)):
        mine = [
            r for r in held if r.config["population"] == population and r.config["epochs"] == epochs
        ]
        groups = cells(mine, "mom_pred", "batch_size", "lr_pred")
        for momentum, batch in sorted({key[:2] for key in groups}):
            rates = {key[2]: seeds for key, seeds in groups.items() if key[:2] == (momentum, batch)}
            stable = [
                a for a, seeds in rates.items() if not any(r.diverged for r in seeds.values())
            ]
            gone = [a for a, seeds in rates.items() if all(r.diverged for r in seeds.values())]
            if not stable or not gone:
                continue
            theory = 10 * (1 + momentum) / H_START
            where = "infinite" if population else str(batch)
            edge = math.sqrt(max(stable) * min(gone))
            rows.append(
                [
                    where,
                    f"{momentum:g}",
                    short(max(stable), ".3g"),
                    short(min(gone), ".3g"),
                    f"{theory:.3f}",
                    f"{2 / H_START:.4f}",
                    f"{edge / (2 / H_START):.1f}",
                ]
            )
    return rows


def stability_table(rows: list[list[str]]) -> str:
    """Returns the table of `stability_rows`."""
    head = [
        "batch",
        "μ",
        "all 8 seeds stable up to",
        "all diverge from",
        "d(1+μ)/H",
        "published bound 2/H",
        "measured ÷ published",
    ]
    return table(head, rows)


COLLAPSE = [  # name, settings
    ("EMA target, predictor", {"stop_gradient": True, "pred": "linear", "tau": 0.01}),
    (
        "stop-gradient, no EMA (τ = 1), predictor",
        {"stop_gradient": True, "pred": "linear", "tau": 1.0},
    ),
    ("EMA target, no predictor", {"stop_gradient": True, "pred": "none", "tau": 0.01}),
    ("stop-gradient, no EMA, no predictor", {"stop_gradient": True, "pred": "none", "tau": 1.0}),
    ("no stop-gradient, predictor", {"stop_gradient": False, "pred": "linear", "tau": 1.0}),
    ("no stop-gradient, no predictor", {"stop_gradient": False, "pred": "none", "tau": 1.0}),
]


def collapse_table(runs: list[Run]) -> str:
    """Returns the outcome of training from random weights with exact moments, at alpha = beta =
    .01."""
    rows = []
    for name, settings in COLLAPSE:
        for seeds in cells(
            select(runs, {**LEARN, **settings}, lr_pred=1e-2, lr_enc_mode="same"), "tau"
        ).values():
            alive = [r for r in seeds.values() if not r.diverged]
            share = [float(r.columns["variance"][-1] / r.columns["variance"][0]) for r in alive]
            rows.append(
                [
                    name,
                    f"{len(seeds) - len(alive)} of {len(seeds)}",
                    factor(share) if max(share) > 1e-16 else "below 1e-16",
                    interval([r.last("erank_encoded") for r in alive], ".2f"),
                    interval([r.last("readout_r2_mean") for r in alive], ".3f"),
                    factor(r.last("loss_share") for r in alive),
                ]
            )
    head = [
        "",
        "diverged",
        "variance of z, last ÷ first",
        "effective rank",
        "read-out R², mean",
        "loss ÷ variance",
    ]
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/linear_byol.md"))
    parser.add_argument("--figure", type=Path, default=Path("docs/images/linear_byol.png"))
    args = parser.parse_args()
    runs = read(args.runs_dir)
    blocks = {
        "predictor": predictor_table(runs),
        "held": held_table(runs),
        "encoder": encoder_table(runs),
        "learn": learn_table(runs),
        "auto": auto_table(runs),
        "fixed": fixed_table(runs),
        "stability": stability_table(stability_rows(runs)),
        "row space": space_table(runs),
        "collapse": collapse_table(runs),
        "faults": faults_table(runs, args.runs_dir),
    }
    if args.out.is_file():
        text = args.out.read_text(encoding="utf-8")
        write_atomic(args.out, filled(text, blocks))
    for name, block in blocks.items():
        print(f"\n{name}\n{block}")
    draw(runs, args.figure)


if __name__ == "__main__":
    main()
