"""Tables of the ARC JEPA's retrieval beside the untrained network and the plain baselines.

    python studies_docs/arc_retrieval.py [DATASET ...]

prints the plain baselines of data sets (arc_agi1 and arc_synthetic by default), which need no run.
studies_docs/arc.py writes the other tables from finished runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence

import torch

from documents import mean
from jepa_lab.cli.compose import checked
from jepa_lab.errors import UserError
from jepa_lab.metrics.retrieval import candidates
from jepa_lab.studies import find
from jepa_lab.studies.arc.data.examples import make_examples
from jepa_lab.studies.arc.monitor import MOST
from jepa_lab.studies.arc.plain_baselines import plain_ranks
from jepa_lab.studies.arc.retrieval import plain_values

DATASETS = ("arc_agi1", "arc_synthetic")
NETWORK = {  # answers of the network: title, prefix of the metric's name
    "prediction": "",
    "the context without the predictor": "no_predictor_",
    "a copy of the query's input": "copy_",
}
PLAIN = {  # plain baselines: title, name
    "equal cells": "equal_cells",
    "colours": "histogram",
    "colours moved by the demonstrations": "moved_histogram",
    "size that the demonstrations predict": "size",
    "equal cells, moved colours and size combined": "combined",
}
PASSES = {  # columns: title, prefix of the evaluation pass
    "validation, untrained": "reference",
    "validation": "val",
    "test": "test",
}
SHOWN = {"top 1": "top1", "MRR": "mrr"}
MISSING = "-"

Values = Callable[[str], Sequence[float]]  # the last values of a metric, one for each run


def retrieval_table(values: Values) -> str:
    """Returns a table of top 1 and MRR: a row for each answer of the network and for each plain
    baseline, columns for validation before and after training, and for test. The baselines do not
    depend on training. Metrics that no run has are shown as "-"."""
    columns = [(prefix, metric) for prefix in PASSES.values() for metric in SHOWN.values()]
    heads = [f"{of}: {metric}" for of in PASSES for metric in SHOWN]
    lines = [f"| answer | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for title, own in NETWORK.items():
        keys = [f"{prefix}/retrieval/{own}{metric}" for prefix, metric in columns]
        lines.append(_line(title, [_cell(values, key) for key in keys]))
    for title, name in PLAIN.items():
        keys = [
            f"{'reference' if prefix == 'val' else prefix}/retrieval/plain/{name}/{metric}"
            for prefix, metric in columns
        ]
        lines.append(_line(f"no network: {title}", [_cell(values, key) for key in keys]))
    return "\n".join(lines)


def kinds_table(values: Values, kinds: Sequence[str]) -> str:
    """Returns a table of top 1 on test by kind of rule: prediction, copy, best plain baseline."""
    lines = [
        "| kind of rule, test | queries | prediction | a copy of the query's input | no network |",
        "|---|---|---|---|---|",
    ]
    for kind in kinds:
        start = f"test/retrieval/rule/{kind}"
        cells = [_cell(values, f"{start}/{of}top1") for of in ("", "copy_", "plain_")]
        lines.append(_line(kind.replace("_", " "), [_cell(values, f"{start}/n", 0), *cells]))
    return "\n".join(lines)


def kinds_in(keys: Iterable[str]) -> list[str]:
    """Returns the kinds of rule among the names of metrics, sorted."""
    start, end = "test/retrieval/rule/", "/n"
    found = (key for key in keys if key.startswith(start) and key.endswith(end))
    return sorted(key.removeprefix(start).removesuffix(end) for key in found)


def plain_table(datasets: Sequence[str]) -> str:
    """Returns a table of the plain baselines on the validation and test tasks of data sets, with
    the settings that `tier=quick` of arc_jepa has. A data set without demonstrations has no moved
    colours, shown as "-". Raises UserError for an unknown data set."""
    heads, columns = [], []
    for name in datasets:
        config = checked(["+experiment=arc_jepa", f"dataset={name}", "tier=quick"])
        tasks = find(config.study).planner.load(config)
        for split, title in (("val", "validation"), ("test", "test")):
            examples = make_examples(
                getattr(tasks, split),
                config.dataset.problem,
                n_demos=config.dataset.n_demos,
                n_frames=config.dataset.n_frames,
                split=split,
            )
            index = torch.arange(min(len(examples), MOST))
            ranks = plain_ranks(examples, index, candidates(examples.task[index]))
            columns.append(plain_values(ranks))
            heads.append(f"{name}, {title} ({len(index):,})")
    lines = [f"| top 1, MRR (queries) | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for title, name in PLAIN.items():
        keys = [f"retrieval/plain/{name}/{metric}" for metric in SHOWN.values()]
        cells = [
            ", ".join(f"{values[key]:.3f}" for key in keys if key in values) or MISSING
            for values in columns
        ]
        lines.append(_line(title, cells))
    return "\n".join(lines)


def _cell(values: Values, key: str, digits: int = 3) -> str:
    found = list(values(key))
    if len(set(found)) == 1:
        return f"{found[0]:.{digits}f}"  # of the data: the same in every run
    return mean(found, digits) or MISSING


def _line(title: str, cells: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def main() -> None:
    """Prints the table of the plain baselines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="*", default=DATASETS)
    try:
        print(plain_table(parser.parse_args().datasets))
    except UserError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
