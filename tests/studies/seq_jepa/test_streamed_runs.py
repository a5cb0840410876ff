"""A run whose images are streamed is the run whose images are in memory: the same identity, and to
the bit the same weights and metrics, also if it is killed and resumed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jepa_lab.studies import find
from killed_runs import difference, finish, start, state_of

Command = Callable[..., tuple[int, str, str]]
TINY = [
    *("tier=smoke", "hardware=cpu", "hardware.threads=1", "dataset.epochs=2", "preflight=off"),
    *("dataset.batch_size=16", "dataset.train_size=60", "dataset.val_size=20"),
    *("encoder=resnet_small", "model=seq_jepa_small", "encoder.widths=[8,16]", "model.depth=1"),
    *("monitor.save_every_s=0", "keep=all"),
    *("dataset.image_size=12", "figures=never", "monitor.log_every=1"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("images")
    images = np.random.default_rng(0).integers(0, 256, (140, 14, 12, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        path = top / f"c{i % 3}" / f"{i:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return top


def overrides(folder: Path, cache: Path, memory_gb: float) -> list[str]:
    return [
        *("dataset=folder", f"dataset.root={folder}", *TINY),
        *(f"dataset.memory_gb={memory_gb}", f"dataset.cache={cache}"),
    ]


@pytest.fixture(scope="module")
def in_memory(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("in_memory")
    run = finish(top, overrides(folder, top / "cache", 2.0))
    assert not (top / "cache").exists()
    return run


def test_a_streamed_run_is_the_run_in_memory(folder: Path, in_memory: Path, tmp_path: Path) -> None:
    run = finish(tmp_path, overrides(folder, tmp_path / "cache", 0.0))
    assert (tmp_path / "cache").is_dir()
    assert run.name == in_memory.name
    assert difference(state_of(run), state_of(in_memory)) is None


@pytest.mark.parametrize("point", ["a training batch", "a validation"])
def test_a_streamed_run_that_is_killed_and_resumed_is_the_run_in_memory(
    point: str, folder: Path, in_memory: Path, tmp_path: Path
) -> None:
    given = overrides(folder, tmp_path / "cache", 0.0)
    process = start(tmp_path, given, point, nth=2 if point == "a validation" else 5)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    run = finish(tmp_path, given)
    assert run.name == in_memory.name
    assert difference(state_of(run), state_of(in_memory)) is None


def test_a_run_that_is_moved_into_the_cache_is_resumed(
    folder: Path, in_memory: Path, tmp_path: Path
) -> None:
    process = start(tmp_path, overrides(folder, tmp_path / "cache", 2.0), "a training batch", 5)
    process.join()
    run = finish(tmp_path, overrides(folder, tmp_path / "cache", 0.0))
    assert difference(state_of(run), state_of(in_memory)) is None


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["dataset.memory_gb=-1"], "dataset.memory_gb=-1.0: must be at least 0"),
        (["dataset=digits_rot", "+dataset.memory_gb=1"], "dataset=digits_rot keeps its images in"),
        (["dataset=digits_rot", "+dataset.cache=x"], "dataset.cache=x: dataset=digits_rot keeps"),
        (["dataset.cache=a_file"], "dataset.cache=a_file: cannot write"),
        (["dataset.cache={root}/c1"], "lies in the folder of the images"),
    ],
)
def test_a_key_that_is_wrong_is_one_line(
    given: list[str], line: str, folder: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "a_file").write_text("mine")
    own = [] if "dataset=digits_rot" in given else overrides(folder, tmp_path / "cache", 0.0)
    code, _, err = command(
        "+experiment=teacherless_b", *own, *(x.format(root=folder) for x in given)
    )
    assert code == 2
    assert line in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_the_preview_reads_a_streamed_set(
    folder: Path, tmp_path: Path, make_config: Callable[..., object]
) -> None:
    config = make_config(*overrides(folder, tmp_path / "cache", 0.0))
    assert find("seq_jepa").study.preview(config, 3) is not None
