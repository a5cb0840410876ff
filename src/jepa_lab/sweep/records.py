"""What became of every job of a sweep: one small file each, written by the process that ran it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback


class Begin(Callback):
    """Hydra calls it once, in the process that was started, before the jobs of a sweep: forgets the sweep's records of
    an earlier start, and remembers where the new ones will be."""

    sweep_dir: Path | None = None
    control: str = ""
    report: str = ""
    results = Path("comparison_results")

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        Begin.sweep_dir, own = Path(config.hydra.sweep.dir), config.sweep
        if isinstance(own, Mapping):  # else the check of the jobs says what is wrong
            Begin.control, Begin.report = str(own.get("control") or ""), str(own.get("report") or "")
            Begin.results = Path(own.get("results") or Begin.results)
        shutil.rmtree(Begin.sweep_dir / "jobs", ignore_errors=True)
