"""The configuration that an investigation recommends, as the command line that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.ledger.overrides import Overrides
from jepa_lab.studies.arc.investigation.inquiry import Inquiry
from jepa_lab.studies.arc.investigation.overlay import differences, laid_over, text_of


@dataclass(frozen=True)
class Recommended:
    """step: whose runs show it; whole: it repairs the run, else it is stable but leaves something out; overlay: over
    the failing run; checked: the command was composed, and gives this configuration."""

    step: str
    whole: bool
    overlay: Mapping[str, Any]
    command: str
    checked: bool


# the configuration of overrides as plain data, None where they do not compose
Compose = Callable[[Sequence[str], str | None], dict[str, Any] | None]
NAMED = ("tier", "dataset", "target", "precision")  # groups whose option is chosen by the key .name


def recommended(
    inquiry: Inquiry, given: Mapping[str, Any], own: Overrides | None, compose: Compose
) -> Recommended | None:
    """What to run next, or None where nothing stable was found. `given`: the failing run's own configuration, whose
    budget the command keeps; `own`: its command line, None where it keeps none."""
    result = inquiry.repair or inquiry.fallback
    if result is None:
        return None
    command, checked = command_of(given, own, result.overlay, compose)
    return Recommended(result.name, inquiry.repair is not None, result.overlay, command, checked)


def command_of(
    given: Mapping[str, Any], own: Overrides | None, overlay: Mapping[str, Any], compose: Compose
) -> tuple[str, bool]:
    """Returns (the command line of the run with an overlay, whether it composes to exactly that). A run that keeps no
    command line gets its experiment with the overlay."""
    options = {f"{group}.name": group for group in NAMED}
    if own is None:
        return _with(Overrides((f"+experiment={given.get('name')}",)), overlay, options).line(), False
    chosen = {options[key] for key in overlay if key in options}
    # an option of a group may lack the keys that the overlay sets to null
    shorter = {key: v for key, v in overlay.items() if v is not None or key.split(".")[0] not in chosen}
    wanted = laid_over(given, overlay)
    for changes in (overlay, shorter):
        line = _with(own, changes, options)
        built = compose(line.words, line.config_dir)
        if built is not None and not differences(built, {key: value_of(wanted, key) for key in overlay}):
            return line.line(), True
    return _with(own, overlay, options).line(), False


def _with(own: Overrides, overlay: Mapping[str, Any], options: Mapping[str, str]) -> Overrides:
    return own.but([f"{options.get(key, key)}={text_of(value)}" for key, value in overlay.items()])
