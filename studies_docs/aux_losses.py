"""Writes the tables and the figure of docs/results/aux_losses.md from finished runs. Trains
nothing.

    python studies_docs/aux_losses.py --runs-dir runs [--out docs/results/aux_losses.md]
                                      [--figure docs/images/...png]

Reads the runs of aux_comparison and arc_aux_comparison under --runs-dir (the document lists the
commands that train them), each dataset separately. Writes the tables between the marks `<!-- NAME
-->` and `<!-- end -->` of the document. Runs that served to choose a weight are only in the table
of weights. A section without runs says so.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from aux_losses_figure import draw
from aux_losses_runs import SECTIONS, Results, read
from documents import arguments, mean, write_tables
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import history_of
from jepa_lab.ledger.sweep_folder import ArmTuning, Candidate, Tuning
from jepa_lab.report.comparison.paired_text import is_accuracy
from jepa_lab.report.comparison.ranking import RankedArm, Ranking
from jepa_lab.report.comparison.ranking_text import missing_lines, verdict_lines

BESIDE = [
    ("class from z_agg", "test/probe/class_from_z_agg", 3),
    ("class from z", "test/probe/class_from_z", 3),
    ("action R²", "test/probe/action_from_z", 3),
    ("relative action R²", "test/probe/relative_action_from_z", 3),
    ("skill", "test/skill", 3),
    ("retrieval", "test/retrieval/top1", 3),
    ("rank of z_agg", "test/z_agg/effective_rank", 1),
    ("rank of z", "test/z/effective_rank", 1),
]


def tables(results: Results) -> dict[str, str]:
    """Returns {mark: content} of a section."""
    name, ranking = results.section.name, results.ranking
    if ranking is None:
        nothing = (
            f"No result yet: {results.why}."
            if results.runs
            else "No run of this comparison is there."
        )
        contents = {
            "runs": nothing,
            **dict.fromkeys(("verdict", "ranking", "beside", "gradients"), ""),
        }
    else:
        contents = {
            "runs": runs_line(results, ranking),
            "verdict": "\n".join(
                f"- {line}" for line in [*verdict_lines(ranking), *missing_lines(ranking)]
            ),
            "ranking": ranking_table(ranking, results.tuning),
            "beside": beside_table(results, ranking),
            "gradients": gradient_table(ranking),
        }
    return {
        f"{name}-{mark}": text
        for mark, text in {**contents, "tuning": tuning_table(results.tuning)}.items()
    }


def runs_line(results: Results, ranking: Ranking) -> str:
    """Returns the number of runs, their budget and their weights as one line."""
    reported = [ranking.runs[row["run_dir"]] for one in ranking.arms for row in one.arm.rows]
    config, walls = (
        reported[0].config,
        [run.summary["wall_s"] for run in reported if run.summary.get("wall_s")],
    )
    data, optim = config["dataset"], config.get("optim") or {}
    seeds = (
        f"{ranking.seeds[0]} to {ranking.seeds[-1]}"
        if len(ranking.seeds) > 1
        else str(ranking.seeds)
    )
    parts = [
        (
            f"{len(reported)} reported runs, seeds {seeds}; {len(results.runs) - len(reported)}"
            " runs chose the weights"
        ),
        (
            f"`tier={(config.get('tier') or {}).get('name')}`,"
            f" `target={(config.get('target') or {}).get('name')}`"
        ),
        (
            f"{data.get('epochs')} epochs, batches of {data.get('batch_size')},"
            f" {data.get('train_size') or 'all'} training images, {optim.get('name')}, learning"
            f" rate {optim.get('lr')}, {optim.get('schedule')}"
        ),
        (
            f"{statistics.median(walls):.0f} s a run (median, on the machine that ran them)"
            if walls
            else ""
        ),
    ]
    return "; ".join(filter(None, parts)) + "."


def ranking_table(ranking: Ranking, tuning: Tuning | None) -> str:
    """Returns a table with a row for each arm: mean ± half-width of a t interval, the paired
    difference to the control, and the conclusion."""
    weights = (
        {arm.arm: f"{arm.chosen.weight:g}" for arm in tuning.arms if arm.chosen} if tuning else {}
    )
    heads = [
        "rank",
        "arm",
        "weight",
        "seeds",
        "mean",
        f"less {ranking.control} [bootstrap 95 %]",
        "p",
        "p Holm",
        "detectable",
        "conclusion",
        "verdicts",
    ]
    rows = []
    for one in ranking.arms:
        d, boot = one.paired.difference, one.bootstrap
        difference = (
            "" if d is None or boot is None else f"{d.mean:+.3f} [{boot[0]:+.3f}, {boot[1]:+.3f}]"
        )
        verdicts = {**one.verdicts, **one.paired.others}
        rows.append(
            [
                "–" if one.rank is None else str(one.rank),
                one.name,
                weights.get(one.name, ""),
                str(one.paired.mean.n),
                mean(list(one.arm.values(ranking.metric).values()), 3),
                difference,
                _p(d.p if d else None),
                _p(one.paired.p_holm),
                f"{d.detectable:.3f}" if d else "",
                one.conclusion,
                ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items())),
            ]
        )
    return markdown(heads, rows)


def beside_table(results: Results, ranking: Ranking) -> str:
    """Returns the other metrics of the same runs, as far as they were measured. The last rows are
    the reference networks."""
    known = {
        key for one in ranking.arms for row in one.arm.rows for key in row if row[key] is not None
    }
    columns = [(title, key, digits) for title, key, digits in BESIDE if key in known]
    rows = [
        [
            one.name,
            *(mean(list(one.arm.values(key).values()), digits) for _, key, digits in columns),
        ]
        for one in ranking.arms
    ]
    for name, runs in results.references.items():
        last = [run.last() for run in runs if run.status.get("state") == "completed"]
        cells = (
            mean([one[key] for one in last if key in one], digits) for _, key, digits in columns
        )
        rows.append([f"{name} (no arm), {len(last)} seed{'s' * (len(last) != 1)}", *cells])
    return markdown(["arm", *(title for title, *_ in columns)], rows)


def tuning_table(tuning: Tuning | None) -> str:
    """Returns a table with a row for each arm: the validation value of every weight, the chosen one
    in bold."""
    if tuning is None:
        return "No weight has been chosen."
    heads = ["arm", "weight: validation", "taken", "at an end of those tried", "best less worst"]
    rows = []
    for arm in tuning.arms:
        means = [c.mean for c in arm.candidates if c.mean is not None]
        spread = f"{max(means) - min(means):.3f}" if len(means) > 1 else ""
        taken = f"{arm.chosen.weight:g}" if arm.chosen else "none"
        end = arm.end
        rows.append(
            [
                arm.arm,
                "; ".join(_tried(arm, c) for c in arm.candidates),
                taken,
                f"the {end}" if end else "",
                spread,
            ]
        )
    return markdown(heads, rows)


def gradient_table(ranking: Ranking) -> str:
    """Returns the gradients that every arm's loss sends to the encoder: medians over the second
    half of training, then averaged over seeds."""
    heads = [
        "arm",
        "prediction",
        "the arm's loss",
        "its share, %",
        "cosine",
        "against the prediction, % of looks",
    ]
    rows = []
    for one in ranking.arms:
        columns: list[list[float]] = [[], [], [], [], []]
        for row in one.arm.completed():
            for column, value in zip(
                columns, _pull(row["run_dir"], _terms(ranking, one)), strict=True
            ):
                column.extend([] if value is None else [value])
        if columns[0]:
            rows.append(
                [
                    one.name,
                    *(mean(values, d) for values, d in zip(columns, (3, 3, 0, 2, 0), strict=True)),
                ]
            )
    return markdown(heads, rows) if rows else "No run has gradient statistics."


def _terms(ranking: Ranking, one: RankedArm) -> list[str]:
    """Returns the names under which the arm's loss may be logged. The coding rate is also logged as
    the seq-JEPA's own rate."""
    aux = ranking.runs[one.arm.rows[0]["run_dir"]].config.get("aux") or {}
    return [*aux, *(["rate"] if "coding_rate" in aux else [])]


def _pull(run_dir: str, terms: Sequence[str]) -> list[float | None]:
    """Returns the gradient norms of prediction and term, the term's share of their sum in percent,
    their cosine, and the percentage of measurements with a negative cosine.

    Each is taken over the second half of training.
    """
    history = history_of(Path(run_dir))
    term = next((name for name in terms if history.get(f"train/gradient/{name}")), "")
    prediction, own, cosine = (
        _late(v for _, v in history.get(key, []))
        for key in (
            "train/gradient/prediction",
            f"train/gradient/{term}",
            f"train/gradient_cosine/{term}",
        )
    )
    main = statistics.median(prediction) if prediction else None
    if main is None or not own:
        return [main, None, None, None, None]
    norm = statistics.median(own)
    against = 100 * sum(c < 0 for c in cosine) / len(cosine) if cosine else None
    return [
        main,
        norm,
        100 * norm / (main + norm),
        statistics.median(cosine) if cosine else None,
        against,
    ]


def _late(values: Iterable[float]) -> list[float]:
    found = list(values)
    return found[len(found) // 2 :]


def _tried(arm: ArmTuning, candidate: Candidate) -> str:
    value = "nothing" if candidate.mean is None else f"{candidate.mean:.3f}"
    bad = (
        f" ({candidate.bad} of {len(candidate.trials)} collapsed or failed)"
        if candidate.bad
        else ""
    )
    text = f"{candidate.weight:g}: {value}{bad}"
    return (
        f"**{text}**" if arm.chosen is not None and candidate.weight == arm.chosen.weight else text
    )


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _p(value: float | None) -> str:
    return "" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"


def main() -> None:
    args = arguments(__doc__ or "")
    try:
        results = [read(args.runs_dir, section) for section in SECTIONS]
    except UserError as error:
        raise SystemExit(str(error)) from None
    write_tables({mark: text for one in results for mark, text in tables(one).items()}, args.out)
    drawn = [one for one in results if one.ranking is not None or one.tuning is not None]
    if args.figure is not None and drawn:
        draw(
            [
                (one.section.title, one.ranking, one.tuning, is_accuracy(one.section.metric))
                for one in drawn
            ],
            args.figure,
        )


if __name__ == "__main__":
    main()
