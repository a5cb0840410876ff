"""A ranking as text: the conclusions, the order of the arms, and what is missing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from jepa_lab.report.comparison.bounds import reference_lines
from jepa_lab.report.comparison.paired_text import is_accuracy, number_text, paired_text
from jepa_lab.report.comparison.ranking import LEVEL, RankedArm, Ranking
from jepa_lab.report.comparison.text import HEADLINE, REASON_WIDTH
from jepa_lab.report.text_table import aligned

WIDTH = 110
MOST_NAMES = 6


def metric_name(metric: str) -> str:
    """Returns the name of a metric, e.g. `class z_agg on test`, or its key if it has no name."""
    split, _, key = metric.partition("/")
    return f"{HEADLINE[key][0]} on {split}" if key in HEADLINE else metric


def verdict_lines(ranking: Ranking) -> list[str]:
    """Returns the sentences at the top of the page: the conclusions, the best arm, and limits."""
    ranked = [one for one in ranking.arms if one.rank is not None]
    if len(ranked) < 2:
        return [
            _first(ranking, ranked[0]),
            "Only one arm has results: there is nothing to compare it with.",
        ]
    return [_shown(ranking), _first(ranking, ranked[0]), *_limits(ranking), *_warnings(ranking)]


def ranking_lines(ranking: Ranking) -> list[str]:
    """Returns one line for each arm, in the order of the ranking."""
    return [_arm_line(ranking, one) for one in ranking.arms]


def missing_lines(ranking: Ranking) -> list[str]:
    """Returns lines on runs that did not complete, with the reason, and on missing seeds."""
    lines = []
    for one in ranking.arms:
        for row in one.arm.rows:
            if row["state"] == "running":
                lines.append(f"{one.name}, seed {row['seed']}: still running")
            elif row["state"] != "completed":
                full = str(row["reason"] or "no reason was written")
                reason = textwrap.shorten(full, REASON_WIDTH, placeholder=" ...")
                lines.append(f"{one.name}, seed {row['seed']}: {row['state']} ({reason})")
            elif row[ranking.metric] is None:
                lines.append(f"{one.name}, seed {row['seed']}: completed without {ranking.metric}")
        holes = [str(seed) for seed in missing_seeds(ranking, one)]
        if holes:
            lines.append(f"{one.name}: no run of seed {', '.join(holes)}")
    return lines


def missing_seeds(ranking: Ranking, one: RankedArm) -> list[int]:
    """Returns the seeds that another arm has run and this one has not."""
    return [seed for seed in ranking.seeds if seed not in {row["seed"] for row in one.arm.rows}]


def grid(ranking: Ranking) -> list[list[str]]:
    """Returns a table of arms and seeds: a header, then each arm with the state of every seed."""
    rows = [["arm", *(str(seed) for seed in ranking.seeds)]]
    for one in ranking.arms:
        cells = []
        for seed in ranking.seeds:
            states = {str(row["state"]) for row in one.arm.rows if row["seed"] == seed}
            cells.append(
                "completed" if "completed" in states else "/".join(sorted(states)) or "missing"
            )
        rows.append([one.name, *cells])
    return rows


def summary_text(
    rankings: Sequence[Ranking],
    skipped: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
    about: Sequence[str] = (),
) -> str:
    """Returns comparison_summary.txt. `skipped` has (path, reason) of folders that are no run;
    `about` has lines on the work before these runs."""
    blocks: list[list[str]] = []
    for ranking in rankings:
        if ranking.name:
            blocks.append([ranking.name, "=" * len(ranking.name)])
        blocks.append([_wrapped(line) for line in verdict_lines(ranking)])
        blocks.append(
            [
                f"Ranking by {metric_name(ranking.metric)} ({_better(ranking)}), control:"
                f" {ranking.control}"
            ]
        )
        blocks[-1] += [_wrapped(line) for line in ranking_lines(ranking)]
        bounds = [_wrapped(f"  {line}") for line in reference_lines(ranking)]
        blocks.append(["References: bounds, neither ranked nor tested", *bounds] if bounds else [])
        blocks.append([_wrapped(line) for line in ranking.parameters])
        blocks.append(["Arm x seed", *aligned(grid(ranking))])
        missing = [*missing_lines(ranking), *ranking.notes]
        blocks.append(
            ["Missing, failed, left out", *(_wrapped(line) for line in missing)] if missing else []
        )
        if len(ranking.arms) > 1:
            blocks.append(
                ["Statistics", paired_text([one.paired for one in _control_first(ranking)])]
            )
    blocks.append([_wrapped(line) for line in about])
    blocks.append([f"not a run: {path} ({why})" for path, why in skipped] + list(notes))
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _shown(ranking: Ranking) -> str:
    names = {
        one.name: one.name + " (most of its runs collapsed)" * one.collapsed for one in ranking.arms
    }
    better = [names[one.name] for one in ranking.arms if one.conclusion == "better"]
    worse = [names[one.name] for one in ranking.arms if one.conclusion == "worse"]
    same = [names[one.name] for one in ranking.arms if one.conclusion == "no difference shown"]
    parts = []
    if better:
        parts.append(f"shown to be better: {_names(better)}")
    if worse:
        parts.append(f"shown to be worse: {_names(worse)}")
    if same:
        parts.append(f"no difference shown: {_names(same)}")
    without = [one.name for one in ranking.arms if one.rank is None]
    apart = [one.name for one in ranking.arms if one.conclusion == "not comparable"]
    if apart:
        parts.append(f"not comparable (fewer than 2 shared seeds): {_names(apart)}")
    if without:
        parts.append(f"without any result: {_names(without)}")
    return f"Against the control {ranking.control}, {'; '.join(parts)}."


def _names(names: Sequence[str]) -> str:
    """Lists the first MOST_NAMES names. The ranking below has them all."""
    rest = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _first(ranking: Ranking, one: RankedArm) -> str:
    extreme = "highest" if ranking.direction == "max" else "lowest"
    apart = any(other.collapsed and other.rank is not None for other in ranking.arms)
    among = " of the arms that did not collapse" if apart and not one.collapsed else ""
    collapsed = " Most of its runs collapsed." if one.collapsed else ""
    return (
        f"{one.name} has the {extreme} mean {metric_name(ranking.metric)}{among}:"
        f" {_mean(one, ranking.metric)} over {_seeds(one.paired.mean.n)}.{collapsed}"
    )


def _limits(ranking: Ranking) -> list[str]:
    found = [one.paired.difference for one in ranking.arms if one.paired.difference is not None]
    if not found:
        return []
    least = min(1.0, len(found) * min(difference.p_floor for difference in found))
    if least < LEVEL:
        return []
    few = max(difference.n for difference in found)
    return [
        f"With {_seeds(few)} and {len(found)} comparison{'s' * (len(found) > 1)} p cannot go below"
        f" {least:.2g}: no difference, however large, can be shown at {LEVEL}."
        f" {seeds_for(len(found))} seeds can."
    ]


def seeds_for(comparisons: int) -> int:
    """Returns the fewest shared seeds for which a two-sided sign-flip test can fall below LEVEL
    after Holm over so many comparisons.

    The p of n seeds is at least 2/2^n, so 8 seeds are enough for up to 6 comparisons."""
    n = 1
    while comparisons * 2 / 2**n >= LEVEL:
        n += 1
    return n


def _warnings(ranking: Ranking) -> list[str]:
    lines = []
    collapsed = sum(one.paired.collapsed for one in ranking.arms)
    completed = sum(one.paired.completed for one in ranking.arms)
    if collapsed:
        lines.append(
            f"{collapsed} of {completed} completed runs collapsed or did not learn; see their"
            " verdicts."
        )
    left_out = [
        f"{one.name} seed {row['seed']} {row['state']}"
        for one in ranking.arms
        for row in one.arm.rows
        if row["state"] != "completed"
    ]
    if left_out:
        runs = (
            "1 run did not complete and is"
            if len(left_out) == 1
            else f"{len(left_out)} runs did not complete and are"
        )
        lines.append(f"{runs} left out: {_names(left_out)}.")
    holes = [
        f"{one.name} seed{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        for one in ranking.arms
        if (missing := missing_seeds(ranking, one))
    ]
    if holes:
        lines.append(
            "Without a run:"
            f" {'; '.join(holes[:MOST_NAMES])}{' and more' * (len(holes) > MOST_NAMES)}."
        )
    return lines


def _arm_line(ranking: Ranking, one: RankedArm) -> str:
    place = "  -" if one.rank is None else f"{one.rank:>3}"
    if one.rank is None:
        return f"{place}. {one.name}: no completed run has the metric"
    parts = [f"{place}. {one.name}: {_mean(one, ranking.metric)}, {_seeds(one.paired.mean.n)}"]
    if one.paired.is_control:
        parts.append("the control")
    elif (
        one.paired.difference is not None
        and one.bootstrap is not None
        and one.paired.p_holm is not None
    ):
        low, high = (number_text(x, ranking.metric) for x in one.bootstrap)
        parts.append(
            f"{one.conclusion}: {signed(one.paired.difference.mean, ranking.metric)} [{low},"
            f" {high}], {p_text(one.paired.p_holm)} (Holm)"
        )
    else:
        parts.append(one.conclusion)
    if one.paired.collapsed:
        parts.append(f"{one.paired.collapsed} of {one.paired.completed} collapsed")
    return "; ".join(parts)


def signed(value: float, metric: str) -> str:
    """Returns a difference with its sign, e.g. +1.2 or -0.050."""
    text = number_text(value, metric)
    return text if text.startswith("-") or not float(text) else f"+{text}"


def _mean(one: RankedArm, metric: str) -> str:
    mean = one.paired.mean
    if mean.mean is None:
        return "no value"
    half = "" if mean.half_width is None else f" ± {number_text(mean.half_width, metric)}"
    return f"{number_text(mean.mean, metric)}{half}{' %' if is_accuracy(metric) else ''}"


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n != 1)}"


def _better(ranking: Ranking) -> str:
    return "higher is better" if ranking.direction == "max" else "lower is better"


def _control_first(ranking: Ranking) -> list[RankedArm]:
    return sorted(ranking.arms, key=lambda one: not one.paired.is_control)


def _wrapped(line: str) -> str:
    return "\n".join(
        textwrap.wrap(
            line, WIDTH, subsequent_indent="     ", break_on_hyphens=False, break_long_words=False
        )
    )
