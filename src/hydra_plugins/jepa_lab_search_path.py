"""The only part of jepa-lab that Hydra imports in every program of the environment. Our group,
launchers and sweepers are added for our own configuration only.

All other modules of ours begin with an underscore, so Hydra does not import them. This one imports
nothing of jepa_lab, which would change another program's start.
"""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

MARK = "jepa_lab.sweep.records.SweepStart"  # the callback with which our sweeps start


class JepaLabSearchPath(SearchPathPlugin):
    """Adds our group `aux`, launchers and sweepers to the search path of our configuration."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        main = next((e.path for e in search_path.get_path() if e.provider == "main"), None)
        if main is None or not is_ours(Path(main)):
            return
        import hydra_plugins._jepa_lab_sources as sources  # start-up of other programs

        for plugin in sources.PLUGINS:
            Plugins.instance().register(plugin)
        search_path.append("jepa_lab", f"{sources.AuxFolder.scheme()}://{main}")
        search_path.append("jepa_lab", f"{sources.OwnOptions.scheme()}://hydra")


def is_ours(folder: Path) -> bool:
    """Returns whether the folder of the primary configuration is conf/ or a copy of it: its
    config.yaml names our callback."""
    try:
        return MARK in (folder / "config.yaml").read_text(encoding="utf-8")
    except (OSError, ValueError):  # no such file, or not ours
        return False
