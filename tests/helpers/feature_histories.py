"""Histories of the features of any module, as CollapseMonitor keeps them: 12 validations, without a
reference at initialisation."""

from __future__ import annotations

from collections.abc import Sequence

STEPS = [100 * (i + 1) for i in range(12)]
Values = Sequence[float] | float


def history(rank: Values = 30.0, spread: Values = 0.8, **more: Values) -> dict[str, list]:
    """Returns 12 validations of the features of any module, without a reference. Names of `more`
    have __ for /."""
    series = {"val/z/effective_rank": rank, "val/z/feature_std_l2": spread}
    series |= {"val/z/mean_pairwise_cosine": 0.2, "val/z/n": 600.0, "val/z/d": 128.0}
    series |= {f"val/{name.replace('__', '/')}": values for name, values in more.items()}
    return {
        key: list(zip(STEPS, [v] * 12 if isinstance(v, float) else v, strict=True))
        for key, v in series.items()
    }


def line(start: float, end: float, n: int = 12) -> list[float]:
    return [start + (end - start) * i / (n - 1) for i in range(n)]


def then(before: float, after: float, at: int = 6) -> list[float]:
    return [before] * at + [after] * (12 - at)
