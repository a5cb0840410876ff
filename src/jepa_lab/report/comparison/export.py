"""Exports a comparison: rows of experiment_comparison_results.json and the weights of all runs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepa_lab.files.text import parse_json, read_text
from jepa_lab.ledger.atomic import remove_leftovers, temporary_beside, write_json
from jepa_lab.ledger.run_dir import is_inside
from jepa_lab.report.comparison.find_runs import EXPORT, aux_of
from jepa_lab.report.comparison.ranking import RankedArm, Ranking, relative
from jepa_lab.report.comparison.ranking_text import missing_seeds

# a file in trained_models: lists the files that this program wrote there and may delete
MANIFEST = "written.json"
CHECKPOINTS = ("best.ckpt", "last.ckpt")


def result_rows(
    rankings: Sequence[Ranking], models: dict[str, str], out: Path
) -> list[dict[str, Any]]:
    """Returns a row for each arm, best first, then a row for each reference, marked as such.

    `models` maps run_dir to the path of its weights below `out`, as export_models returns it."""
    rows = [_row(ranking, one, models, out) for ranking in rankings for one in ranking.arms]
    bounds = [
        {**one.to_dict(g.metric), "group": g.name or None} for g in rankings for one in g.references
    ]
    return rows + bounds


def export_models(rankings: Sequence[Ranking], out: Path) -> tuple[dict[str, str], list[str]]:
    """Writes weights and configuration of every completed run to out/trained_models/<arm>/seed<k>/.

    The files are hard links if the disk supports them. Files that an earlier call wrote for runs
    that no longer exist are deleted. Returns {run_dir: path of the weights, relative to `out`} and
    a line for each completed run without weights. Raises OSError if a file cannot be written.
    """
    top = out / EXPORT
    remove_leftovers(top, deep=True)
    models: dict[str, str] = {}
    notes: list[str] = []
    written: list[str] = []
    for ranking in rankings:
        names = _folder_names([one.name for one in ranking.arms])
        for one in ranking.arms:
            for row in one.arm.completed():
                source = Path(row["run_dir"])
                parts = [_plain(ranking.name), names[one.name], f"seed{row['seed']}"]
                target = top.joinpath(*filter(None, parts))
                weights = next(
                    (n for n in CHECKPOINTS if _is_own_file(source, f"checkpoints/{n}")), None
                )
                if weights is None:
                    notes.append(
                        f"{one.name}, seed {row['seed']}: completed, but has no"
                        f" {' or '.join(CHECKPOINTS)}"
                    )
                for name in ["config.yaml", *([f"checkpoints/{weights}"] if weights else [])]:
                    if _is_own_file(source, name):
                        place = target / Path(name).name
                        _place(source / name, place)
                        written.append(relative(place, top))
                if weights is not None:
                    models[row["run_dir"]] = relative(target / weights, out)
    _take_away(top, set(written))
    if written:
        write_json(top / MANIFEST, written)
    return models, notes


def _row(ranking: Ranking, one: RankedArm, models: dict[str, str], out: Path) -> dict[str, Any]:
    mean, difference = one.paired.mean, one.paired.difference
    first = ranking.runs[one.arm.rows[0]["run_dir"]].config
    around = None if mean.mean is None or mean.half_width is None else mean.half_width
    values = one.arm.values(ranking.metric)
    return {
        "arm": one.name,
        "group": ranking.name or None,
        "rank": one.rank,
        "metric": ranking.metric,
        "direction": ranking.direction,
        "control": ranking.control,
        "is_control": one.paired.is_control,
        "settings": one.arm.settings,
        "seeds": sorted(values),
        "values": {str(seed): values[seed] for seed in sorted(values)},
        "n": mean.n,
        "mean": mean.mean,
        "sd": mean.sd,
        "interval": (
            None
            if around is None or mean.mean is None
            else [mean.mean - around, mean.mean + around]
        ),
        "confidence": one.paired.confidence,
        "difference": None if difference is None else difference.mean,
        "difference_interval": None if one.bootstrap is None else list(one.bootstrap),
        "difference_t_interval": None if difference is None else [difference.low, difference.high],
        "pairs": 0 if difference is None else difference.n,
        "p": None if difference is None else difference.p,
        "p_holm": one.paired.p_holm,
        "p_floor": None if difference is None else difference.p_floor,
        "detectable": None if difference is None else difference.detectable,
        "conclusion": one.conclusion,
        "verdicts": one.verdicts,
        "collapsed": one.paired.collapsed,
        "mostly_collapsed": one.collapsed,
        "completed": one.paired.completed,
        "others": one.paired.others,
        "missing_seeds": missing_seeds(ranking, one),
        "best_run": _best(ranking, one, out),
        "experiment": first.get("name"),
        "aux_loss_type": aux_of(first),
        "training_success": "FAILED" if one.best is None else "SUCCESS",
        "best_checkpoint_jepa": None if one.best is None else models.get(one.best["run_dir"]),
    }


def _best(ranking: Ranking, one: RankedArm, out: Path) -> dict[str, Any] | None:
    if one.best is None:
        return None
    path = relative(one.best["run_dir"], out)
    return {
        "run": one.best["run"],
        "seed": one.best["seed"],
        "value": one.best[ranking.metric],
        "run_dir": path,
    }


def _is_own_file(run: Path, name: str) -> bool:
    """Returns whether a run's folder has the file, and not as a link to a file elsewhere."""
    return (run / name).is_file() and is_inside(run, run / name)


def _place(source: Path, target: Path) -> None:
    """Links `target` to `source`. A resumed run replaces its own file, so a hard link keeps the
    weights that were compared."""
    target.parent.mkdir(parents=True, exist_ok=True)
    tmp = temporary_beside(target)
    try:
        try:
            os.link(source, tmp)
        except OSError:  # another disk, or one without hard links
            shutil.copy2(source, tmp)
        os.replace(tmp, target)
    finally:
        tmp.unlink(missing_ok=True)  # it stays if `target` is a link to the same file


def _take_away(top: Path, written: set[str]) -> None:
    try:
        earlier = parse_json(read_text(top / MANIFEST))
    except (OSError, ValueError):
        return
    for name in earlier if isinstance(earlier, list) else []:
        path = top / str(name)
        if str(name) in written or not path.resolve().is_relative_to(top.resolve()):
            continue
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == top or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def _folder_names(names: Sequence[str]) -> dict[str, str]:
    """Returns {arm: name of its folder}, without duplicates."""
    found: dict[str, str] = {}
    for name in names:
        plain = _plain(name) or "arm"
        taken = {other.lower() for other in found.values()}  # some disks ignore case
        own, i = plain, 2
        while own.lower() in taken:
            own, i = f"{plain}_{i}", i + 1
        found[name] = own
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=+,-]+", "_", name).strip("._")[:100]
