"""Reference runs of a comparison: an untrained network and a supervised one.

They bound the results of the arms and are neither ranked nor tested."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jepa_lab.config.sweep import REFERENCES
from jepa_lab.ledger.finished_run import Run, protocol_of
from jepa_lab.report.comparison.paired_text import is_accuracy, number_text
from jepa_lab.report.comparison.ranking import Ranking
from jepa_lab.report.comparison.statistics import MeanInterval, bootstrap_interval, mean_interval

WHOLE = ("trainable", "frozen")  # totals among the numbers of parameters
SHARED = ("encoder", "aggregator", "predictor", "action_projection")  # parts that every arm has


@dataclass(frozen=True)
class Reference:
    """The runs of one reference `experiment`; `name` is its name in reports.

    `values` maps each seed of a completed run to its metric. `difference` is the mean difference to
    the control over shared seeds and `interval` its bootstrap interval, for information. `states`
    counts the runs by state, and `runs` lists the names of their folders."""

    name: str
    experiment: str
    values: dict[int, float]
    mean: MeanInterval
    difference: float | None
    interval: tuple[float, float] | None
    states: dict[str, int]
    runs: list[str]

    def to_dict(self, metric: str) -> dict[str, Any]:
        """Returns a row of experiment_comparison_results.json, with the published columns."""
        return {
            "arm": self.name,
            "reference": True,
            "rank": None,
            "conclusion": "reference",
            "metric": metric,
            "seeds": sorted(self.values),
            "values": {str(seed): self.values[seed] for seed in sorted(self.values)},
            "n": self.mean.n,
            "mean": self.mean.mean,
            "sd": self.mean.sd,
            "difference": self.difference,
            "difference_interval": None if self.interval is None else list(self.interval),
            "states": self.states,
            "runs": self.runs,
            "experiment": self.experiment,
            "aux_loss_type": "none",
            "training_success": "SUCCESS" if self.values else "FAILED",
            "best_checkpoint_jepa": None,
        }


def split_references(runs: Sequence[Run], control: str | None) -> tuple[list[Run], list[Run]]:
    """Splits runs by the name of their experiment into (arms, references).

    A reference that is named as the control is an arm. If all runs are references, all are arms."""
    apart = [
        run
        for run in runs
        if run.config.get("name") in REFERENCES and run.config.get("name") != control
    ]
    rest = [run for run in runs if run not in apart]
    return (rest, apart) if rest else (list(runs), [])


def with_references(ranking: Ranking, runs: Sequence[Run]) -> Ranking:
    """Returns the ranking with the references among `runs` and the numbers of parameters.

    A reference run needs the data, network, budget and probes of one of the arms. The others are
    left out with a note."""
    kinds = {_kind(run) for run in ranking.runs.values()}
    notes, found = list(ranking.notes), []
    for experiment, name in REFERENCES.items():
        own = [run for run in runs if run.config.get("name") == experiment]
        matched = [run for run in own if _kind(run) in kinds]
        if len(matched) < len(own):
            notes.append(
                f"{name}: {_counted(len(own) - len(matched))} of other data, budget or network"
                " left out"
            )
        if matched:
            found.append(_reference(ranking, name, experiment, matched))
    return replace(
        ranking,
        notes=notes,
        references=found,
        parameters=parameter_lines([*ranking.runs.values(), *runs]),
    )


def reference_lines(ranking: Ranking) -> list[str]:
    """Returns a line for each reference of the ranking."""
    return [_line(ranking, one) for one in ranking.references]


def parameter_lines(runs: Iterable[Run]) -> list[str]:
    """Returns lines on the sizes of the networks, equal or not, and on the heads of single arms.

    Returns [] if no run recorded its numbers of parameters."""
    sizes: dict[str, set[int]] = {}
    for run in runs:
        parts = run.summary.get("parameters") or {}
        for key, count in parts.items() if "encoder" in parts else []:
            if key not in WHOLE:
                sizes.setdefault(key, set()).add(count)
    lines = []
    shared = [key for key in SHARED if key in sizes]
    if shared:
        listed = "; ".join(f"{key.replace('_', ' ')} {_size(sizes[key])}" for key in shared)
        equal = all(len(sizes[key]) == 1 for key in shared)
        lines.append(
            f"Parameters {'of every arm and reference' if equal else 'differ between runs'}:"
            f" {listed}."
        )
    own = [
        f"{key.removeprefix('aux.')} {_size(sizes[key])}"
        for key in sorted(sizes)
        if key.startswith("aux.")
    ]
    return [*lines, *([f"Heads of auxiliary losses: {'; '.join(own)}."] if own else [])]


def _reference(ranking: Ranking, name: str, experiment: str, runs: Sequence[Run]) -> Reference:
    values: dict[int, float] = {}
    for run in runs:
        seed, value = run.config.get("seed"), run.last().get(ranking.metric)
        if run.status.get("state") == "completed" and isinstance(seed, int) and value is not None:
            values.setdefault(seed, value)
    control = next(
        (one.arm.values(ranking.metric) for one in ranking.arms if one.paired.is_control), {}
    )
    shared = sorted(values.keys() & control.keys())
    difference = mean_interval([values[seed] - control[seed] for seed in shared]).mean
    states = dict(Counter(str(run.status.get("state")) for run in runs))
    interval = bootstrap_interval(values, control)
    return Reference(
        name,
        experiment,
        values,
        mean_interval(values.values()),
        difference,
        interval,
        states,
        [run.path.name for run in runs],
    )


def _line(ranking: Ranking, one: Reference) -> str:
    metric, mean = ranking.metric, one.mean
    if mean.mean is None:
        return f"{one.name}: no completed run has the metric ({_states(one.states)})"
    half = "" if mean.half_width is None else f" ± {number_text(mean.half_width, metric)}"
    value = f"{number_text(mean.mean, metric)}{half}{' %' if is_accuracy(metric) else ''}"
    line = f"{one.name}: {value}, {mean.n} seed{'s' * (mean.n != 1)}"
    if one.difference is not None and one.interval is not None:
        low, high = (number_text(x, metric) for x in one.interval)
        line += (
            f"; {number_text(one.difference, metric)} [{low}, {high}] to the control"
            f" {ranking.control}"
        )
    left_out = {state: count for state, count in one.states.items() if state != "completed"}
    return line + (f"; {_states(left_out)}" if left_out else "")


def _kind(run: Run) -> str:
    protocol = {key: value for key, value in protocol_of(run.config).items() if key != "seed"}
    return json.dumps([protocol, run.config.get("model")], sort_keys=True, default=str)


def _states(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _counted(n: int) -> str:
    return f"{n} run{'s' * (n != 1)}"


def _size(counts: set[int]) -> str:
    return " or ".join(f"{count:,}" for count in sorted(counts))
