"""The options of a monitor, checked where a user gives them."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping
from typing import Any

from jepa_lab.config.statuses import STATUSES
from jepa_lab.errors import nearest
from jepa_lab.monitor.features import require_roles


def checked_options(every: Any, n: Any, role: Any, taps: Any, stop_on: Any, prefix: Any) -> None:
    """Raises ValueError with the name and the value of an option that is not valid."""
    for name, value in (("every", every), ("n", 2 if n is None else n)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: expected a whole number from 1")
    if role is not None and not isinstance(role, Mapping):
        raise ValueError(f"role={role!r}: expected a mapping {{name of features: role}}")
    require_roles(role or {})
    for name, value in (("taps", taps or ()), ("stop_on", stop_on)):
        if isinstance(value, str) or not isinstance(value, Collection):
            raise ValueError(f"{name}={value!r}: expected a list of names, such as [{value!r}]")
    for status in stop_on:
        if status not in STATUSES:
            raise ValueError(f"stop_on: no status {status!r}{nearest(status, STATUSES)}")
    if not isinstance(prefix, str) or not prefix or prefix == "reference":
        raise ValueError(f"prefix={prefix!r}: expected a word, such as val; not reference")


def whole_step(step: Any) -> int:
    """Returns the step as an int, whatever counts it. Raises ValueError for anything that is not
    whole."""
    try:
        return operator.index(step)
    except TypeError:
        pass
    try:
        whole = int(step)
        if whole == step:
            return whole
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"step={step!r}: expected a whole number")
