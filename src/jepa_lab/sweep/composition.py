"""Composes the jobs of a sweep. Jobs that choose the same options of all groups share one
composition, to which each job's values are applied as Hydra applies them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict

LEAST = 3  # jobs with the same options that make one more composition worth its time

Options = tuple[str, ...]


@dataclass(frozen=True)
class Parts:
    """The overrides of a job: all of them, those that choose options of groups, and values."""

    all: list[Override]
    options: Options
    values: list[Override]


def compose_jobs(
    context: HydraContext,
    master: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int = 0,
) -> list[DictConfig]:
    """Returns the configuration of every job, equal to Hydra's own. It contains the job's number,
    counted from `first`. Raises what Hydra raises for overrides that do not compose."""
    composer = Composer(context, master)
    split = [composer.split(overrides) for overrides in job_overrides]
    alike = Counter(parts.options for parts in split if parts is not None)
    jobs = []
    for number, (overrides, parts) in enumerate(zip(job_overrides, split, strict=True), first):
        job = None
        if parts is not None and alike[parts.options] >= LEAST:
            job = composer.shared(parts)
        if job is None:
            job = composer.whole(overrides)
        with open_dict(job):
            job.hydra.job.id = job.hydra.job.num = number
        jobs.append(job)
    return jobs


class Composer:
    """Composes the jobs of the sweep with the configuration `master`."""

    def __init__(self, context: HydraContext, master: DictConfig) -> None:
        self.loader: Any = context.config_loader  # Hydra's own, with its method for repositories
        self.master = master
        self._parsed: dict[str, Override] = {}
        self._bases: dict[Options, DictConfig | None] = {}
        self._parser = OverridesParser.create()
        self._groups: Any = None  # with the method group_exists

    def whole(self, overrides: Sequence[str]) -> DictConfig:
        """Returns Hydra's own composition of a job."""
        job: DictConfig = self.loader.load_sweep_config(self.master, list(overrides))
        return job

    def split(self, overrides: Sequence[str]) -> Parts | None:
        """Returns the parts of a job's overrides. None if Hydra has to compose them, since they
        set keys of Hydra, are swept, cannot be parsed, or give a group a mapping of keys."""
        try:
            parsed = [self._parse(text) for text in overrides]
            choose = [self._is_option(override) for override in parsed]
        except (HydraException, ValueError, RecursionError):
            return None
        if any(o.is_hydra_override() or o.is_sweep_override() for o in parsed):
            return None
        options = [o for o, is_option in zip(parsed, choose, strict=True) if is_option]
        values = [o for o, is_option in zip(parsed, choose, strict=True) if not is_option]
        if any(isinstance(o.value(), dict) for o in options):
            return None
        return Parts(parsed, tuple(str(o.input_line) for o in options), values)

    def shared(self, parts: Parts) -> DictConfig | None:
        """Returns the composition of a job from that of its options. None if it does not
        compose; Hydra's own composition then says why."""
        base = self._base(parts.options)
        if base is None:
            return None
        job = copy.deepcopy(base)
        try:
            ConfigLoaderImpl._apply_overrides_to_config(parts.values, job)
        except Exception:
            return None
        job.hydra.overrides.task.clear()
        for override in parts.all:
            job.hydra.overrides.task.append(override.input_line)
        form = job.hydra.job.config.override_dirname
        job.hydra.job.override_dirname = get_overrides_dirname(
            overrides=parts.all,
            kv_sep=form.kv_sep,
            item_sep=form.item_sep,
            exclude_keys=form.exclude_keys,
        )
        return job

    def _base(self, options: Options) -> DictConfig | None:
        if options not in self._bases:
            try:
                self._bases[options] = self.whole(options)
            except Exception:  # Hydra lets errors of many types pass
                self._bases[options] = None
        return self._bases[options]

    def _parse(self, text: str) -> Override:
        if text not in self._parsed:
            (self._parsed[text],) = self._parser.parse_overrides([text])
        return self._parsed[text]

    def _is_option(self, override: Override) -> bool:
        """Returns whether Hydra takes the key for a group, on the search path of the sweep."""
        if self._groups is None:
            given = list(self.master.hydra.overrides.hydra)
            _, self._groups = self.loader._parse_overrides_and_create_caching_repo(
                self.master.hydra.job.config_name, given
            )
        return bool(self._groups.group_exists(override.key_or_group))
