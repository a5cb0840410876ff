"""No key of the ARC study is ignored: small runs read every field of its configuration."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lab.config import schema
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.dataset_config import ArcDatasetConfig, SyntheticConfig
from jepa_lab.studies.run import train

PACKAGE = str(Path(schema.__file__).parents[1])
NOT_READING = ("validate", "validate_run", "_validate_source", "_refuse_what_is_of_images")
# read when the configuration is composed or checked, or by the command line: see tests/config and
# tests/sweep
ELSEWHERE = {
    "dataset.tiers",
    "experiment_gates",
    "optim.warmup_epochs",
    "sweep.fail_fast",
    "sweep.control",
    "sweep.report",
    "sweep.results",
    "sweep.references",
    "sweep.objective",
    *(f"sweep.tuning.{key}" for key in ("weights", "span", "seeds", "metric")),
}
LABELS = {"model.name", "hardware.name"}
# keys of the image models: the ARC JEPA refuses any value except the neutral one
REFUSED = {
    "monitor.subspace",
    "monitor.sweep_every",
    "monitor.sweep_anchors",
    "monitor.rollout_steps",
    "hardware.channels_last",
    "hardware.compile",
}
RUNS: list[tuple[str, list[str]]] = [  # together they use every key
    (
        "arc_jepa",
        ["loss.invariance.color=0.1", "loss.relational.weight=0.1", "monitor.features_every=2"],
    ),
    (
        "arc_jepa",
        ["dataset.tokeniser=patches", "dataset.cache=cache", "dataset.variants=2", "vq.site=side"],
    ),
    ("arc_jepa", ["dataset=arc_agi1", "early_stop.patience=2", "logger=wandb"]),
    ("arc_jepa", ["dataset=arc_json", "dataset.path=tasks", "dataset.test_tasks=null"]),
    ("arc_sixth_run", ["loss.sigreg.weight=0.1"]),
    ("arc_gumbel", ["dataset.problem=frames", "dataset.n_frames=2"]),
    ("arc_fsq", ["loss=lejepa", "target=shared"]),
]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Collects (class, field) of every field that our code reads, except in the checks of the
    schema."""
    seen: set[tuple[str, str]] = set()

    def recording(self: Any, name: str) -> Any:
        frame = sys._getframe(1)
        if frame.f_code.co_filename == dataclasses.__file__:
            frame = handed_over(frame, self) or frame
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE) and code.co_name not in NOT_READING:
            seen.add((type(self).__name__, name))
        return object.__getattribute__(self, name)

    for _, kind in located(ArcConfig()):
        monkeypatch.setattr(kind, "__getattribute__", recording, raising=False)
    return seen


def handed_over(frame: Any, part: Any) -> Any:
    """Returns the frame of our code that passes this part itself to a constructor as keywords
    (asdict), or None."""
    while frame is not None and frame.f_code.co_filename == dataclasses.__file__:
        if frame.f_code.co_name == "asdict":
            return (
                frame.f_back
                if frame.f_locals.get("obj") is part and not isinstance(part, ArcConfig)
                else None
            )
        frame = frame.f_back
    return None


def located(config: Any, prefix: str = "") -> Iterator[tuple[str, type]]:
    """Yields (path, class) of the configuration and all its parts."""
    yield prefix, type(config)
    for f in dataclasses.fields(config):
        value = object.__getattribute__(config, f.name)
        if dataclasses.is_dataclass(value):
            yield from located(value, f"{prefix}{f.name}.")
    if isinstance(config, ArcDatasetConfig):
        yield f"{prefix}synthetic.", SyntheticConfig


def keys() -> set[str]:
    """Returns every key of the configuration that is not a group."""
    found = {
        f"{prefix}{f.name}"
        for prefix, kind in located(ArcConfig())
        for f in dataclasses.fields(kind)
    }
    return found - {prefix[:-1] for prefix, _ in located(ArcConfig())}


@pytest.fixture
def in_a_folder_with_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    for split, number in (("training", 12), ("evaluation", 8)):
        (tmp_path / "tasks" / split).mkdir(parents=True)
        for i in range(number):
            grids = draws.integers(0, 10, (3, 4, 4))
            pairs = [{"input": grid.tolist(), "output": grid.T.tolist()} for grid in grids]
            (tmp_path / "tasks" / split / f"{split}_{i}.json").write_text(
                json.dumps({"train": pairs[:2], "test": pairs[2:]})
            )


@pytest.mark.usefixtures("in_a_folder_with_tasks")
def test_every_key_of_the_arc_study_is_read(
    make_arc: Callable[..., ArcConfig], reads: set[tuple[str, str]]
) -> None:
    for experiment, overrides in RUNS:
        short = ["dataset.epochs=1", "max_wall_s=600", "monitor.gradients_every=1"]
        train(make_arc(*short, *overrides, experiment=experiment))
    where = {kind.__name__: prefix for prefix, kind in located(ArcConfig())}
    read = {f"{where[kind]}{name}" for kind, name in reads}
    unread = keys() - read - ELSEWHERE - LABELS - REFUSED
    assert not unread, " ".join(sorted(unread))
    seen = (
        LABELS | ELSEWHERE | REFUSED
    ) & read  # which shows that `read` does not contain unread keys
    assert not seen, " ".join(sorted(seen))


@pytest.mark.parametrize(
    "override",
    [
        "monitor.subspace=true",
        "monitor.sweep_every=3",
        "monitor.sweep_anchors=3",
        "monitor.rollout_steps=2",
        "hardware.channels_last=false",
        "hardware.compile=true",
        "target.bn_buffers=own_running",
    ],
)
def test_a_key_of_the_image_models_is_refused_and_not_ignored(
    override: str, make_arc: Callable[..., ArcConfig]
) -> None:
    from jepa_lab.errors import UserError

    with pytest.raises(UserError, match=override.partition("=")[0]):
        make_arc(override)
