"""The groups of conf/ and their options, read from the files only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

AUX_FOLDER = "aux_loss"  # folder of the group aux: Windows cannot check out a folder named aux


def conf_dir() -> Path:
    """Returns the configuration folder: in the installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "conf", here.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise RuntimeError(f"conf/ not found beside {here} or at {here.parents[1]}")


def experiment_content(name: str) -> Any:
    """Returns the content of conf/experiment/NAME.yaml. Raises OSError for a missing file and
    YAMLError for an invalid one."""
    path = conf_dir() / "experiment" / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def first_comment(path: Path) -> str:
    """Returns the text of a YAML file's first comment, skipping directives such as `# @package`."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("# @"):
            continue
        return text.lstrip("# ") if text.startswith("#") else ""
    return ""


def options_of(folder: Path) -> list[str]:
    """Returns the names of a group's options. Files that begin with an underscore are shared parts,
    not options."""
    return sorted(p.stem for p in folder.glob("*.yaml") if not p.name.startswith("_"))


def groups_of(conf: Path) -> list[str]:
    """Returns the groups as written on the command line. A nested group is `model/aggregator`."""
    folders = (
        p.relative_to(conf).as_posix() for p in conf.rglob("*") if p.is_dir() and options_of(p)
    )
    return sorted("aux" if folder == AUX_FOLDER else folder for folder in folders)


def folder_of(conf: Path, group: str) -> Path:
    """Returns the folder of a group's options. It has the name of the group, except for `aux`."""
    return conf / (AUX_FOLDER if group == "aux" else group)


def keys_of(conf: Path) -> set[str]:
    """Returns the top-level keys of every configuration: the groups and the keys of config.yaml."""
    content = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    return {group.partition("/")[0] for group in groups_of(conf)} | {str(key) for key in content}
