"""What a run leaves for its reader: table and verdict on the terminal, figures and page in its folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from jepa_lab.config import ArcConfig, Config
from jepa_lab.data.images import ImageSource
from jepa_lab.data.views import ViewGroup
from jepa_lab.diagnosis import Verdict
from jepa_lab.diagnosis.gates import GateResult, gates_line
from jepa_lab.evaluation.sweeps import Sweeps
from jepa_lab.ledger import RunDir
from jepa_lab.ledger.parquet import History
from jepa_lab.report.early_warning import draw_early_warning, first_violations
from jepa_lab.report.figures import draw_figures
from jepa_lab.report.run_page import write_run_page
from jepa_lab.report.sweep_figures import draw_sweeps
from jepa_lab.report.table import print_table, table_rows


def show_outcome(
    run: RunDir,
    config: Config,
    history: History,
    verdict: Verdict,
    gates: list[GateResult],
    *,
    group: ViewGroup,
    source: ImageSource,
    sweeps: Sweeps | None = None,
) -> None:
    """Draws the figures, writes report.html, prints the table, the verdict and where everything is."""
    views, captions = example_views(group, source, config.seed)
    expected = expected_texts(config.expected, config.recipe.name, config.dataset.name, config.tier.name)
    if sweeps is not None:
        draw_sweeps(sweeps, run.figures)
    present(run, config, history, verdict, gates, expected, views=views, captions=captions)


def present(
    run: RunDir,
    config: Config | ArcConfig,
    history: History,
    verdict: Verdict,
    gates: list[GateResult],
    expected: dict[str, str],
    **pictures: Any,
) -> None:
    """What the outcomes of all studies have: figures of the history (`pictures`: for draw_figures), report.html, the
    table, the verdict and where everything is. Pictures that a study draws itself have to be there."""
    title = f"{config.name}, {config.dataset.name}, seed {config.seed}"
    draw_figures(history, run.figures, title=title, verdict_line=verdict.line(), **pictures)
    draw_early_warning(history, run.figures, title=title, find=lambda h: first_violations(h, asdict(config)))
    rows = table_rows(history, expected=expected)
    page = write_run_page(
        run.path,
        title=title,
        verdict_line=verdict.line(),
        gates_line=gates_line(gates),
        table_rows=rows,
        command=command_line(),
        config_yaml=run.config_path.read_text(encoding="utf-8"),
    )
    print_table(rows)
    print(f"\nverdict: {verdict.line()}\ngates:   {gates_line(gates)}")
    print(f"run:     {run.path}\nfigures: {run.figures}\npage:    {page}", flush=True)


def expected_texts(expected: Mapping[str, Any], *names: str) -> dict[str, str]:
    """{key: text} of what an experiment is known to give, for these options of its groups in turn."""
    known: Any = expected
    for name in names:
        known = known.get(name) or {}
    return {str(key): f"expected {text}" for key, text in known.items()}


def example_views(
    group: ViewGroup, source: ImageSource, seed: int, n: int = 6, split: str = "val"
) -> tuple[np.ndarray, list[list[str]]]:
    """The views of the first n images, (n, V, C, H, W) in [0, 1], and a caption for each."""
    index = torch.arange(min(n, len(source.images)))
    maps = None if source.maps is None else source.maps[index]
    batch = group(source.images[index], None, index, seed=seed, split=split, epoch=0, maps=maps)
    mean, std = (torch.tensor(v).view(1, 1, -1, 1, 1) for v in (source.mean, source.std))
    captions = [["start", *(_caption(group, a) for a in actions)] for actions in batch.actions]
    return (batch.views * std + mean).clamp(0, 1).numpy(), captions


def command_line() -> str:
    """The line that was typed."""
    return " ".join(["python -m jepa_lab", *sys.argv[1:]]) if sys.argv[1:] else "jepa_lab.run.train(config)"


def _caption(group: ViewGroup, action: torch.Tensor) -> str:
    parts = []
    for name, part in group.action_slices.items():
        values = action[part]
        if name == "rot" and len(values) == 2:
            parts.append(f"{round(float(torch.atan2(values[0], values[1]).rad2deg())):+d}°")
        elif name == "rot":
            parts.append(f"{90 * int(values.argmax()):+d}°")
        elif len(values) == 1:
            parts.append(f"{name} {float(values[0]):+.2f}")
        else:
            numbers = [f"{float(value):+.2f}" for value in values]
            parts += [name, *(" ".join(numbers[i : i + 2]) for i in range(0, len(numbers), 2))]
    return "\n".join(parts)
