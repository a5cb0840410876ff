"""Rows that bound a comparison: the same network, data, budget, views and probes, untrained or
trained with labels.

They are jobs beside the arms, on the reported seeds, under the settings of their own experiments;
nothing is tuned for them and no arm is tested against them. A run that `+experiment=random_init`
made is the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import yaml
from omegaconf import DictConfig

from jepa_lab.config.groups import conf_dir
from jepa_lab.config.tree import flatten
from jepa_lab.errors import UserError
from jepa_lab.sweep.jobs import check_jobs

Words = list[str]


def reference_words(name: str) -> Words:
    """The settings of conf/experiment/NAME.yaml as words of a command line, its name and no
    auxiliary loss among them."""
    content = yaml.safe_load(
        (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    )
    chosen = (entry for default in content.pop("defaults", []) for entry in default.items())
    groups = [f"{group.removeprefix('override /')}={option}" for group, option in chosen]
    # not all are in conf/
    keys = ((f"++{key}" if "." in key else key, value) for key, value in flatten(content))
    return ["aux=none", *groups, *(f"{key}={value}" for key, value in keys)]


def reference_jobs(names: Sequence[str], common: Sequence[str], seed: int) -> list[Words]:
    """A job for each reference: the words that all arms share, but for what the reference settles
    itself, that of the groups it chooses included."""
    jobs = []
    for name in names:
        own = reference_words(name)
        settled = {word.partition("=")[0].lstrip("+") for word in own}
        kept = [
            word for word in common if not _settles(settled, word.partition("=")[0].lstrip("+"))
        ]
        jobs.append([*kept, *own, f"seed={seed}"])
    return jobs


def plan_references(
    config: Any,
    common: Sequence[str],
    seed: int,
    compose: Callable[[list[Words]], list[DictConfig]],
    master: DictConfig,
) -> list[str]:
    """The references that an arm's checked configuration asks for, composed and checked once.
    UserError for one that cannot run beside the arms."""
    names = list(config.sweep.references)
    if names and not config.has_references:
        raise UserError(
            f"sweep.references=[{','.join(names)}]: rows of the seq-JEPA; the {config.title} has"
            " none"
        )
    if names:
        check_jobs(compose(reference_jobs(names, common, seed)), master)
    return names


def _settles(settled: set[str], key: str) -> bool:
    return key in settled or key.partition(".")[0] in settled
