"""Reference runs of a comparison: an untrained network, and one trained with labels.

They share network, data, budget, views and probes with the arms, and take all other settings from
their own experiments. They run beside the arms, on the reported seeds. Nothing is tuned for them,
and no arm is tested against them. A run of `+experiment=random_init` is the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig

from jepa_lab.config.groups import experiment_content
from jepa_lab.config.tree import flatten
from jepa_lab.errors import UserError
from jepa_lab.sweep.jobs import check_jobs

Overrides = list[str]


def reference_overrides(name: str) -> Overrides:
    """Returns the settings of conf/experiment/NAME.yaml as overrides, including its name and
    aux=none."""
    content = experiment_content(name)
    chosen = (entry for default in content.pop("defaults", []) for entry in default.items())
    groups = [f"{group.removeprefix('override /')}={option}" for group, option in chosen]
    # ++, since some of these keys are not in conf/
    keys = ((f"++{key}" if "." in key else key, value) for key, value in flatten(content))
    return ["aux=none", *groups, *(f"{key}={value}" for key, value in keys)]


def reference_jobs(names: Sequence[str], common: Sequence[str], seed: int) -> list[Overrides]:
    """Returns a job for each reference.

    A job has the overrides that all arms share, without the keys and groups that the reference sets
    itself.
    """
    jobs = []
    for name in names:
        own = reference_overrides(name)
        settled = {_key(override) for override in own}
        kept = [override for override in common if not _settles(settled, _key(override))]
        jobs.append([*kept, *own, f"seed={seed}"])
    return jobs


def plan_references(
    config: Any,
    common: Sequence[str],
    seed: int,
    compose: Callable[[list[Overrides]], list[DictConfig]],
    master: DictConfig,
) -> list[str]:
    """Returns the references that an arm's checked configuration names, composed and checked once.
    Raises UserError for one that cannot run beside the arms."""
    names = list(config.sweep.references)
    if names and not config.has_references:
        raise UserError(
            f"sweep.references=[{','.join(names)}]: only the seq-JEPA has references; the"
            f" {config.title} has none"
        )
    if names:
        check_jobs(compose(reference_jobs(names, common, seed)), master)
    return names


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+")


def _settles(settled: set[str], key: str) -> bool:
    return key in settled or key.partition(".")[0] in settled
