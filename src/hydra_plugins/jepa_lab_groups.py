"""Provides the group `aux` from files in a folder `aux_loss`, since Windows cannot check out a
folder called aux.

A user-defined folder with `aux_loss/mine.yaml` in it is added by
hydra.searchpath=[aux_loss://FOLDER].
"""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from jepa_lab.config.groups import AUX_FOLDER, conf_dir

GROUP, FOLDER = "aux", AUX_FOLDER


class AuxGroup(SearchPathPlugin):
    """Puts conf/aux_loss on every search path, as the group `aux`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("jepa_lab", f"{FOLDER}://{conf_dir()}")


class AuxFolder(FileConfigSource):
    """Maps FOLDER/aux_loss to the group `aux`. Nothing else of FOLDER is visible."""

    @staticmethod
    def scheme() -> str:
        return FOLDER

    def load_config(self, config_path: str) -> ConfigResult:
        return super().load_config(_on_disk(config_path))

    def available(self) -> bool:
        return super().is_group(FOLDER)

    def is_group(self, config_path: str) -> bool:
        return config_path == "" or (
            _is_ours(config_path) and super().is_group(_on_disk(config_path))
        )

    def is_config(self, config_path: str) -> bool:
        return _is_ours(config_path) and super().is_config(_on_disk(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [GROUP] if results_filter != ObjectType.CONFIG else []
        if config_path != GROUP or results_filter == ObjectType.GROUP:
            return []
        return sorted(path.stem for path in (Path(self.path) / FOLDER).glob("*.yaml"))


def _is_ours(path: str) -> bool:
    return path == GROUP or path.startswith(f"{GROUP}/")


def _on_disk(path: str) -> str:
    return f"{FOLDER}{path.removeprefix(GROUP)}"
