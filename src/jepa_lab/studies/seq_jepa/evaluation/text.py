"""The frozen evaluation as aligned text: a row for every question and readout, a column for every
network."""

from __future__ import annotations

from typing import Any

from jepa_lab.data.labels import listed
from jepa_lab.report.text_table import aligned
from jepa_lab.studies.seq_jepa.evaluation.bootstrap import Estimate
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import Sweeps
from jepa_lab.studies.seq_jepa.evaluation.frozen import Evaluation
from jepa_lab.studies.seq_jepa.evaluation.rollout import Rollout


def evaluation_text(
    found: Evaluation, sweeps: Sweeps, rollout: Rollout | None = None, shortened: str | None = None
) -> str:
    """Returns the measured numbers with their intervals, the factor sweeps, the rollout, the
    protocol and the missing networks. `shortened` is the reason for a shorter or missing
    rollout."""
    rows = list(dict.fromkeys(f.row for f in found.figures))
    table: dict[tuple[str, str, int | None], dict[str, Estimate]] = {}
    for f in found.figures:
        if not f.detail or ", number " not in f.question:
            table.setdefault((f.question, f.readout, f.views), {})[f.row] = f.estimate
    cells = [["", *rows]]
    for (question, readout, views), by_row in table.items():
        name = f"{question}{f', {views} views' if question == 'class from z_agg' else ''}"
        cells.append(
            [
                f"{name}{f', {readout}' if readout else ''}",
                *(_cell(by_row.get(row)) for row in rows),
            ]
        )
    lines = aligned(cells)
    if sweeps.factors:
        lines += ["", f"factor sweeps, {sweeps.anchors} anchors of the test images"]
        lines += [
            f"  {name}: "
            + ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in r.values.items())
            for name, r in sweeps.factors.items()
        ]
        lines += [f"  overlap {f}-{g}: {value:.3f}" for (f, g), value in sweeps.overlap.items()]
    lines += [
        *(_rollout_lines(rollout) if rollout else []),
        *([f"rollout: {shortened}"] if shortened else []),
    ]
    lines += ["", *(f"{key}: {_plain(value)}" for key, value in found.protocol.items())]
    return "\n".join([*lines, *(f"no row {name}: {why}" for name, why in found.missing.items())])


def _rollout_lines(rollout: Rollout) -> list[str]:
    head = (
        f"rollout from {rollout.observed} views, {rollout.images} test images: loss divided by"
        " that of the best constant"
    )
    return ["", f"{head} (0 perfect, 1 no better than a constant)"] + [
        f"  {s.k} ahead: {s.rollout:.3f} [{s.low:.3f}, {s.high:.3f}]; from the true views"
        f" {s.teacher_forced:.3f}, copy of the last observed view {s.copy:.3f}"
        for s in rollout.steps
    ]


def _plain(value: Any) -> Any:
    """Returns an entry of the protocol as text. A list, such as the names of the classes, is
    shortened."""
    return listed(value) if isinstance(value, list) else value


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if estimate.low == estimate.high:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
