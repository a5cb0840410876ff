"""Data sets of the library `datasets`: a local one, written here, is read as the arrays that it was
made from, in memory and from a cache."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab.data.images import hf_images
from jepa_lab.data.images.image_source import load_splits
from jepa_lab.data.images.streaming import StreamedImages, Streaming
from jepa_lab.data.stored_images import require_local
from jepa_lab.errors import UserError, to_install

Command = Callable[..., tuple[int, str, str]]
NAMES = ["cat", "ape", "bee"]
SIZES = {"train": 40, "validation": 8, "test": 12}


def test_a_missing_library_is_one_line_with_how_to_install_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    code, _, err = command("+experiment=teacherless_b", "dataset=hf", "dataset.path=mine")
    assert code == 2
    assert "needs the package datasets" in err
    assert err.endswith(f"{to_install('datasets')}\n")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["dataset=hf"], "dataset.path is missing: the folder of a data set, or its name on the"),
        (["dataset=hf", "dataset.path=x", "dataset.root=y"], "dataset=hf reads no folder"),
        (["+dataset.image_column=x"], "dataset.image_column=x: only dataset=hf reads it"),
    ],
)
def test_a_key_that_is_wrong_is_one_line(given: list[str], line: str, command: Command) -> None:
    code, _, err = command("+experiment=teacherless_b", *given)
    assert code == 2
    assert line in err
    assert len(err.splitlines()) == 1


def test_a_check_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    require_local(str(tmp_path))
    with pytest.raises(UserError, match="a run may download it, a check does not"):
        require_local("someone/pictures")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    require_local("someone/pictures")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield pytest.importorskip("datasets", reason="the extra datasets is not installed")


def pixels(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)


def encoded(image: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def write(library: Any, top: Path, names: tuple[str, ...] = tuple(SIZES), **more: Any) -> str:
    """Writes splits with the columns picture and kind, and columns with one value of each."""
    tables = {}
    for name in names:
        n = SIZES[name]
        columns = {
            "picture": [encoded(x) for x in pixels(n, seed=n)],
            "kind": [i % 3 for i in range(n)],
            **{key: [values[i % len(values)] for i in range(n)] for key, values in more.items()},
        }
        table = library.Dataset.from_dict(columns).cast_column("picture", library.Image())
        tables[name] = table.cast_column("kind", library.ClassLabel(names=NAMES))
    library.DatasetDict(tables).save_to_disk(str(top / "set"))
    return str(top / "set")


def expected(n: int) -> tuple[torch.Tensor, list[int]]:
    """Images and labels, whose classes are in the order of their names."""
    order = [sorted(NAMES).index(x) for x in NAMES]
    return torch.from_numpy(pixels(n, seed=n)).permute(0, 3, 1, 2), [order[i % 3] for i in range(n)]


@pytest.mark.parametrize("memory_gb", [2.0, 0.0])
def test_images_and_labels_are_those_of_the_data_set(
    memory_gb: float, library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(library, tmp_path)
    streaming = Streaming(memory_gb, str(tmp_path / "cache"))
    for begins in (True, False):
        found = load_splits("hf", path=path, image_size=8, streaming=streaming)
        assert isinstance(found.train.images, StreamedImages) == (memory_gb == 0.0)
        for name, n in (("train", 40), ("val", 8), ("test", 12)):
            images, labels = expected(n)
            part = getattr(found, name)
            assert torch.equal(part.images[:], images)
            assert part.labels.tolist() == labels
        assert found.train.class_names == ("ape", "bee", "cat")
        if begins and memory_gb == 0.0:
            monkeypatch.setattr(hf_images.HfImages, "image", lambda *_: pytest.fail("decoded"))


def test_missing_splits_are_held_out_and_sizes_are_drawn_before_an_image_is_decoded(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, decoded, image = write(library, tmp_path, ("train",)), [], hf_images.HfImages.image

    def counting(source: Any, row: int) -> torch.Tensor:
        decoded.append(row)
        return image(source, row)

    monkeypatch.setattr(hf_images.HfImages, "image", counting)
    found = load_splits("hf", path=path, image_size=8, train_size=5)
    assert [len(x.images) for x in vars(found).values()] == [
        5,
        4,
        3,
    ]  # a tenth of those that are left
    assert len(decoded) == len(set(decoded)) == 12


def test_a_folder_of_files_is_read(library: Any, tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / "files" / "train" / label).mkdir(parents=True)
        for i, image in enumerate(pixels(10, seed=ord(label))):
            Image.fromarray(image).save(tmp_path / "files" / "train" / label / f"{i}.png")
    found = load_splits("hf", path=str(tmp_path / "files"), image_size=8)
    assert [len(x.images) for x in vars(found).values()] == [17, 2, 1]
    assert found.train.class_names == ("a", "b")


def test_a_split_whose_labels_are_hidden_is_not_used(
    library: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = library.load_from_disk(write(library, tmp_path))
    hidden = tables["test"].map(lambda row: {"kind": -1})
    library.DatasetDict({**tables, "test": hidden}).save_to_disk(str(tmp_path / "other"))
    found = load_splits("hf", path=str(tmp_path / "other"), image_size=8)
    assert "no image of test has a label; the split is not used" in capsys.readouterr().err
    assert [len(x.images) for x in vars(found).values()] == [36, 8, 4]


@pytest.mark.parametrize("column", ["none", "kind", "number", None])
def test_a_label_column_is_named_or_found(column: str | None, library: Any, tmp_path: Path) -> None:
    path = write(library, tmp_path, number=[5, 6])
    found = load_splits("hf", path=path, image_size=8, label_column=column)
    classes = {"none": 0, "kind": 3, "number": 2, None: 3}
    assert found.train.n_classes == classes[column]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"image_column": "x"}, "dataset.image_column=x: .* no such column; it has picture, kind"),
        ({"label_column": "x"}, "dataset.label_column=x: .* no such column"),
        ({"image_column": "kind"}, "columns of images are picture; give one of them"),
        ({"label_column": "note"}, "train labels: '' in row 0 is an empty string"),
        ({"label_column": "part"}, "image 1 of train has no label in part; label all"),
        ({"path": "nowhere"}, "dataset.path=nowhere: no data set that can be opened"),
    ],
)
def test_what_does_not_fit_is_one_line(
    given: dict[str, Any], line: str, library: Any, tmp_path: Path
) -> None:
    path = write(library, tmp_path, note=[""], part=["a", None])
    with pytest.raises(UserError, match=line):
        load_splits("hf", **{"path": path, "image_size": 8, **given})


def test_two_columns_of_images_or_of_classes_need_a_choice(library: Any, tmp_path: Path) -> None:
    tables = library.load_from_disk(write(library, tmp_path))
    two = {name: table.add_column("fine", table["kind"]) for name, table in tables.items()}
    two = {x: t.cast_column("fine", library.ClassLabel(names=NAMES)) for x, t in two.items()}
    library.DatasetDict(two).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(UserError, match="several columns of classes, kind, fine; choose one"):
        load_splits("hf", path=str(tmp_path / "two"), image_size=8)
    assert load_splits("hf", path=str(tmp_path / "two"), label_column="fine").train.n_classes == 3


@pytest.mark.parametrize("memory_gb", [2.0, 0.0])
def test_an_image_that_cannot_be_decoded_is_named(
    memory_gb: float, library: Any, tmp_path: Path
) -> None:
    rows = [encoded(x) for x in pixels(40, seed=0)]
    rows[17] = {"bytes": rows[17]["bytes"][:60], "path": None}
    table = library.Dataset.from_dict({"picture": rows}).cast_column("picture", library.Image())
    table.save_to_disk(str(tmp_path / "set"))
    with pytest.raises(UserError, match="image 17 of train is not a readable image"):
        load_splits(
            "hf",
            path=str(tmp_path / "set"),
            streaming=Streaming(memory_gb, str(tmp_path / "cache")),
        )


def test_a_run_trains_on_a_data_set(library: Any, tmp_path: Path, command: Command) -> None:
    small = ["encoder=resnet_small", "encoder.widths=[8]", "model=seq_jepa_small", "tier=smoke"]
    code, out, err = command(
        "+experiment=teacherless_b",
        "dataset=hf",
        f"dataset.path={write(library, tmp_path)}",
        *small,
        "dataset.image_size=8",
        "hardware.threads=1",
        "preflight=off",
    )
    assert code == 0, err
    assert "verdict" in out.lower() + err.lower()
    assert len(list((tmp_path / "runs").rglob("summary.json"))) == 1
