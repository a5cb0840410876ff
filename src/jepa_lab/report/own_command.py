"""The next commands to run: the run's own command line, rebuilt from its config.yaml, with a change.

Composing with Hydra takes a part of a second and no torch; every command has been composed and checked before it is
shown.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from jepa_lab.config.groups import conf_dir, options_of
from jepa_lab.config.tree import leaves
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import changes_for, resolved, value_of
from jepa_lab.diagnosis.verdict import NO_FAILURE
from jepa_lab.errors import UserError
from jepa_lab.ledger.identity import counted_part
from jepa_lab.report.own_arc_command import arc_words, aux_word, text_of
from jepa_lab.studies.arc.remedies import of_arc

# the group and the key that names its option
GROUPS = {
    **{name: f"{name}.name" for name in ("recipe", "tier", "dataset", "target", "encoder", "optim", "precision")},
    **{f"model/{name}": f"model.{name}" for name in ("aggregator", "predictor")},
}
# derived, or of this machine, or of what happens around a run
LEFT_OUT = (
    *("name", "hardware", "logger", "monitor", "on_existing", "sweep", "gates", "experiment_gates", "expected"),
    *("diagnosis", "max_wall_s", "dataset.tiers", "target.tau", "recipe"),
)
DERIVED = ("name", "recipe", "target.tau", "monitor.best", "monitor.every_epochs")  # config.yaml has what they became
MOST = 4
ONE_RUN = "hydra.mode=RUN"


def next_commands(
    config: Mapping[str, Any], findings: Sequence[Finding], run_dir: Path, state: str = "completed"
) -> list[str]:
    """Command lines to try, the likeliest first; for a run without failures more seeds and the frozen evaluation, or
    where it has not come to its end its own line, which goes on. For a failing run of the ARC study the last line
    starts the investigation."""
    words = own_words(config)
    evaluation = f"python -m jepa_lab.evaluate {shlex.quote(str(run_dir))}"
    investigation = f"python -m jepa_lab.diagnose {shlex.quote(str(run_dir))} --investigate"
    if not words:
        return [investigation] if findings and of_arc(config) else []
    if not findings and state in ("killed", "stopped", "failed"):
        return [_line(going_on(config, words))]
    if not findings and state == "running":
        return []
    if not findings and of_arc(config):
        return [_line(_seeds(going_on(config, words), config), "-m")]
    if not findings and _sweeps_by_itself(words[0]):
        return [evaluation]  # its seeds are those of its sweep
    if not findings:
        return [_line(_seeds(going_on(config, words), config), "-m"), evaluation]
    lines = _tried(words, config, findings)
    failing = any(finding.status not in NO_FAILURE for finding in findings)
    return [*lines, investigation] if of_arc(config) and failing else lines


def _tried(words: list[str], config: Mapping[str, Any], findings: Sequence[Finding]) -> list[str]:
    """The run's own line with a change each, those that compose."""
    lines: list[str] = []
    for finding in findings:
        for change in changes_for(finding, config):
            overrides = resolved(change, config)
            if not overrides or any(" " in word for word in overrides):
                continue
            line = _line(_with(words, overrides))
            if line not in lines and composed(_with(words, overrides)) is not None:
                lines.append(line)
            if len(lines) == MOST:
                return lines
    return lines


def command_lines(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The line that makes each run, to go on or to make again; "" where its experiment is unknown here.

    Configurations that differ in nothing but the seed are composed once.
    """
    known: dict[str, list[str]] = {}
    lines = []
    for config in configs:
        family = json.dumps({k: v for k, v in config.items() if k != "seed"}, sort_keys=True, default=str)
        if family not in known:
            words = own_words(config)
            known[family] = going_on(config, words) if words else []
        seed = [f"seed={config['seed']}"] if isinstance(config.get("seed"), int) else []
        lines.append(_line(_with(known[family], seed)) if known[family] else "")
    return lines


def _seeds(words: list[str], config: Mapping[str, Any]) -> list[str]:
    own = config.get("seed")
    first = own if isinstance(own, int) else 0
    return _with(words, [f"seed={','.join(str(first + i) for i in range(3))}"])


def own_words(config: Mapping[str, Any]) -> list[str]:
    """The overrides that compose to this configuration; [] if its experiment or one of its arms is unknown here."""
    if config.get("study") == "arc":
        exact = arc_words(config)
        return exact if composed(exact) is not None else []
    name = config.get("name")
    words = [f"+experiment={name}"]
    plain = composed(words) if isinstance(name, str) else None
    if plain is None:
        return []
    for group, key in GROUPS.items():
        name = value_of(config, key)
        if isinstance(name, str) and name != value_of(plain, key):
            tried = composed([*words, f"{group}={name}"])
            if tried is not None:
                words, plain = [*words, f"{group}={name}"], tried
    aux = config.get("aux")
    arms = list(aux) if isinstance(aux, Mapping) else []
    if arms != list(plain.get("aux") or {}):
        words = [*words, aux_word(config)]
        tried = composed(words)
        if tried is None:  # a loss of somebody's own: a line without it would make another run
            return []
        plain = tried
    if value_of(config, "loss.form") not in (None, value_of(plain, "loss.form")):
        words, plain = _loss_group(words, plain, config)
    settled = dict(leaves(plain))
    derived = "loss.lambda_rate" if "coding_rate" in arms else None  # from the arm's weight
    changed = [
        (k, v) for k, v in leaves(config) if k in settled and settled[k] != v and not _left_out(k) and k != derived
    ]
    exact = [*words, *(f"{key}={text_of(value)}" for key, value in changed)]
    return exact if composed(exact) is not None else words


def going_on(config: Mapping[str, Any], words: list[str]) -> list[str]:
    """The words with all else that makes the run the same one, as the number of threads: they continue it."""
    plain = dict(leaves(composed(words) or {}))
    own = [(k, v) for k, v in leaves(counted_part(config)) if k in plain and plain[k] != v and k not in DERIVED]
    exact = [*words, *(f"{key}={text_of(value)}" for key, value in own)]
    return exact if composed(exact) is not None else words


def _loss_group(words: list[str], plain: dict[str, Any], config: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """With the option of the group loss that is nearest to the configuration; it has no name of its own there."""
    wanted = dict(leaves(config.get("loss", {})))
    best, found = -1, (words, plain)
    for option in options_of(conf_dir() / "loss"):
        tried = composed([*words, f"loss={option}"])
        same = -1 if tried is None else sum(tried["loss"].get(k) == v for k, v in wanted.items())
        if tried is not None and same > best:
            best, found = same, ([*words, f"loss={option}"], tried)
    return found


def composed(words: Sequence[str]) -> dict[str, Any] | None:
    """The checked configuration of these overrides as plain data; None if they do not compose."""
    return deepcopy(_composed(tuple(words)))


@lru_cache(maxsize=128)  # the same words are asked for on the way to several commands
def _composed(words: tuple[str, ...]) -> dict[str, Any] | None:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
    from jepa_lab.sweep.ladder import checked_rungs

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return asdict(checked_rungs(compose("config", list(words)))[-1])
    except (HydraException, OmegaConfBaseException, UserError):
        return None


def _with(words: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """The words with overrides in the place of those of the same key; a group's own keys go with their group."""
    keys = {word.partition("=")[0] for word in overrides}
    groups = tuple(f"{key}." for key in keys if "." not in key)
    kept = [w for w in words if w.partition("=")[0] not in keys and not (groups and w.startswith(groups))]
    return [*kept, *overrides]


def _line(words: Sequence[str], *flags: str) -> str:
    one = [ONE_RUN] if not flags and words and _sweeps_by_itself(words[0]) else []
    return " ".join(["python -m jepa_lab", *flags, *map(shlex.quote, [*words, *one])])


@lru_cache(maxsize=64)
def _sweeps_by_itself(experiment: str) -> bool:
    """Whether a line with this word is a sweep without -m, so that a single run has to be asked for."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        mode = compose("config", [experiment], return_hydra_config=True).hydra.mode
    return mode is not None and mode.name == "MULTIRUN"


def _left_out(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in LEFT_OUT) or key.endswith(".name")
