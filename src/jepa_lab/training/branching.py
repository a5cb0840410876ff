"""Branches: a run continued from one of its earlier states, with some settings changed.

A branch is an ordinary run. This module writes the folder that it resumes from: the rows of the
parent up to a state, and that state as last.ckpt, fitted to the settings of the branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from jepa_lab.callbacks.checkpoints import KEPT, read_checkpoint, write_checkpoint
from jepa_lab.callbacks.state_ring import RING, State, states_in
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.config.tree import flatten
from jepa_lab.errors import UserError
from jepa_lab.ledger.lock import lock
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.training.optimisation import learning_rate_factor

# settings that act at once when a run continues; a changed shape is refused all the same
HOT = (
    "aux",
    "branch",
    "dataset.epochs",
    "diagnosis",
    "early_stop",
    "experiment_gates",
    "expected",
    "figures",
    "gates",
    "keep",
    "logger",
    "loss",
    "max_wall_s",
    "model.dropout",
    "monitor",
    "on_existing",
    "optim.clip",
    "optim.lr",
    "optim.lr_min",
    "optim.schedule",
    "optim.warmup",
    "optim.warmup_epochs",
    "optim.weight_decay",
    "preflight",
    "recipe",
    "runs_dir",
    "seed",
    "sweep",
    "target",
    "tier",
    "vq",
)
SAVER = "Saver"
OTHER_DRAWS = 1000  # distance between the seeds of two draws


@dataclass(frozen=True)
class Fitted:
    """A state fitted to other settings, and remarks on what was carried over and what begins
    anew."""

    content: dict[str, Any]
    remarks: list[str]


def usable_states(checkpoints: Path) -> list[State]:
    """Returns the states from which a branch can start, the oldest first: those of the ring, and
    last.ckpt of an unfinished run."""
    states = states_in(checkpoints / RING)
    last = checkpoints / "last.ckpt"
    if last.is_file():
        content = _read(last)
        step = int(content["global_step"])
        if KEPT not in content and step not in [state.step for state in states]:
            states.append(State(step, last, False))
    return sorted(states)


def changed_keys(parent: JepaConfig, config: JepaConfig) -> list[str]:
    """Returns the keys in which two configurations differ, without the key `branch`."""
    one, other = (dict(flatten(asdict(c))) for c in (parent, config))
    keys = [k for k in sorted(one.keys() | other.keys()) if one.get(k) != other.get(k)]
    return [key for key in keys if not key.startswith("branch.")]


def seed_of_draw(parent: JepaConfig, draw: int) -> list[str]:
    """Returns the override that gives a draw its seed, none for the first, whose seed is that of
    the parent."""
    return [f"seed={parent.seed + OTHER_DRAWS * draw}"] if draw else []


def is_hot(key: str) -> bool:
    """Returns whether a setting acts at once when a run continues."""
    return any(key == hot or key.startswith(f"{hot}.") for hot in HOT)


def require_hot(changed: list[str]) -> None:
    """Raises UserError for a setting that cannot change in the middle of a run."""
    for key in changed:
        if not is_hot(key):
            raise UserError(
                f"{key} cannot change in the middle of a run: its state would not fit; --at 0 asks"
                " from the start"
            )


def prepare_branch(
    home: RunDir, parent: Path, state: State, config: JepaConfig, modules: tuple[nn.Module, Any]
) -> list[str]:
    """Writes the folder from which the branch resumes, and returns remarks on its state. Does
    nothing if the folder has a checkpoint already.

    `modules` are those of the parent and of the branch, as initialised. Raises UserError for a
    state that does not fit, and for a parent whose metrics are not those of the state.
    """
    if (home.checkpoints / "last.ckpt").exists() or home.status() is not None:
        return []
    content = _read(state.path)
    fitted = fit_state(content, *modules, config)
    fitted.content["callbacks"][SAVER] = {
        **content["callbacks"][SAVER],
        "run_id": home.run_id,
        "best": None,
        "best_step": -1,
    }
    saved = content["callbacks"][SAVER]["ledger"]
    rows = ParquetLedger.load(parent / "metrics.parquet")
    rows.require(saved, state.step)
    with lock(home.make()):
        ledger = ParquetLedger(home.metrics_path)
        ledger.extend(rows.table().slice(0, saved["rows"]))
        ledger.fold()
        write_checkpoint(home.checkpoints / "last.ckpt", fitted.content)
    return fitted.remarks


def fit_state(content: Mapping[str, Any], old: nn.Module, new: Any, config: JepaConfig) -> Fitted:
    """Returns the state of a run with module `old` as a state of module `new`.

    Weights go by name. An average that the old run lacks starts at its source. Other weights that
    it lacks start as initialised. The optimiser's moments go with their weights. Rates, decay and
    schedule are those of `config`. Raises UserError if a weight has another shape.
    """
    remarks: list[str] = []
    weights, found = new.state_dict(), content["state_dict"]
    for name, value in found.items():
        if name in weights and isinstance(value, Tensor) and value.shape != weights[name].shape:
            raise UserError(
                f"{name} is {tuple(value.shape)} in the run and {tuple(weights[name].shape)} in the"
                " branch: that cannot change in the middle of a run; --at 0 asks from the start"
            )
    shared = {name: value for name, value in found.items() if name in weights}
    new.load_state_dict(shared, strict=False)
    lacking = weights.keys() - shared.keys()
    began = set()
    for average, source in getattr(new, "ema_pairs", []):
        names = _names_of(new, average)
        if names & lacking:
            average.load_state_dict(source.state_dict(), strict=False)
            began |= names
            remarks.append("the average starts at the encoder of this step")
    if lacking - began:
        remarks.append(f"as initialised: {_summary(lacking - began)}")
    if found.keys() - weights.keys():
        remarks.append(f"dropped: {_summary(found.keys() - weights.keys())}")
    fitted = {**content, "state_dict": new.state_dict(), "callbacks": dict(content["callbacks"])}
    _fit_optimiser(fitted, content, old, new, config)
    return Fitted(fitted, remarks)


def _fit_optimiser(
    fitted: dict[str, Any], content: Mapping[str, Any], old: nn.Module, new: Any, config: JepaConfig
) -> None:
    """Replaces the states of optimiser and schedule by those for the module of the branch."""
    made = new.configure_optimizers()
    state = made["optimizer"].state_dict()
    before = content["optimizer_states"][0]["state"]
    by_name = {name: before[i] for i, name in enumerate(_optimised(old)) if i in before}
    names = _optimised(new)
    state["state"] = {i: by_name[name] for i, name in enumerate(names) if name in by_name}
    (schedule,) = content["lr_schedulers"]
    factor = learning_rate_factor(int(schedule["last_epoch"]), new.steps, config.optim)
    for group in state["param_groups"]:
        group["initial_lr"], group["lr"] = config.optim.lr, config.optim.lr * factor
    rates = [group["lr"] for group in state["param_groups"]]
    fitted["optimizer_states"] = [state]
    fitted["lr_schedulers"] = [
        {**schedule, "base_lrs": [config.optim.lr] * len(rates), "_last_lr": rates}
    ]


def _optimised(module: Any) -> list[str]:
    """Returns the names of the parameters in the order of the optimiser's state."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    optimiser = module.configure_optimizers()["optimizer"]
    return [names[id(p)] for group in optimiser.param_groups for p in group["params"]]


def _names_of(module: nn.Module, part: nn.Module) -> set[str]:
    """Returns the names in the module's state of the tensors of one part."""
    place = next((name for name, child in module.named_modules() if child is part), None)
    return set() if place is None else {f"{place}.{name}" for name in part.state_dict()}


def _summary(names: Any) -> str:
    tops = sorted({".".join(name.split(".")[:2]) for name in names})
    return ", ".join(tops[:4]) + (f" and {len(tops) - 4} more" if len(tops) > 4 else "")


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path)
    except ValueError as error:
        raise UserError(f"{path}: not a state that can be read ({error})") from error
