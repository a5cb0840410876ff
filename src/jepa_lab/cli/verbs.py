"""The verbs of `jepa-lab VERB ...`, each the command `python -m jepa_lab.VERB`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

VERBS = {
    "check": "list the jobs of a run or a sweep and their states; check data and keys, run nothing",
    "claims": "judge the claims of the studies from finished runs, running those that are missing",
    "decode": "images from a run's frozen latents, to look at what they keep",
    "diagnose": "the verdict on a run or on features: what it stands on, what to run next",
    "evaluate": "the frozen evaluation of a run",
    "heatmaps": "the figures of the linear BYOL toy",
    "preview": "what the model would see",
    "report": "runs compared, with what their differences show",
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
