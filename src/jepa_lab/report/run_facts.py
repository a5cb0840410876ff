"""The circumstances of a run, in words: seed, data, size, time, software."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

Facts = list[tuple[str, str]]
TOTALS = ("trainable", "frozen")
UNITS = ("images", "tasks")  # of the sizes of the splits in a summary's protocol


def run_facts(
    config: Mapping[str, Any], summary: Mapping[str, Any], status: Mapping[str, Any], step: int
) -> Facts:
    """Returns (name, text) pairs of what is known. `step` is the last logged optimiser step."""
    data = config.get("dataset")
    versions = status.get("versions") or {}
    found = [
        ("experiment", str(status.get("experiment") or config.get("name") or "")),
        ("run", str(status.get("run_id") or "")),
        ("seed", _text(config.get("seed"))),
        ("data", str(data.get("name") or "") if isinstance(data, Mapping) else ""),
        ("sizes", sizes(summary.get("protocol") or {})),
        ("steps", f"{step:,}"),
        ("parameters", _parameters(summary.get("parameters") or {})),
        ("training time", _duration(summary.get("wall_s"))),
        ("started", _moment(status.get("started"))),
        ("finished", _moment(status.get("finished"))),
        ("versions", _versions(versions)),
        ("commit", str(versions.get("commit") or "")),
    ]
    return [(name, text) for name, text in found if text]


def sizes(protocol: Mapping[str, Any]) -> str:
    """Returns the sizes of the splits, as in '1,097 training, 340 validation and 360 test images'.
    "" if they are not known."""
    for unit in UNITS:
        splits = (("train", "training"), ("val", "validation"), ("test", "test"))
        known = [
            f"{protocol[f'{split}_{unit}']:,} {name}"
            for split, name in splits
            if isinstance(protocol.get(f"{split}_{unit}"), int)
        ]
        if known:
            return f"{', '.join(known)} {unit}"
    return ""


def _parameters(counts: Mapping[str, Any]) -> str:
    """Returns the numbers of parameters: the totals, then the parts."""
    texts = [f"{counts[name]:,} {name}" for name in TOTALS if counts.get(name)]
    parts = [
        f"{name.replace('_', ' ')} {count:,}"
        for name, count in counts.items()
        if name not in TOTALS and isinstance(count, int)
    ]
    return ", ".join(texts) + (f" ({', '.join(parts)})" if texts and parts else "")


def _versions(versions: Mapping[str, Any]) -> str:
    names = {"results_version": "results version"}
    return ", ".join(
        f"{names.get(name, name)} {version}"
        for name, version in versions.items()
        if version is not None and name != "commit"
    )


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _moment(text: Any) -> str:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return ""
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def _text(value: Any) -> str:
    return "" if value is None else str(value)
