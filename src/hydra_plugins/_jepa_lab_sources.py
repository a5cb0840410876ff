"""Sources of our options: the group `aux`, and the launchers and sweepers.

They stand on the search path of our configuration. Nothing is added to Hydra's ConfigStore, which
all programs of a process share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.plugin import Plugin
from omegaconf import OmegaConf

import hydra_plugins._jepa_lab_launcher as _launcher
import hydra_plugins._jepa_lab_parallel_launcher as _parallel_launcher
import hydra_plugins._jepa_lab_search_sweeper as _search_sweeper
import hydra_plugins._jepa_lab_sweeper as _sweeper
from jepa_lab.config.groups import AUX_FOLDER

GROUP, FOLDER = "aux", AUX_FOLDER


class AuxFolder(FileConfigSource):
    """Maps FOLDER/aux_loss to the group `aux`. Nothing else of FOLDER is visible.

    A user-defined folder with `aux_loss/mine.yaml` in it is added by
    hydra.searchpath=[aux_loss://FOLDER].
    """

    @staticmethod
    def scheme() -> str:
        return FOLDER

    def load_config(self, config_path: str) -> ConfigResult:
        return super().load_config(_on_disk(config_path))

    def available(self) -> bool:
        return super().is_group(FOLDER)

    def is_group(self, config_path: str) -> bool:
        return config_path == "" or (
            _is_aux(config_path) and super().is_group(_on_disk(config_path))
        )

    def is_config(self, config_path: str) -> bool:
        return _is_aux(config_path) and super().is_config(_on_disk(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if config_path == "":
            return [GROUP] if results_filter != ObjectType.CONFIG else []
        if config_path != GROUP or results_filter == ObjectType.GROUP:
            return []
        return sorted(path.stem for path in (Path(self.path) / FOLDER).glob("*.yaml"))


def _is_aux(path: str) -> bool:
    return path == GROUP or path.startswith(f"{GROUP}/")


def _on_disk(path: str) -> str:
    return f"{FOLDER}{path.removeprefix(GROUP)}"


class OwnOption(ConfigResult):
    """An option that replaces the one of a plugin with the same name, as `hydra/launcher=joblib`.

    Hydra before 1.4 takes the plugin's option for a schema that ours has to fit, and warns. It does
    not do so for an option that is itself a schema.
    """

    @property
    def is_schema_source(self) -> bool:
        return True

    @is_schema_source.setter
    def is_schema_source(self, value: bool) -> None:
        pass


class OwnOptions(ConfigSource):
    """The options of `hydra/launcher` and `hydra/sweeper`. They come before those of plugins, which
    Hydra looks up last."""

    def __init__(self, provider: str, path: str) -> None:
        super().__init__(provider, path)
        launchers = {**_launcher.OPTIONS, **_parallel_launcher.OPTIONS}
        sweepers = {**_sweeper.OPTIONS, **_search_sweeper.options()}
        self.options: dict[str, Any] = {
            **{f"hydra/launcher/{name}": node for name, node in launchers.items()},
            **{f"hydra/sweeper/{name}": node for name, node in sweepers.items()},
        }

    @staticmethod
    def scheme() -> str:
        return "jepa_lab"

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        node = self.options.get(_without_ending(config_path))
        if node is None:
            raise ConfigLoadError(f"Config not found : {config_path}")
        return OwnOption(
            provider=self.provider,
            path=self.full_path(),
            config=OmegaConf.structured(node),
            header={"package": None},
        )

    def is_group(self, config_path: str) -> bool:
        return any(name.startswith(_as_group(config_path)) for name in self.options)

    def is_config(self, config_path: str) -> bool:
        return _without_ending(config_path) in self.options

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group = _as_group(config_path)
        rests = [name.removeprefix(group) for name in self.options if name.startswith(group)]
        groups = {rest.partition("/")[0] for rest in rests if "/" in rest}
        configs = {rest for rest in rests if "/" not in rest}
        if results_filter == ObjectType.GROUP:
            return sorted(groups)
        return sorted(configs if results_filter == ObjectType.CONFIG else groups | configs)


def _as_group(path: str) -> str:
    return f"{path.rstrip('/')}/" if path.strip("/") else ""


def _without_ending(path: str) -> str:
    return path.rstrip("/").removesuffix(".yaml")


PLUGINS: tuple[type[Plugin], ...] = (
    AuxFolder,
    OwnOptions,
    _launcher.SequentialLauncher,
    _launcher.CheckLauncher,
    _parallel_launcher.JoblibLauncher,
    _parallel_launcher.SubmititLocalLauncher,
    _parallel_launcher.SubmititSlurmLauncher,
    _sweeper.CheckedSweeper,
    _sweeper.AuxComparisonSweeper,
    _search_sweeper.SearchSweeper,
)
