"""The groups of conf/ and their options, read from its files alone."""

from __future__ import annotations

from pathlib import Path

import yaml

AUX_FOLDER = "aux_loss"  # of the group aux: Windows cannot check out a folder of that name


def conf_dir() -> Path:
    """The folder of configurations: beside the package when installed, at the top of a checkout."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "conf", here.parents[1] / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise RuntimeError(f"conf/ not found beside {here} or at {here.parents[1]}")


def first_comment(path: Path) -> str:
    """The text of a YAML file's first comment, directives such as `# @package` left out."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("# @"):
            continue
        return text.lstrip("# ") if text.startswith("#") else ""
    return ""


def options_of(folder: Path) -> list[str]:
    """The names of a group's options; files that begin with an underscore are shared parts."""
    return sorted(p.stem for p in folder.glob("*.yaml") if not p.name.startswith("_"))


def groups_of(conf: Path) -> list[str]:
    """The groups, as they are written on the command line; one within another is
    `model/aggregator`."""
    folders = (
        p.relative_to(conf).as_posix() for p in conf.rglob("*") if p.is_dir() and options_of(p)
    )
    return sorted("aux" if folder == AUX_FOLDER else folder for folder in folders)


def folder_of(conf: Path, group: str) -> Path:
    """The folder of a group's options, which bears its name, except that of `aux`."""
    return conf / (AUX_FOLDER if group == "aux" else group)


def keys_of(conf: Path) -> set[str]:
    """The keys at the top of every configuration: the groups, and what config.yaml sets itself."""
    content = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    return {group.partition("/")[0] for group in groups_of(conf)} | {str(key) for key in content}
