"""The configuration that an investigation recommends, as a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.ledger.command_line import CommandLine
from jepa_lab.studies.arc.investigation.overrides import differences, overridden, text_of
from jepa_lab.studies.arc.investigation.state import Investigation


@dataclass(frozen=True)
class Recommended:
    """A recommended configuration.

    `step` is the step whose runs are the evidence. `whole` is true for a repair of the complete
    run, false for a stable run that leaves something out. `overrides` apply to the failing run.
    `checked` is true if the command was composed and gives this configuration.
    """

    step: str
    whole: bool
    overrides: Mapping[str, Any]
    command: str
    checked: bool


# (overrides, config_dir) -> their configuration as plain data, None if they do not compose
Compose = Callable[[Sequence[str], str | None], dict[str, Any] | None]
NAMED = ("tier", "dataset", "target", "precision")  # groups whose option the key .name selects


def recommended(
    investigation: Investigation,
    given: Mapping[str, Any],
    own: CommandLine | None,
    compose: Compose,
) -> Recommended | None:
    """Returns the configuration to run next, or None if nothing stable was found.

    `given` is the configuration of the failing run, whose budget the command keeps. `own` is its
    command line, None if it was not recorded.
    """
    result = investigation.repair or investigation.fallback
    if result is None:
        return None
    command, checked = command_of(given, own, result.overrides, compose)
    return Recommended(
        result.name, investigation.repair is not None, result.overrides, command, checked
    )


def command_of(
    given: Mapping[str, Any],
    own: CommandLine | None,
    overrides: Mapping[str, Any],
    compose: Compose,
) -> tuple[str, bool]:
    """Returns the command line of the run with overrides, and whether it composes to exactly that
    configuration. A run without a recorded command line gets its experiment with the overrides."""
    options = {f"{group}.name": group for group in NAMED}
    if own is None:
        return _with(
            CommandLine((f"+experiment={given.get('name')}",)), overrides, options
        ).text(), False
    chosen = {options[key] for key in overrides if key in options}
    # an option of a group may lack the keys that the overrides set to null
    shorter = {
        key: v for key, v in overrides.items() if v is not None or key.split(".")[0] not in chosen
    }
    wanted = overridden(given, overrides)
    for changes in (overrides, shorter):
        line = _with(own, changes, options)
        built = compose(line.overrides, line.config_dir)
        if built is not None and not differences(
            built, {key: value_of(wanted, key) for key in overrides}
        ):
            return line.text(), True
    return _with(own, overrides, options).text(), False


def _with(
    own: CommandLine, overrides: Mapping[str, Any], options: Mapping[str, str]
) -> CommandLine:
    return own.changed(
        [f"{options.get(key, key)}={text_of(value)}" for key, value in overrides.items()]
    )
