"""The data of the page of a comparison, as plain numbers and texts that the page only draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jepa_lab.config.statuses import failed, status_in
from jepa_lab.diagnosis import examine
from jepa_lab.diagnosis.quantities import order_sentence, timeline
from jepa_lab.diagnosis.text import described
from jepa_lab.ledger.parquet import History
from jepa_lab.ledger.sweep_folder import Tuning
from jepa_lab.report.comparison.bounds import reference_lines
from jepa_lab.report.comparison.differences import differences, setting_text
from jepa_lab.report.comparison.metric_choice import BESIDE
from jepa_lab.report.comparison.page_panels import Json, conflict_rows, curve_panels, short, unit
from jepa_lab.report.comparison.ranking import RankedArm, Ranking, relative
from jepa_lab.report.comparison.ranking_text import grid, metric_name, missing_lines, verdict_lines
from jepa_lab.report.comparison.text import HEADLINE
from jepa_lab.report.comparison.tuning import tuning_data


def page_data(
    rankings: Sequence[Ranking],
    histories: Mapping[str, History],
    commands: Mapping[str, str],
    out: Path,
    notes: Sequence[str] = (),
    about: Sequence[str] = (),
    tunings: Sequence[Tuning] = (),
) -> Json:
    """Returns the data of the page.

    `histories` and `commands` have run_dir as key. Links are relative to the folder `out`. `notes`
    are lines of the section on missing runs, `tunings` show how the weights were chosen, and
    `about` has lines on the work before these runs."""
    return {
        "groups": [_group(ranking, histories, commands, out) for ranking in rankings],
        "notes": list(notes),
        "about": list(about),
        "tunings": [tuning_data(tuning) for tuning in tunings],
    }


def _group(
    ranking: Ranking, histories: Mapping[str, History], commands: Mapping[str, str], out: Path
) -> Json:
    ordered = sorted(range(len(ranking.arms)), key=lambda i: ranking.arms[i].name)
    # colours by name, so that they do not depend on the ranking
    place = {ranking.arms[i].name: colour for colour, i in enumerate(ordered)}
    return {
        "name": ranking.name,
        "metric": {
            **unit(ranking.metric),
            "key": ranking.metric,
            "name": metric_name(ranking.metric),
            "direction": ranking.direction,
        },
        "verdict": verdict_lines(ranking),
        "control": ranking.control,
        "arms": [_arm(ranking, one, place[one.name]) for one in ranking.arms],
        "references": reference_lines(ranking),
        "parameters": ranking.parameters,
        "grid": grid(ranking),
        "missing": [*missing_lines(ranking), *ranking.notes],
        "panels": curve_panels(ranking, histories),
        "conflicts": conflict_rows(ranking, histories),
        "settings": _settings(ranking),
        "columns": [
            {**unit(key), **_digits(key), "key": key, "name": _column_name(key, ranking.metric)}
            for key in _beside(ranking)
        ],
        "rank_key": _rank_key(ranking),
        "runs": [
            _run(ranking, one, row, histories, commands, out)
            for one in ranking.arms
            for row in sorted(one.arm.rows, key=_seed)
        ],
    }


def _arm(ranking: Ranking, one: RankedArm, colour: int) -> Json:
    mean, difference = one.paired.mean, one.paired.difference
    values = one.arm.values(ranking.metric)
    return {
        "name": one.name,
        "colour": colour,
        "control": one.paired.is_control,
        "rank": one.rank,
        "n": mean.n,
        "mean": exact(mean.mean),
        "sd": exact(mean.sd),
        "half": exact(mean.half_width),
        "values": [[seed, exact(values[seed])] for seed in sorted(values)],
        "difference": None if difference is None else exact(difference.mean),
        "interval": None if one.bootstrap is None else [exact(x) for x in one.bootstrap],
        "pairs": 0 if difference is None else difference.n,
        "p": None if difference is None else short(difference.p),
        "p_holm": short(one.paired.p_holm),
        "detectable": None if difference is None else short(difference.detectable),
        "conclusion": one.conclusion,
        "collapsed": one.paired.collapsed,
        "mostly_collapsed": one.collapsed,
        "completed": one.paired.completed,
        "others": one.paired.others,
        "verdicts": one.verdicts,
    }


def _digits(key: str) -> Json:
    return {"digits": 1} if "effective_rank" in key else {}


def _settings(ranking: Ranking) -> Json:
    """Returns the settings that differ, except the seed, as one list of values for each arm.

    Values that differ within an arm are joined by " | "."""
    rows = [row for one in ranking.arms for row in one.arm.rows]
    found = differences([ranking.runs[row["run_dir"]].config for row in rows])
    keys = [key for key in found[0] if key != "seed"]
    by_arm: list[list[str]] = []
    start = 0
    for one in ranking.arms:
        own = found[start : start + len(one.arm.rows)]
        start += len(one.arm.rows)
        texts = [list(dict.fromkeys(setting_text(f[key]) for f in own)) for key in keys]
        by_arm.append([text[0] if len(text) == 1 else " | ".join(text) for text in texts])
    return {"keys": keys, "values": by_arm}


def _beside(ranking: Ranking) -> list[str]:
    columns = ranking.comparison.columns
    return columns[columns.index("state") + 1 : columns.index("verdict")]


def _column_name(key: str, metric: str) -> str:
    """Returns the name of a column, without the split if that is the split of the metric."""
    split, _, rest = key.partition("/")
    name = HEADLINE[rest][0] if rest in HEADLINE else rest
    return name if split == metric.partition("/")[0] else f"{name} ({split})"


def _rank_key(ranking: Ranking) -> str | None:
    """Returns the key of the effective rank in the scatter plot: of z_agg, else of z."""
    wanted = [
        key
        for short_key in reversed(BESIDE[:2])
        for key in _beside(ranking)
        if key.endswith(f"/{short_key}")
    ]
    return wanted[0] if wanted else None


def _run(
    ranking: Ranking,
    one: RankedArm,
    row: Mapping[str, Any],
    histories: Mapping[str, History],
    commands: Mapping[str, str],
    out: Path,
) -> Json:
    run = ranking.runs[row["run_dir"]]
    verdict = str(row["verdict"] or "")
    collapsed = failed(status_in(verdict))
    status = (run.summary.get("verdict") or {}).get("reasons") or []
    return {
        "arm": ranking.arms.index(one),
        "seed": row["seed"],
        "run": row["run"],
        "state": row["state"],
        "verdict": verdict,
        "collapsed": collapsed,
        "why": _why(histories.get(row["run_dir"], {}), run.config) if collapsed else [],
        "reason": str(row["reason"] or "; ".join(map(str, status[:2])))[:400],
        "values": [
            exact(row[key]) if row[key] is None or math.isfinite(row[key]) else "NaN"
            for key in _beside(ranking)
        ],
        "wall_s": short(run.summary.get("wall_s")),
        "best": one.best is not None and one.best["run_dir"] == row["run_dir"],
        "folder": relative(row["run_dir"], out),
        "page": relative(run.path / "report.html", out)
        if (run.path / "report.html").is_file()
        else None,
        "command": commands.get(row["run_dir"]),
    }


def _why(history: History, config: Mapping[str, Any]) -> list[str]:
    """Returns what failed first in a run, one line for each failure with its step."""
    events = timeline(examine(history, config=config))
    lines = [f"step {f.began:,}: {described(f)}" for f in events]
    order = order_sentence(events)
    return [*lines, f"in this order: {order}"] if order else lines


def exact(value: Any) -> float | None:
    """Returns enough digits that the page rounds like the summary; None if not finite."""
    return (
        float(f"{value:.9g}") if isinstance(value, int | float) and math.isfinite(value) else None
    )


def _seed(row: Mapping[str, Any]) -> tuple[bool, int]:
    return (row["seed"] is None, row["seed"] or 0)
