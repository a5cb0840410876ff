"""The command line of an ARC run, rebuilt from its config.yaml: options of groups, then the keys that still differ.

Options of model, vq, loss and optim have no name of their own in a config.yaml: the one that leaves the fewest keys to
say is taken. Composed without checking, since an option may need the keys that follow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.config.tree import leaves
from jepa_lab.errors import UserError

NAMED = ("tier", "dataset", "target", "precision")
NAMELESS = ("model", "vq", "loss", "optim")
# of this machine, or of what happens around a run; `dataset.tiers` became the budget
LEFT_OUT = ("name", "study", "hardware", "logger", "monitor", "on_existing", "sweep", "gates", "experiment_gates",
            "expected", "diagnosis", "max_wall_s", "preflight", "dataset.tiers")  # fmt: skip


def arc_words(config: Mapping[str, Any]) -> list[str]:
    """The overrides that compose to this configuration, not checked; [] if its experiment or an arm is unknown here."""
    words = [f"+experiment={config.get('name')}"]
    plain = unchecked(words)
    if plain is None:
        return []
    for group in NAMED:
        option = (config.get(group) or {}).get("name")
        if option != plain[group]["name"]:
            tried = unchecked([*words, f"{group}={option}"])
            if tried is not None:
                words, plain = [*words, f"{group}={option}"], tried
    if list(config.get("aux") or {}) != list(plain.get("aux") or {}):
        words = [*words, aux_word(config)]
        tried = unchecked(words)
        if tried is None:  # a loss of somebody's own: a line without it would make another run
            return []
        plain = tried
    for group in NAMELESS:
        words, plain = _nearest(group, words, plain, config)
    derived = plain["target"]["tau"] is None and config.get("target", {}).get("name") == "ema"
    differing = [word for word in _differences(plain, config) if not (derived and word.startswith("target.tau="))]
    return [*words, *differing]


def aux_word(config: Mapping[str, Any]) -> str:
    """The arms of the group aux as they are typed: aux=none, aux=vicreg, aux=[vicreg,sigreg]."""
    aux = config.get("aux")
    arms = list(aux) if isinstance(aux, Mapping) else []
    return f"aux=[{','.join(arms)}]" if len(arms) > 1 else f"aux={arms[0] if arms else 'none'}"


def unchecked(words: Sequence[str]) -> dict[str, Any] | None:
    """What these overrides compose to, with types but without its checks, as plain data; None if they do not."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
    from jepa_lab.config.check import arc_structured

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            content = OmegaConf.to_container(arc_structured(compose("config", list(words))), resolve=True)
    except (HydraException, OmegaConfBaseException, UserError):
        return None
    return {str(key): value for key, value in content.items()} if isinstance(content, dict) else None


def text_of(value: Any) -> str:
    """A value as it is written behind `key=`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(text_of, value))}]"
    text = str(value)
    return f"'{text}'" if isinstance(value, str) and any(c in text for c in " ,=[]{}()'\"") else text


def _nearest(
    group: str, words: list[str], plain: dict[str, Any], config: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """With the option of the group that makes the line shortest, if any makes it shorter: it is a word itself."""
    fewest, found = _missing(plain, config, group) - 1, (words, plain)
    for option in options_of(conf_dir() / group) if fewest > 0 else []:
        tried = unchecked([*words, f"{group}={option}"])
        if tried is not None and _missing(tried, config, group) < fewest:
            fewest, found = _missing(tried, config, group), ([*words, f"{group}={option}"], tried)
    return found


def _missing(plain: Mapping[str, Any], config: Mapping[str, Any], group: str) -> int:
    return sum(word.startswith(f"{group}.") for word in _differences(plain, config))


def _differences(plain: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """key=value of everything that the configuration has otherwise."""
    settled = dict(leaves(plain))
    return [
        f"{key}={text_of(value)}"
        for key, value in leaves(config)
        if key in settled and settled[key] != value and not _left_out(key)
    ]


def _left_out(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in LEFT_OUT) or (
        key.endswith(".name") and key.partition(".")[0] in NAMED
    )
