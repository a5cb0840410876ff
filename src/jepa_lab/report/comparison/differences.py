"""Settings that differ between runs, and groups of runs that differ only in their seed."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jepa_lab.config.statuses import failed
from jepa_lab.config.tree import flatten
from jepa_lab.ledger.identity import IGNORED

Settings = Mapping[str, Any]  # dotted key: value

# ignored beside ledger.identity.IGNORED: keys that act only through other keys
UNSEEN = ("dataset.tiers", "recipe.lambda_rate")
BUDGET = (
    "dataset.name",
    "dataset.train_size",
    "dataset.batch_size",
    "dataset.epochs",
    "optim.accumulate",
)
# key: keys that may determine it. If they do, the run derived its value and it is left out.
FOLLOWS = {
    "dataset.source": ("dataset.name",),
    "dataset.views": ("dataset.name",),
    "dataset.n_views": ("dataset.seq_len",),
    "loss.lambda_rate": ("aux.name", "aux.coding_rate.weight"),
    "monitor.best": ("dataset.name",),
    "monitor.every_epochs": ("dataset.epochs",),
    "target.tau": ("target.name", "target.memory", *BUDGET),
}
OF_TIER = ("batch_size", "epochs", "train_size", "val_size")  # keys of dataset.tiers.<tier>


def differences(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns {column: value} for each configuration: `experiment`, dotted keys, `seed` last.

    All have the same columns, and each column has at least 2 values. A null and a missing value are
    both None. The name of the option of a group is in the column of the group. Left out are the
    place and monitoring of a run, keys that follow from other keys, and keys that another option
    does not have.
    """
    settings = [{"aux.name": _aux_text(config), **dict(flatten(config))} for config in configs]
    unseen = (*IGNORED, *UNSEEN)
    keys = dict.fromkeys(key for one in settings for key in one)
    shown = [
        key
        for key in keys
        if not any(f"{key}.".startswith(f"{prefix}.") for prefix in unseen)
        and _count(settings, key) > 1
        and not _follows(settings, key)
        and not _belongs_to_option(settings, key)
    ]
    ordered = sorted(shown, key=lambda key: (key == "seed") - (key == "name"))
    return [{_column(key): one.get(key) for key in ordered} for one in settings]


def _aux_text(config: Mapping[str, Any]) -> str:
    """Returns the auxiliary losses as on a command line: none, vicreg, [vicreg,sigreg]."""
    aux = config.get("aux")
    names = list(aux) if isinstance(aux, Mapping) else []
    return f"[{','.join(names)}]" if len(names) > 1 else next(iter(names), "none")


def setting_text(value: Any) -> str:
    """Returns the value as on a command line: 0.001, 1e-05, true, null, [32,64]."""
    return (
        value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)
    )


def natural(value: Any) -> tuple[Any, ...]:
    """Returns a sort key of a setting: null, then numbers by value, texts, lists item by item."""
    if value is None:
        return (0,)
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, list):
        return (3, *map(natural, value))
    return (2, str(value))


@dataclass(frozen=True)
class SeedGroup:
    """Runs with equal settings and 2 or more seeds.

    `mean` and `sd` (sample) are over the `n` completed runs that have the metric, None for too few
    of them. `collapsed` counts completed runs; `others` counts the runs in other states.
    """

    settings: dict[str, Any]
    metric: str
    mean: float | None
    sd: float | None
    n: int
    completed: int
    collapsed: int
    others: dict[str, int]


def seed_groups(
    rows: Iterable[Mapping[str, Any]], settings: Sequence[str], metric: str
) -> list[SeedGroup]:
    """Returns the groups of `rows` that agree in all `settings` except the seed, in their order.

    Groups with a single seed are left out."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(_same([row[key] for key in settings if key != "seed"]), []).append(row)
    return [
        _seed_group(group, [key for key in settings if key != "seed"], metric)
        for group in groups.values()
        if len({row.get("seed") for row in group}) > 1
    ]


def _seed_group(
    group: Sequence[Mapping[str, Any]], settings: Sequence[str], metric: str
) -> SeedGroup:
    completed = [row for row in group if row["state"] == "completed"]
    values = [row[metric] for row in completed if row[metric] is not None]
    n = len(values)
    mean = sum(values) / n if n else None
    # statistics.stdev would raise on an infinity
    sd = (
        math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
        if mean is not None and n > 1
        else None
    )
    verdicts = [row["verdict"].split()[0] for row in completed if row["verdict"]]
    return SeedGroup(
        settings={key: group[0][key] for key in settings},
        metric=metric,
        mean=mean,
        sd=sd,
        n=n,
        completed=len(completed),
        collapsed=sum(map(failed, verdicts)),
        others=dict(Counter(row["state"] for row in group if row["state"] != "completed")),
    )


def _column(key: str) -> str:
    return "experiment" if key == "name" else key.removesuffix(".name")


def _same(value: Any) -> str:
    """Returns a text that is the same for equal values, e.g. for 1 and 1.0."""
    number = isinstance(value, int) and not isinstance(value, bool)
    return json.dumps(float(value) if number else value, sort_keys=True, default=str)


def _count(settings: Iterable[Settings], *keys: str) -> int:
    return len({tuple(_same(one.get(key)) for key in keys) for one in settings})


def _follows(settings: Sequence[Settings], key: str) -> bool:
    sources: tuple[str, ...] = FOLLOWS.get(key, ())
    short = key.removeprefix("dataset.")
    if short in OF_TIER and all(
        one.get(key) == one.get(f"dataset.tiers.{one.get('tier.name')}.{short}") for one in settings
    ):
        sources = ("tier.name", "dataset.name")
    return bool(sources) and _count(settings, *sources) == _count(settings, *sources, key)


def _belongs_to_option(settings: Sequence[Settings], key: str) -> bool:
    """Returns whether `key` differs only because some runs have an option of its group without
    it."""
    option = f"{key.split('.')[0]}.name"
    if key == option or _count(settings, option) < _count(settings, option, key):
        return False
    present = [one for one in settings if one.get(key) not in (None, [])]
    return _count(present, key) < 2
