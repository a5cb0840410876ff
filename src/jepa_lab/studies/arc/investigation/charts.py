"""Small curves of a step's runs as inline SVG: codes in use and the context's rank over steps.

All steps of an investigation share the scales. The first violation is marked. Colours are defined
in the style of the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jepa_lab.diagnosis.codebook import codebook_series
from jepa_lab.diagnosis.finding import History, Points, finite
from jepa_lab.studies.arc.investigation.series import context_tap

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 320, 96, 34, 18, 16
MOST_POINTS = 200


def charts_of(
    step: Mapping[str, Any], histories: Mapping[Path, History], top_rank: float, steps: int
) -> str:
    """Returns the two panels of a step, '' if its runs logged neither series. `top_rank` and
    `steps` are the ends of the shared scales."""
    paths = [Path(run["path"]) for run in step["runs"]]
    logged = [histories[path] for path in paths if path in histories]
    usage = [codebook_series(history, "usage")[0] for history in logged]
    ranks = [rank_points(history) for history in logged]
    first = step["first"]["step"] if step["first"] else None
    label = step["first"]["flag"] if step["first"] else ""
    panels = [
        _panel(
            "codes in use",
            "usage",
            [[(s, 100 * v) for s, v in p] for p in usage],
            100.0,
            steps,
            first,
            label,
            " %",
        ),
        _panel("rank of the context", "rank", ranks, top_rank, steps, first, label, ""),
    ]
    return "".join(panels)


def rank_points(history: History) -> Points:
    """Returns the effective rank of the context at each validation."""
    return finite(history.get(f"val/{context_tap(history)}/effective_rank", ()))


def shared_scales(histories: Mapping[Path, History]) -> tuple[float, int]:
    """Returns (largest rank, last step) over all runs; 2 and 1 without any points."""
    points = [p for history in histories.values() for p in rank_points(history)]
    usage = [p for history in histories.values() for p in codebook_series(history, "usage")[0]]
    return max((v for _, v in points), default=2.0), max(
        (s for s, _ in (*points, *usage)), default=1
    )


def _panel(
    title: str,
    kind: str,
    series: Sequence[Points],
    top: float,
    steps: int,
    first: int | None,
    label: str,
    unit: str,
) -> str:
    shown = [thinned(points) for points in series if points]
    if not shown:
        return ""
    ends = sorted(points[-1][1] for points in shown)
    last = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (ends[0], ends[-1]))) + unit
    parts = [f'<text class="name" x="{LEFT}" y="12">{escape(title)}: {last} at the end</text>']
    for value in (0.0, top):
        y = _y(value, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 5}" y="{y + 3.5:.1f}"'
            f' text-anchor="end">{value:.3g}</text>'
        )
    parts.append(
        f'<text class="tick" x="{WIDTH}" y="{HEIGHT - 3}" text-anchor="end">step {steps}</text>'
    )
    if first is not None:
        x = _x(first, steps)
        anchor, at = ("end", x - 4) if x > 0.6 * WIDTH else ("start", x + 4)
        parts.append(
            f'<line class="event" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(
            f'<text class="event" x="{at:.1f}" y="{HEIGHT - 3}"'
            f' text-anchor="{anchor}">{escape(label)}</text>'
        )
    for points in shown:
        path = " ".join(f"{_x(step, steps):.1f},{_y(value, top):.1f}" for step, value in points)
        parts.append(f'<polyline class="{kind}" points="{path}"/>')
    description = f"{title} over {steps} steps, {last} at the end"
    return (
        f'<svg role="img" aria-label="{escape(description)}" viewBox="0 0 {WIDTH + 4} {HEIGHT}">'
        f"{''.join(parts)}</svg>"
    )


def thinned(points: Points) -> Points:
    """Returns at most 200 of the points, including the first and the last."""
    if len(points) <= MOST_POINTS:
        return points
    stride = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * stride)] for i in range(MOST_POINTS)]


def _x(step: float, steps: int) -> float:
    return LEFT + (WIDTH - LEFT) * min(step / steps, 1.0)


def _y(value: float, top: float) -> float:
    share = min(max(value / top, 0.0), 1.0) if math.isfinite(value) else 0.0
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
