"""The identity of a run: a short hash of the resolved configuration, the data and the version of
the maths."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import PurePath
from typing import Any

from jepa_lab import RESULTS_VERSION

# Keys that do not change the computation: where a run is written, its device, its monitoring and
# its expected results. `precision` and `hardware.threads` change bits and are therefore not listed.
IGNORED = (
    "hydra",
    "runs_dir",
    "on_existing",
    "preflight",
    "logger",
    "progress",
    "expected",
    "max_wall_s",
    "sweep",
    "gates",
    "experiment_gates",
    "save_every_s",
    "figures",
    "keep",
    "monitor.save_every_s",
    "monitor.ring",
    "monitor.ring_mb",
    "monitor.features_every",
    "monitor.rollout_steps",
    "vq.window_tokens",
    "diagnosis.stop_on",
    "hardware.name",
    "hardware.accelerator",
    "hardware.devices",
    "hardware.nodes",
    "hardware.strategy",
    "hardware.workers",
    "hardware.cudnn_benchmark",
)


def run_id(
    config: Mapping[str, Any], data_fingerprint: str, results_version: int = RESULTS_VERSION
) -> str:
    """Returns ten hex digits that name the run. They agree if the configuration (minus `IGNORED`),
    the data and the version agree.

    `config` is the resolved configuration as plain dicts, lists, scalars and paths. The order of
    keys does not matter. Numbers hash by their JSON text: 1e-3 and 0.001 agree, 1 and 1.0 do not.
    Raises TypeError for other types.
    """
    counted = {
        "config": counted_part(config),
        "data": data_fingerprint,
        "results_version": results_version,
    }
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=5).hexdigest()


def counted_part(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `config` without the keys of `IGNORED`, with all keys as text. The hash covers this
    part."""
    return _without(config, prefix="")


def _without(node: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    counted = (
        (f"{prefix}{key}", str(key), value)
        for key, value in node.items()
        if f"{prefix}{key}" not in IGNORED
    )
    return {key: _plain(value, path) for path, key, value in counted}


def _plain(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return _without(value, f"{path}.")
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}.{index}") for index, item in enumerate(value)]
    return value.as_posix() if isinstance(value, PurePath) else value
