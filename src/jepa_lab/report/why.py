"""The reasons behind a verdict, for a page: what failed first, how far every quantity is from its
healthy range, and the likely causes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jepa_lab.diagnosis import Examination, Thresholds
from jepa_lab.diagnosis.causes import causes
from jepa_lab.diagnosis.finding import Finding, History
from jepa_lab.diagnosis.quantities import Quantity, order_sentence, quantities, timeline
from jepa_lab.diagnosis.remedies import Remedies
from jepa_lab.diagnosis.settings import Settings


@dataclass(frozen=True)
class Why:
    """`events` are the failures in the order of their first violation, `order` is that order in
    words. `ranges` are the last values with their healthy ranges and the number of rows that they
    were measured on. `causes` come with the likeliest first, `notes` are remarks that are no
    failures."""

    events: tuple[Finding, ...]
    order: str
    ranges: tuple[Quantity, ...]
    rows: dict[str, int]
    causes: tuple[str, ...]
    notes: tuple[str, ...]


def why(found: Examination, history: History, config: Mapping[str, Any], remedies: Remedies) -> Why:
    """Returns the reasons of an examined run. `config` is its config.yaml."""
    events = timeline(found)
    counts = {
        key.split("/")[1]: int(points[-1][1])
        for key, points in history.items()
        if key.startswith("val/") and key.endswith("/n") and key.count("/") == 2 and points
    }
    return Why(
        tuple(events),
        order_sentence(events),
        tuple(quantities(history, Thresholds(), Settings.of(config, remedies))),
        counts,
        tuple(causes(found, config, remedies)),
        tuple(f.reason for f in found.notes),
    )
