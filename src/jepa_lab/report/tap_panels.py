"""The panels of the collapse metrics, with one line for each tap."""

import math
from collections.abc import Iterable, Sequence

from jepa_lab.report.panels import CYCLE, VERMILION, History, Panel, Series, last_value, lines

TAPS = ("z", "z_agg", "z_hat", "z_target")
RANKS = (
    ("effective_rank", "Effective rank (centred)", "dimensions"),
    ("rankme", "RankMe (uncentred)", "dimensions"),
    ("participation_ratio", "Participation ratio", "dimensions"),
    (
        "feature_std_l2",
        "Scale: std of L2-normalised features × √d",
        "1 = spread evenly, 0 = constant",
    ),
)


def within_panel(history: History) -> Panel:
    named = [("val/z_agg/within_share", "z_agg, views of one image / total", VERMILION)]
    return Panel(
        "Variance over views", "share  (0 is invariant)", lines(history, named), limits=(0.0, 1.0)
    )


def tap_panel(history: History, metric: str, title: str, unit: str) -> Panel:
    """Returns a panel of one collapse metric for every tap that logged it, with the levels at
    initialisation."""
    taps = tap_names((key for key, points in history.items() if points), metric)
    series = [
        Series(
            _with_dimension(history, tap),
            history[f"val/{tap}/{metric}"],
            tap_color(tap, taps),
            reference=last_value(history, f"reference/{tap}/{metric}"),
            key=f"val/{tap}/{metric}",
        )
        for tap in taps
    ]
    return Panel(title, unit, series, limits=(0.0, math.inf))


def tap_names(keys: Iterable[str], metric: str) -> list[str]:
    """Returns the taps with `val/<tap>/<metric>` in `keys`: first those of TAPS, then the others
    by name."""
    found = {
        key.split("/")[1]
        for key in keys
        if key.startswith("val/") and key.count("/") == 2 and key.endswith(f"/{metric}")
    }
    return [tap for tap in TAPS if tap in found] + sorted(found.difference(TAPS))


def tap_color(tap: str, taps: Sequence[str]) -> str:
    """Returns the colour of a tap. Those of TAPS have the same colour in every figure."""
    others = [name for name in taps if name not in TAPS]
    return (
        CYCLE[TAPS.index(tap)]
        if tap in TAPS
        else CYCLE[(len(TAPS) + others.index(tap)) % len(CYCLE)]
    )


def _with_dimension(history: History, tap: str) -> str:
    dimension = last_value(history, f"val/{tap}/d")
    return tap if dimension is None else f"{tap} ({dimension:.0f})"
