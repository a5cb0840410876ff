"""The configuration that an investigation recommends, as the command line that runs it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jepa_lab.diagnosis.remedies import value_of
from jepa_lab.report.own_command import GROUPS, composed, own_words
from jepa_lab.studies.arc.investigation.inquiry import Inquiry
from jepa_lab.studies.arc.investigation.overlay import differences, laid_over, words


@dataclass(frozen=True)
class Recommended:
    """step: whose runs show it; whole: it repairs the run, else it is stable but leaves something out; overlay: over
    the failing run; checked: the command was composed, and gives this configuration."""

    step: str
    whole: bool
    overlay: Mapping[str, Any]
    command: str
    checked: bool


def recommended(inquiry: Inquiry, given: Mapping[str, Any]) -> Recommended | None:
    """What to run next, or None where nothing stable was found. `given`: the failing run's own configuration, whose
    budget the command keeps."""
    result = inquiry.repair or inquiry.fallback
    if result is None:
        return None
    command, checked = command_of(given, result.overlay)
    return Recommended(result.name, inquiry.repair is not None, result.overlay, command, checked)


def command_of(given: Mapping[str, Any], overlay: Mapping[str, Any]) -> tuple[str, bool]:
    """(the command line of a configuration with an overlay, whether it composes to exactly that). Where the experiment
    is unknown here, the experiment and the overlay as they stand."""
    wanted = laid_over(given, overlay)
    exact = own_words(wanted)
    if not exact:
        options = {key: group for group, key in GROUPS.items()}
        text = words({options.get(key, key): value for key, value in overlay.items()})
        return f"python -m jepa_lab +experiment={shlex.quote(str(given.get('name')))} {text}".rstrip(), False
    built = composed(exact)
    kept = built is not None and not differences(built, {key: value_of(wanted, key) for key in overlay})
    return " ".join(["python -m jepa_lab", *map(shlex.quote, exact)]), kept
