"""The words of a comparison's command line before Hydra reads them: keys of arms that only some of its jobs have."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from jepa_lab.help import conf_dir

SWEEPER = "aux_comparison"


def words_for_comparison(words: Sequence[str]) -> list[str]:
    """`aux.vicreg.eps=1e-3` of a comparison as ++aux.vicreg.eps=1e-3: Hydra reads the line once without any arm, where
    that key does not exist. The jobs that have the arm get it as it was written, and are checked. Other lines stay."""
    if not is_comparison(words):
        return list(words)
    return [f"++{word}" if word.startswith("aux.") and "=" in word else word for word in words]


def is_comparison(words: Sequence[str]) -> bool:
    """Whether the line names the sweeper of the comparison, or an experiment of conf/ that does; not one single run of
    it (hydra.mode=RUN)."""
    if "hydra.mode=RUN" in words:
        return False
    if f"hydra/sweeper={SWEEPER}" in words:
        return True
    return any(_compares(word.partition("=")[2]) for word in words if word.startswith("+experiment="))


def _compares(experiment: str) -> bool:
    try:
        content = yaml.safe_load((conf_dir() / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False  # Hydra will say what is wrong with it
    defaults = content.get("defaults", []) if isinstance(content, dict) else []
    return any(
        entry.get("override /hydra/sweeper") == SWEEPER if isinstance(entry, dict)
        else entry != "_self_" and _compares(str(entry))
        for entry in defaults
    )  # fmt: skip
