"""The bundle of a report: one zip with what somebody else needs to judge a verdict, and nothing
that they should not see."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from jepa_lab.errors import UserError
from jepa_lab.files.limits import OverLimit
from jepa_lab.files.tables import read_table
from jepa_lab.ledger.atomic import write_atomic
from jepa_lab.ledger.own_files import FILES
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.read import read_if_possible
from jepa_lab.ledger.run_dir import versions, writing_below
from jepa_lab.report.redaction import Redaction, names_here

METRICS = "metrics.parquet"
DESCRIBED = ("config.yaml", "overrides.yaml", "status.json", "summary.json")
DROPPED = {"pid", "host"}  # of status.json
POINTS = 50  # last points of every metric, and last rows of a table of the toy
PACKAGES = (
    *("torch", "torchvision", "pytorch-lightning", "lightning", "hydra-core", "omegaconf"),
    *("numpy", "scipy", "scikit-learn", "pyarrow", "torchmetrics", "wandb"),
    *("joblib", "submitit", "optuna", "lightly", "transformers", "stable-pretraining"),
)
ABOUT = """A report of jepa-lab about one verdict.

verdict.txt, verdict.json  what jepa-lab diagnose said
config.yaml                the configuration (of a run of jepa-lab)
overrides.yaml             the command line of the run
status.json, summary.json  its state, and the last, lowest and highest value of every metric
last_metrics.csv           the last {points} points of every metric
versions.json              of Python, the system and the packages

There are no data, no features, no images and no weights in it. Values of keys that look like
secrets, values that look like secrets, e-mail addresses, home folders, names of users and machines,
and the folders of absolute paths were removed. The patterns cannot know every secret: please look
through the files before you give them away.
"""


def write_bundle(
    out: Path, text: str, content: Mapping[str, Any], run: Path | None, redaction: Redaction
) -> list[str]:
    """Writes the zip `out` and returns the names of its files.

    `text` and `content` are the report. `run` is the folder of the run, or None for a log or for
    features, of which the bundle has the report and the versions only. Raises UserError if `out` is
    no .zip, or cannot be written.
    """
    if out.suffix.lower() != ".zip":
        raise UserError(f"--bundle {out}: the name of a bundle ends in .zip")
    files = {
        "README.txt": ABOUT.format(points=POINTS),
        "verdict.txt": redaction.text(text) + "\n",
        "verdict.json": _json(redaction.data(content)),
        "versions.json": _json(redaction.data(environment())),
    }
    if run is not None:
        files |= dict(_of_run(run, redaction))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inside in files.items():
            archive.writestr(zipfile.ZipInfo(f"{out.stem}/{name}"), inside.encode())
    with writing_below(out.parent):
        write_atomic(out, packed.getvalue())
    return list(files)


def redaction_here() -> Redaction:
    """Returns the redaction for this process: its environment, home folder, user and machine."""
    names = (*names_here(), platform.node())
    return Redaction.of_environment(os.environ, Path.home(), names)


def environment() -> dict[str, Any]:
    """Returns the versions of Python, the system and the packages, from installed metadata."""
    installed = {name: _version(name) for name in PACKAGES}
    return {
        **versions(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": {name: found for name, found in installed.items() if found},
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _of_run(run: Path, redaction: Redaction) -> list[tuple[str, str]]:
    """Returns (name, text) of the files about a run that exist and can be read."""
    files = []
    for name in DESCRIBED:
        content = {k: v for k, v in read_if_possible(run / name).items() if k not in DROPPED}
        if content:
            clean = redaction.data(content)
            whole = (
                yaml.safe_dump(clean, sort_keys=False, allow_unicode=True)
                if name.endswith(".yaml")
                else _json(clean)
            )
            files.append((name, whole))
    rows = last_metrics(run)
    if len(rows) > 1:
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows(rows)
        files.append(("last_metrics.csv", redaction.text(table.getvalue())))
    return files


def last_metrics(run: Path) -> list[list[Any]]:
    """Returns a header and the last points of every metric, or the last rows of a run's own table
    (the toy). A damaged table gives the header alone; the report says so."""
    if (run / METRICS).is_file():
        try:
            history = history_of(run)
        except (UserError, OSError, ValueError, pa.ArrowException):
            history = {}
        points = [
            [key, step, value] for key in sorted(history) for step, value in history[key][-POINTS:]
        ]
        return [["key", "step", "value"], *points]
    for name in FILES:
        if name.endswith(".parquet") and (run / name).is_file():
            try:
                table = read_table(run / name)
            except (OverLimit, OSError, pa.ArrowException):
                continue
            last = table.slice(max(0, table.num_rows - POINTS)).to_pylist()
            return [table.column_names, *([row[c] for c in table.column_names] for row in last)]
    return [[]]


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
