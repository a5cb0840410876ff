"""Measures milliseconds for each metric and loss.

    python benchmarks/metrics.py [--n 4096] [--d 512] [--threads 2] [--json PATH]

Values are medians over repeats after one warm-up, on float32 features with a decaying spectrum.
`collapse_metrics` is the monitor's cost for one tap. A single metric of the spectral family costs
its own `Spectrum.of`, and almost nothing beyond it. `floor` is the work that every implementation
of that family needs: one eigvalsh of a (d, d) matrix in float64.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from jepa_lab import metrics
from jepa_lab.losses import coding_rate, cosine_prediction

BATCH = 256  # rows of a training batch, for the losses


def milliseconds(action: Callable[[], object], repeats: int) -> float:
    action()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken)


def forward_and_backward(loss: Callable[[Tensor], Tensor], z: Tensor) -> None:
    z = z.clone().requires_grad_()
    loss(z).backward()


def streamed(z: Tensor) -> metrics.Moments:
    moments = metrics.Moments()
    for rows in z.split(BATCH):
        moments.update(rows)
    return moments


def cases(n: int, d: int) -> dict[str, Callable[[], object]]:
    """Returns the timed functions by name."""
    z = torch.randn(n, d) * torch.arange(1, d + 1).float().rsqrt() + 0.5
    views = torch.randn(n // 4, 1, d) + torch.randn(n // 4, 4, d)
    square = torch.cov(z.double().T)
    batch, other = z[:BATCH], torch.randn(min(n, BATCH), d)
    basis = torch.linalg.qr(torch.randn(d, 8))[0]
    spectrum = metrics.Spectrum.of(z)
    counts = torch.randint(0, 100, (n,))
    moments = streamed(z)
    p, q = torch.randn(BATCH, n).softmax(1), torch.randn(BATCH, n).softmax(1)
    codes = torch.randint(0, n, (2, n))
    return {
        "floor": lambda: torch.linalg.eigvalsh(square),
        "collapse_metrics": lambda: metrics.collapse_metrics(z),
        "Spectrum.of": lambda: metrics.Spectrum.of(z),
        f"Moments, batches of {BATCH}": lambda: streamed(z),
        "spectrum of moments": lambda: moments.spectrum(),
        "rankme of a spectrum": lambda: metrics.rankme(spectrum),
        "participation_ratio of a spectrum": lambda: metrics.participation_ratio(spectrum),
        "nesum (stable_rank) of a spectrum": lambda: metrics.nesum(spectrum),
        "eigenvalue_ratio of a spectrum": lambda: metrics.eigenvalue_ratio(spectrum),
        "condition_number of a spectrum": lambda: metrics.condition_number(spectrum),
        "effective_rank of a spectrum": lambda: metrics.effective_rank(spectrum),
        "spectral_cliff of a spectrum": lambda: metrics.spectral_cliff(spectrum),
        "alpha_req of a spectrum": lambda: metrics.alpha_req(spectrum),
        "dead_share of moments": lambda: metrics.dead_share(moments),
        "top_share of moments": lambda: metrics.top_share(moments),
        "feature_std_min of moments": lambda: metrics.feature_std_min(moments),
        "mean_to_std_ratio of moments": lambda: metrics.mean_to_std_ratio(moments),
        "off_diagonal_correlation of moments": lambda: metrics.off_diagonal_correlation(moments),
        "feature_std": lambda: metrics.feature_std(z),
        "feature_std_l2": lambda: metrics.feature_std_l2(z),
        "mean_pairwise_cosine": lambda: metrics.mean_pairwise_cosine(z),
        "uniformity, all pairs": lambda: metrics.uniformity(z),
        "uniformity, 512 rows": lambda: metrics.uniformity(z[:512]),
        "alignment": lambda: metrics.alignment(z, z + 1),
        "within_share": lambda: metrics.within_share(views),
        "lidar": lambda: metrics.lidar(views),
        "view_metrics": lambda: metrics.view_metrics(views),
        "explained_variance": lambda: metrics.explained_variance(z, 8),
        "subspace_overlap": lambda: metrics.subspace_overlap(basis, basis),
        "perplexity": lambda: metrics.perplexity(counts),
        "usage": lambda: metrics.usage(counts),
        "dead_code_age": lambda: metrics.dead_code_age(counts, 100),
        "code_norms": lambda: metrics.code_norms(z),
        "assignment_churn": lambda: metrics.assignment_churn(*codes),
        "quantisation_error": lambda: metrics.quantisation_error(z, z + 1),
        "drift": lambda: metrics.drift(z, z + 1),
        f"teacher_entropy, batch {BATCH}, K = n": lambda: metrics.teacher_entropy(p),
        f"kl, batch {BATCH}, K = n": lambda: metrics.kl(p, q),
        f"prototype_usage, batch {BATCH}, K = n": lambda: metrics.prototype_usage(p),
        "r2_per_dim": lambda: metrics.r2_per_dim(z, z),
        f"coding_rate, batch {BATCH}": lambda: forward_and_backward(coding_rate, batch),
        f"cosine_prediction, batch {BATCH}": lambda: forward_and_backward(
            lambda x: cosine_prediction(x, other), batch
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=4096)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the values to this file")
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    figures = {
        name: milliseconds(action, args.repeats) for name, action in cases(args.n, args.d).items()
    }
    print(f"n={args.n} d={args.d} threads={args.threads}, median of {args.repeats}, ms")
    for name, value in figures.items():
        print(f"{name:38s} {value:9.2f}")
    if args.json:
        args.json.write_text(
            json.dumps({"n": args.n, "d": args.d, "threads": args.threads, "ms": figures}, indent=2)
        )


if __name__ == "__main__":
    main()
