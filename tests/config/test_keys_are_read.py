"""No key of conf/ is ignored: the code reads its value, or the value changes another key that is
read."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from test_arc_keys_are_read import located as located_in_arc

from jepa_lab.config import schema
from jepa_lab.config.groups import AUX_FOLDER, conf_dir, folder_of, groups_of, options_of
from jepa_lab.studies import checked
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.linear_byol.config import ToyConfig
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config

PACKAGE = str(Path(schema.__file__).parents[1])
NOT_READING = ("validate", "validate_run", "check", "__init__", "__eq__", "__repr__")
# read when the configuration is composed: key -> the key that it changes
COMPOSED = {
    "recipe.lambda_rate": "loss.lambda_rate",
    "dataset.tiers": "dataset.epochs",
    "dataset.seq_len": "dataset.n_views",
    "optim.warmup_epochs": "optim.warmup",
    "dataset.usual_first_view": "dataset.first_view",
    "experiment_gates": "gates.class_gap_min",
}
# read by the command line, before or instead of train(); see tests/sweep
BY_THE_COMMAND = {"sweep.fail_fast", "sweep.control", "sweep.report", "sweep.results"}
BY_THE_COMMAND |= {"sweep.references", "sweep.objective"}
BY_THE_COMMAND |= {f"sweep.tuning.{key}" for key in ("weights", "span", "seeds", "metric")}
TOYS = [  # together they use every key of the toy
    ["lr_enc_mode=ratio", "seed=1", "batch_size=4", "ema_m=0", "stop_gradient=false"],
    [
        "lr_enc_mode=from_tau",
        "lr_pred=1e-3",
        "enc=mlp",
        "pred=mlp",
        "hidden=4",
        "seeds=[1]",
        "batch_sizes=[4]",
    ],
    [
        "lr_enc_mode=auto",
        "auto_c_logspace=[0.1,1,2]",
        "seeds=[1]",
        "population=true",
        "batch_size=4",
    ],
    [
        "lr_enc=1e-3",
        "lr_pred_logspace=null",
        "enc_init=perturbed",
        "enc_init_scale=0.2",
        "seeds=[1]",
    ],
]
# names of the selected options, for people and for the identity of a run
LABELS = {"model.name", "hardware.name"}
PROJECTED = [
    f"aux.{arm}.proj_{which}_dim=8"
    for arm in ("barlow_twins", "sigreg")
    for which in ("hidden", "output")
]
CLASSES = "._target_"  # read before the object exists, to select its class


def keys_of_conf() -> set[str]:
    """Returns every key that an option of a group or config.yaml sets."""
    found: set[str] = set()

    def walk(node: Any, prefix: str) -> None:
        for key, value in node.items():
            path = f"{prefix}{key}"
            if (
                path in ("defaults", "hydra")
                or path.startswith("expected")
                or path.endswith(".defaults")
            ):
                continue
            if value is None and path in (*Config.groups, *ArcConfig.groups):
                continue  # null: the study has no such group
            if (
                isinstance(value, dict)
                and value
                and path not in ("dataset.tiers", "experiment_gates")
            ):
                walk(value, f"{path}.")
            else:
                found.add(path)

    for path in conf_dir().rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        group = path.parent.name.replace(AUX_FOLDER, "aux") if path.parent != conf_dir() else ""
        content = yaml.safe_load(text) or {}
        package = re.search(r"^# @package ([\w.]+)", text)
        group = package[1].replace("_global_", "") if package else group
        walk(content, f"{group}." if group else "")
    return found - {"expected"}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Collects (class, field) of every field of the configuration that our code reads, except in
    the checks of the schema."""
    seen: set[tuple[str, str]] = set()

    def recording(self: Any, name: str) -> Any:
        frame = sys._getframe(1)
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE) and code.co_name not in NOT_READING:
            seen.add((type(self).__name__, name))
        return object.__getattribute__(self, name)

    for kind in {type(part) for part in (*parts(Config()), *parts(ToyConfig()), *arms().values())}:
        monkeypatch.setattr(kind, "__getattribute__", recording, raising=False)
    return seen


def arms() -> dict[str, Any]:
    """Returns the checked options of every auxiliary loss."""
    every = ",".join(name for name in options_of(folder_of(conf_dir(), "aux")) if name != "none")
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return checked(compose("config", ["+experiment=seq_jepa_baseline", f"aux=[{every}]"])).aux


def parts(config: Any) -> Iterator[Any]:
    yield config
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            yield from parts(value)


def test_every_key_in_conf_is_read(
    make_config: Callable[..., Config], reads: set[tuple[str, str]], tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images)
    own = [
        "dataset=npz",
        f"dataset.path={tmp_path / 'own.npz'}",
        "encoder=resnet_small",
        "model=seq_jepa_small",
    ]
    short = ["dataset.epochs=1", "dataset.train_size=128", "max_wall_s=600"]
    for experiment, overrides in [
        ("seq_jepa_baseline", [f"aux=[{','.join(arms())}]", *PROJECTED]),
        ("teacherless_b", ["dataset=digits_affine"]),
        ("teacherless_a", [*own, "logger=wandb"]),
        ("supervised", []),
        ("teacherless_e", ["model/predictor=crate"]),
        ("teacherless_d", ["target=ema"]),
    ]:
        train(make_config(*short, *overrides, experiment=experiment))
    for overrides in TOYS:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            base = ["epochs=2", "figures=false", f"runs_dir={tmp_path}", "max_wall_s=600"]
            train(checked(compose("config", ["+experiment=linear_byol_sweep", *base, *overrides])))
    kinds = {
        type(part).__name__: path for path, part in (*located(Config()), *located(ToyConfig()))
    }
    kinds |= {type(arm).__name__: f"aux.{name}." for name, arm in arms().items()}
    read = {f"{kinds[kind]}{name}" for kind, name in reads if kind in kinds}
    of_arc = arc_keys() - {
        f"{path}{f.name}" for path, part in located(Config()) for f in dataclasses.fields(part)
    }
    known = read | BY_THE_COMMAND | LABELS | COMPOSED.keys() | of_arc
    unread = {
        key
        for key in keys_of_conf() - known
        if not key.endswith(CLASSES) and key.rpartition(".")[0] not in of_arc
    }
    assert not unread, " ".join(sorted(unread))
    # this shows that `read` does not contain unread keys
    assert not (LABELS | BY_THE_COMMAND) & read


def arc_keys() -> set[str]:
    """Returns the keys of the ARC study. test_arc_keys_are_read.py shows that they are read."""
    return {
        f"{path}{f.name}"
        for path, kind in located_in_arc(ArcConfig())
        for f in dataclasses.fields(kind)
    }


def located(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    yield prefix, config
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            yield from located(value, f"{prefix}{f.name}.")


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("recipe.lambda_rate=0.5", ("loss.lambda_rate", 0.5)),
        ("dataset.tiers.quick.epochs=7", ("dataset.epochs", 7)),
        ("dataset.seq_len=2", ("dataset.n_views", 3)),
        ("dataset.usual_first_view=random", ("dataset.first_view", "random")),
        ("optim.warmup_epochs=6", ("optim.warmup", 0.1)),
        ("+experiment_gates.digits_rot.quick.class_gap_min=0.5", ("gates.class_gap_min", 0.5)),
    ],
)
def test_a_key_that_is_read_by_another_key_changes_it(
    override: str, changed: tuple[str, Any]
) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg: DictConfig = compose("config", ["+experiment=teacherless_b", override])
    assert OmegaConf.select(OmegaConf.structured(checked(cfg)), changed[0]) == changed[1]
    assert changed[0] in COMPOSED.values()


def test_every_key_of_the_schema_is_set_somewhere_in_conf_or_has_a_default() -> None:
    known = keys_of_conf()
    for prefix, part in located(Config()):
        for f in dataclasses.fields(part):
            has_default = f.default is not dataclasses.MISSING and f.default != "???"
            made = f.default_factory is not dataclasses.MISSING
            assert has_default or made or f"{prefix}{f.name}" in known, (
                f"{prefix}{f.name} is set nowhere"
            )


def test_options_share_their_keys_with_the_schema() -> None:
    assert {"aux", "dataset", "encoder", "loss", "model", "optim", "target", "tier"} <= set(
        groups_of(conf_dir())
    )
