"""Several taps in a file of any format, by their names: each is judged, and the worst is the
verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from jepa_lab.cli.diagnosing import report_on
from jepa_lab.diagnosis import diagnose_features
from jepa_lab.errors import UserError
from jepa_lab.files import limits
from jepa_lab.report.feature_files import read_feature_file

RNG = np.random.default_rng(0)
N = 120
H = RNG.normal(size=(N, 24)).astype(np.float32)
P = RNG.normal(size=(N, 8)).astype(np.float32)
LINE = (RNG.normal(size=(N, 1)) @ RNG.normal(size=(1, 8))).astype(np.float32)
LABELS = np.arange(N) % 4


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "f.npz", **arrays)
    return folder / "f.npz"


def pth(folder: Path, **arrays: Any) -> Path:
    torch.save({name: torch.from_numpy(x) for name, x in arrays.items()}, folder / "f.pth")
    return folder / "f.pth"


def safe(folder: Path, **arrays: Any) -> Path:
    tensors = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in arrays.items()}
    safetensors.torch.save_file(tensors, folder / "f.safetensors")
    return folder / "f.safetensors"


def hdf5(folder: Path, **arrays: Any) -> Path:
    with h5py.File(folder / "f.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip" if array.ndim > 1 else None)
    return folder / "f.h5"


def frame(**arrays: Any) -> pa.Table:
    return pa.table({name: x.tolist() if x.ndim > 1 else x for name, x in arrays.items()})


def parquet(folder: Path, **arrays: Any) -> Path:
    pq.write_table(frame(**arrays), folder / "f.parquet")
    return folder / "f.parquet"


def feathered(folder: Path, **arrays: Any) -> Path:
    feather.write_feather(frame(**arrays), folder / "f.feather", compression="zstd")
    return folder / "f.feather"


def arrow_stream(folder: Path, **arrays: Any) -> Path:
    table = frame(**arrays)
    with ipc.new_stream(folder / "f.arrow", table.schema) as writer:
        writer.write_table(table)
    return folder / "f.arrow"


FORMATS = [npz, pth, safe, hdf5, parquet, feathered, arrow_stream]
Make = Callable[..., Path]


@pytest.mark.parametrize("make", FORMATS)
def test_every_tap_is_judged_and_the_worst_is_the_verdict(make: Make, tmp_path: Path) -> None:
    text, content = report_on(make(tmp_path, backbone=H, projection=P, labels=LABELS), "ours")
    assert content["verdict"]["status"] == "healthy"
    assert set(content["taps"]) == {"backbone", "projection"}
    text, content = report_on(make(tmp_path, backbone=H, projection=LINE), "published")
    verdict = content["verdict"]
    assert (verdict["status"], verdict["tap"]) == ("dimensional_collapse", "projection")
    assert verdict["per_tap"] == {"backbone": "healthy", "projection": "dimensional_collapse"}
    assert f"  backbone    {diagnose_features(H).line().replace(' of z', '')}\n" in text
    assert content["published"]["status"] == "collapsed"
    assert "projection effective_rank 1 collapsed" in text


@pytest.mark.parametrize("make", FORMATS)
@pytest.mark.parametrize("name", ["z", "embeddings", "last_hidden_state", "my_array"])
def test_a_single_tap_has_any_name(make: Make, name: str, tmp_path: Path) -> None:
    found = read_feature_file(make(tmp_path, **{name: LINE, "labels": LABELS}))
    np.testing.assert_array_equal(found.taps["z"], LINE)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.remarks == (() if name == "z" else (f"z is {name}",))
    _, content = report_on(make(tmp_path, **{name: LINE}), "ours")
    assert content["verdict"]["line"].startswith("dimensional_collapse of z: effective rank 1.0")


@pytest.mark.parametrize(
    ("arrays", "taps", "left_out"),
    [
        ({"arr_0": H, "arr_1": P}, ["arr_0", "arr_1"], ""),
        ({"arr_0": H, "arr_1": LABELS}, ["z"], "arr_1 (120 whole numbers)"),
        ({"x": H, "y": LABELS}, ["z"], ""),
        ({"z": H, "features": P, "weird": P}, ["z", "features"], "weird (120 x 8 fractions)"),
        ({"image_features": H, "image": H.reshape(N, 2, 12)}, ["z"], "image (120 x 2 x 12"),
        ({"h": H, "z": P}, ["z", "h"], ""),
        (
            {"encoder": H, "projector": P, "encoder_logits": P},
            ["encoder", "projector"],
            "encoder_l",
        ),
        ({"features": (100 * H).astype(np.int16), "ids": np.ones((N, 9), int)}, ["z"], "ids"),
        ({"z": H, "z_target": P, "z_first": P[:50]}, ["z", "z_target"], "z_first (50 x 8"),
        ({"codes": np.ones((N, 3), int), "code": H}, ["z"], ""),
    ],
)
def test_names_and_shapes_say_what_the_taps_are(
    arrays: dict[str, np.ndarray], taps: list[str], left_out: str, tmp_path: Path
) -> None:
    found = read_feature_file(npz(tmp_path, **arrays))
    assert list(found.taps) == taps
    assert ("left out: " + left_out in " ".join(found.remarks)) is bool(left_out)


def test_the_reference_of_a_tap_is_what_it_is_compared_with(tmp_path: Path) -> None:
    start = RNG.normal(size=(N, 8)) * np.arange(1, 9) ** -3.0
    path = npz(tmp_path, backbone=H, projection=LINE, reference_projection=start)
    _, content = report_on(path, "ours")
    alone = diagnose_features(LINE, reference=start)
    assert content["taps"]["projection"]["line"] == alone.line()
    assert "at start" in alone.line()
    _, content = report_on(npz(tmp_path, z=LINE, reference=start), "ours")
    assert content["verdict"]["line"] == alone.line()
    with pytest.raises(UserError, match="reference could belong to backbone or projection; call"):
        report_on(npz(tmp_path, backbone=H, projection=LINE, reference=start), "ours")


@pytest.mark.parametrize("make", FORMATS)
def test_rows_of_nan_are_the_same_finding_in_the_command_and_in_python(
    make: Make, tmp_path: Path
) -> None:
    for rows in (slice(3, 7), slice(0, 100), slice(None)):
        z = H.copy()
        z[rows, 2] = np.nan
        z[5, 0] = np.inf
        said = diagnose_features(z).line()
        assert said.startswith("diverged of z: features are not finite: ")
        assert report_on(make(tmp_path, z=z), "ours")[1]["verdict"]["line"] == said


@pytest.mark.parametrize("header", ["", ",".join(f"f{k}" for k in range(24)) + "\n"])
@pytest.mark.parametrize("rows", [slice(0, 4), slice(None)])
def test_nan_in_text_is_a_finding_also_in_the_first_row_and_in_a_whole_column(
    header: str, rows: slice, tmp_path: Path
) -> None:
    z = H.copy()
    z[rows, 2] = np.nan
    text = "".join(",".join(map(str, row)) + "\n" for row in z)
    (tmp_path / "z.csv").write_text(header + text)
    _, content = report_on(tmp_path / "z.csv", "ours")
    assert content["verdict"]["line"] == diagnose_features(z).line()


def test_of_several_groups_of_a_file_the_largest_is_read_with_its_labels(tmp_path: Path) -> None:
    arrays = {"test/z": P[:50], "test/labels": LABELS[:50], "train/z": P, "train/labels": LABELS}
    found = read_feature_file(hdf5(tmp_path, **arrays))
    np.testing.assert_array_equal(found.taps["z"], P)
    np.testing.assert_array_equal(found.labels, LABELS)
    assert found.remarks[0] == "z is train/z"
    path = hdf5(tmp_path, **{"student/z": H, "teacher/z": P, "labels": LABELS})
    assert list(read_feature_file(path).taps) == ["student/z", "teacher/z"]


def test_half_precision_and_text_are_read(tmp_path: Path) -> None:
    z = torch.from_numpy(H).bfloat16()
    safetensors.torch.save_file({"z": z}, tmp_path / "f.safetensors")
    found = read_feature_file(tmp_path / "f.safetensors").taps["z"]
    np.testing.assert_array_equal(found, z.float().numpy())
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["z"], file["labels"] = H.astype(np.float16), [f"class {k}" for k in LABELS]
    text, _ = report_on(tmp_path / "f.h5", "ours")
    assert "classes: class 0 (30), class 1 (30), class 2 (30), class 3 (30)" in text


def small_file_of_much(folder: Path) -> Path:
    with h5py.File(folder / "f.h5", "w") as file:
        file.create_dataset("z", shape=(10**6, 1000), dtype="f4", chunks=(1000, 1000))
    return folder / "f.h5"


def elsewhere(folder: Path) -> Path:
    np.save(folder / "secret.npy", H)
    with h5py.File(folder / "f.h5", "w") as file:
        external = [(str(folder / "secret.npy"), 128, H.nbytes)]
        file.create_dataset("z", shape=H.shape, dtype="f4", external=external)
    return folder / "f.h5"


def link_elsewhere(folder: Path) -> Path:
    hdf5(folder, z=H).rename(folder / "other.h5")
    with h5py.File(folder / "f.h5", "w") as file:
        file["z"] = h5py.ExternalLink(str(folder / "other.h5"), "z")
    return folder / "f.h5"


def of_objects(folder: Path) -> Path:
    with h5py.File(folder / "f.h5", "w") as file:
        file.create_dataset("z", shape=(N, 8), dtype=h5py.ref_dtype)
    return folder / "f.h5"


def cut(make: Make) -> Make:
    def cut_off(folder: Path) -> Path:
        path = make(folder, z=H)
        path.write_bytes(path.read_bytes()[:-200])
        return path

    return cut_off


def claims(folder: Path) -> Path:
    header = b'{"z":{"dtype":"F32","shape":[1000000000,1000],"data_offsets":[0,4000000000000]}}'
    (folder / "f.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"0" * 99)
    return folder / "f.safetensors"


def unpacks(folder: Path) -> Path:
    table = pa.table({"z": np.zeros(20_000_000)})
    feather.write_feather(table, folder / "f.feather", compression="zstd")
    assert (folder / "f.feather").stat().st_size < 2**20
    return folder / "f.feather"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (small_file_of_much, "z: 0 MB that unpack to 3,815 MB; at most 200 times the size"),
        (elsewhere, "z: its data are in other files, which are not read"),
        (link_elsewhere, "no data set z; it has nothing"),
        (of_objects, "z holds Python objects"),
        (cut(hdf5), "not a readable .h5"),
        (cut(safe), "not a readable .safetensors"),
        (cut(feathered), "not a readable .feather"),
        (claims, "not a readable .safetensors"),
        (unpacks, "unpacks to more than the 100 MB that are read"),
        (lambda folder: safe(folder, **{"0.weight": H, "0.bias": P[0]}), "the weights of a model"),
    ],
)
def test_a_file_that_claims_more_than_it_has_is_one_line(
    make: Make, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TABLE_BYTES", 100 * 2**20)
    path = make(tmp_path)
    with pytest.raises(UserError) as error:
        report_on(path, "ours")
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("make", "package"), [(safe, "safetensors"), (hdf5, "h5py")])
def test_a_missing_package_is_one_line_that_names_the_extra(
    make: Make, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, z=H)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        UserError, match=f"needs the package {package}, .* the extra files"
    ) as error:
        report_on(path, "ours")
    assert str(error.value).startswith(f"{path}: ")
