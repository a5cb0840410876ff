"""The verbs of `jepa-lab VERB ...`. Each runs the command `python -m jepa_lab.VERB`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import NoReturn

from jepa_lab.errors import UserError, nearest

VERBS = {
    "bench": "score the verdict, single metrics and your own rules on labelled runs",
    "branch": "continue a run from an earlier state, unchanged or with one thing changed",
    "check": "list the jobs of a run or a sweep and their states; check data and keys, run nothing",
    "claims": "judge the claims of the studies from finished runs; run missing ones",
    "decode": "decode images from a run's frozen latents, to show what the latents keep",
    "diagnose": "print the verdict on a run or on features, its evidence and what to run next",
    "evaluate": "evaluate the frozen encoder of a run",
    "heatmaps": "draw the figures of the linear BYOL toy",
    "preview": "draw the views that the model would see",
    "report": "compare runs and report what their differences show; draw the page of one run",
}


def run_verb(verb: str, args: list[str]) -> None:
    """Runs the command of a verb."""
    module = f"jepa_lab.{verb}"
    package = find_spec(module)
    place = (
        f"{module}.__main__"
        if package is not None and package.submodule_search_locations
        else module
    )
    import_module(place).main(args)


def unknown_verb(word: str) -> NoReturn:
    """Raises UserError for a first argument that is neither a verb nor an override."""
    raise UserError(f"{word}: not a verb and not an override key=value{nearest(word, VERBS)}")
