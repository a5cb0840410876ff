"""Features as other code saves them are read as an .npz of ours is, or refused in one line."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from jepa_lab.cli.diagnosing import report_on
from jepa_lab.errors import UserError
from jepa_lab.files import limits
from jepa_lab.report.feature_files import read_feature_file

N, D = 48, 6
Z = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
LABELS = np.arange(N) % 4
CODES = np.random.default_rng(1).integers(0, 16, (N, 2))
T = torch.from_numpy(Z)


def tensors(content: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.save(content, folder / "features.pth")
        return folder / "features.pth"

    return make


def table(**columns: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "features.parquet")
        return folder / "features.parquet"

    return make


def text(content: str, name: str = "features.csv") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return make


def arrays(*unnamed: Any, **named: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.savez(folder / "features.npz", *unnamed, **named)
        return folder / "features.npz"

    return make


def npy(folder: Path) -> Path:
    np.save(folder / "feats.npy", Z)
    return folder / "feats.npy"


def lines(rows: list[Any], delimiter: str = ",") -> str:
    return "".join(delimiter.join(map(str, row)) + "\n" for row in rows)


NAMED = ["id", *(f"f{k}" for k in range(D)), "label"]
ROWS = [[n, *Z[n].tolist(), LABELS[n]] for n in range(N)]
FIXED = pa.FixedSizeListArray.from_arrays(pa.array(Z.ravel()), D)
WITHOUT_LABELS: dict[str, Callable[[Path], Path]] = {
    "npy": npy,
    "pth": tensors(T),
    "pth, double precision, another name": tensors({"feats": T.double()}),
    "pth, a vector for each name": tensors({f"im{n}.jpg": T[n] for n in range(N)}),
    "pth, a list of vectors": tensors(list(T)),
    "pth, a view": tensors(torch.stack([T, T], 1)[:, 0]),
    "npz, one array without a name": arrays(Z),
    "parquet, fixed lists": table(z=FIXED),
    "parquet, another name": table(path=["a"] * N, vector=Z.tolist()),
    "csv without names": text(lines(Z.tolist())),
}
WITH_LABELS: dict[str, Callable[[Path], Path]] = {
    "npz": arrays(z=Z, labels=LABELS, logits=Z * 0),
    "npz, other names": arrays(embeddings=Z, targets=LABELS, paths=np.arange(N)),
    "pth, mapping": tensors({"features": T, "labels": torch.from_numpy(LABELS), "epoch": 3}),
    "pth, list of labels": tensors({"z": T, "labels": LABELS.tolist()}),
    "pth, pair": tensors((T, torch.from_numpy(LABELS))),
    "parquet, lists": table(embedding=Z.tolist(), label=LABELS),
    "parquet, columns": table(**{f"f{k}": Z[:, k] for k in range(D)}, label=LABELS, id=range(N)),
    "parquet, text": table(embedding=Z.tolist(), label=[f"class {k}" for k in LABELS]),
    "parquet, categories": table(
        embedding=Z.tolist(), label=pa.array([f"c{k}" for k in LABELS]).dictionary_encode()
    ),
    "csv": text(lines([NAMED, *ROWS])),
    "tsv": text(lines([NAMED, *ROWS], "\t"), "features.tsv"),
}


@pytest.mark.parametrize("name", [*WITHOUT_LABELS, *WITH_LABELS])
def test_every_format_has_the_verdict_of_the_same_arrays(name: str, tmp_path: Path) -> None:
    make = {**WITHOUT_LABELS, **WITH_LABELS}[name]
    found = read_feature_file(make(tmp_path))
    np.testing.assert_allclose(found.taps["z"], Z, rtol=1e-6)
    assert list(found.taps) == ["z"]
    assert (found.labels is not None) is (name in WITH_LABELS)
    _, content = report_on(make(tmp_path), "ours")
    plain = arrays(z=Z, labels=LABELS) if name in WITH_LABELS else arrays(z=Z)
    (tmp_path / "plain").mkdir()
    _, wanted = report_on(plain(tmp_path / "plain"), "ours")
    assert content["verdict"]["status"] == wanted["verdict"]["status"]
    assert content["verdict"]["evidence"].keys() == wanted["verdict"]["evidence"].keys()


@pytest.mark.parametrize(
    "make",
    [
        arrays(z=Z, codes=CODES, codebook_size=np.array([16, 2048])),
        tensors(
            {"z": T, "codes": torch.from_numpy(CODES), "codebook_size": torch.tensor([16, 2048])}
        ),
    ],
)
def test_the_sizes_of_the_codebooks_stand_in_the_file(make: Any, tmp_path: Path) -> None:
    _, content = report_on(make(tmp_path), "ours")
    assert content["verdict"]["status"] == "codebook_collapse"
    assert (
        "level 2 of 2: 0.8 % of the codes in use (16 of 2,048)" in content["verdict"]["reasons"][0]
    )


def test_views_and_codes_in_columns_of_lists_keep_their_shape(tmp_path: Path) -> None:
    views = np.stack([Z, Z + 1], 1)
    made = table(z=views.tolist(), codes=CODES.tolist())(tmp_path)
    found = read_feature_file(made)
    np.testing.assert_array_equal(found.taps["z"], views)
    np.testing.assert_array_equal(found.codes, CODES)


def test_dimensions_of_whole_numbers_and_dead_ones_stay(tmp_path: Path) -> None:
    numbers = Z.copy()
    numbers[:, 2], numbers[:, 5] = np.arange(N), 0
    rows = [[f"{v:g}" for v in row] for row in numbers]
    for names in ([NAMED[1 : D + 1]], []):
        found = read_feature_file(text(lines([*names, *rows]))(tmp_path))
        np.testing.assert_allclose(found.taps["z"], numbers, rtol=1e-4)
    assert found.remarks == ("z is the 6 columns f0 to f5",)


def test_columns_that_are_left_out_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [list(row) for row in ROWS]
    rows[7][4] = "?"
    report_on(text(lines([NAMED, *rows]))(tmp_path), "ours")
    said = capsys.readouterr().err
    assert "the 5 columns f0 to f5; left out: id (whole numbers), f3 (text)\n" in said


@pytest.mark.parametrize(("name", "delimiter"), [("features.csv", ","), ("features.tsv", "\t")])
@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("label", [False, True])
def test_names_that_pandas_counts_are_no_row(
    name: str, delimiter: str, index: bool, label: bool, tmp_path: Path
) -> None:
    names = [*([""] if index else []), *range(D), *(["label"] if label else [])]
    rows = [
        [*([n] if index else []), *Z[n].tolist(), *([LABELS[n]] if label else [])] for n in range(N)
    ]
    found = read_feature_file(text(lines([names, *rows], delimiter), name)(tmp_path))
    np.testing.assert_allclose(found.taps["z"], Z, rtol=1e-6)
    assert (found.labels is not None) is label
    assert "z is the 6 columns 0 to 5; the first line is read as their names" in found.remarks[-1]


def test_a_first_row_of_other_whole_numbers_is_a_row(tmp_path: Path) -> None:
    rows = [[0, 1, 2, 3, 4, 6], [0, 1, 2, 3, 5, 4], *Z.tolist()]
    for first in range(2):
        found = read_feature_file(text(lines(rows[first:]))(tmp_path))
        assert found.taps["z"].shape == (N + 2 - first, D)
        assert "names" not in found.remarks[0]


def test_labels_without_a_name_are_no_dimension(tmp_path: Path) -> None:
    found = read_feature_file(text(lines([row[1:] for row in ROWS]))(tmp_path))
    np.testing.assert_allclose(found.taps["z"], Z, rtol=1e-6)
    assert found.remarks[0].endswith("left out: f6 (whole numbers)")


def test_fractions_of_eight_bits_are_read(tmp_path: Path) -> None:
    found = read_feature_file(tensors(T.to(torch.float8_e4m3fn))(tmp_path)).taps["z"]
    np.testing.assert_array_equal(found, T.to(torch.float8_e4m3fn).float().numpy())


def test_another_name_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_on(table(embedding=Z.tolist(), label=LABELS)(tmp_path), "ours")
    said = capsys.readouterr().err
    assert "z is embedding" in said
    assert "labels is label" in said
    report_on(arrays(z=Z, labels=LABELS)(tmp_path), "ours")
    assert capsys.readouterr().err == ""


def test_a_remark_is_not_printed_before_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="labels has shape"):
        report_on(arrays(features=Z, labels=LABELS[:5])(tmp_path), "ours")
    assert capsys.readouterr().err == ""


def quantised() -> torch.Tensor:
    return torch.quantize_per_tensor(T, 0.1, 0, torch.qint8)


@pytest.mark.parametrize("make", [lambda: torch.eye(40).to_sparse(), quantised])
def test_a_refused_tensor_is_refused_without_a_warning(make: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = tensors(make())(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="a tensor of layout"):
            report_on(path, "ours")


def test_groups_that_are_not_judged_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "features.h5", "w") as file:
        file["train/features"], file["test/features"], file["test/labels"] = Z, Z[:40], LABELS[:40]
    _, content = report_on(tmp_path / "features.h5", "ours")
    assert content["verdict"]["evidence"]["n"] == N
    said = capsys.readouterr().err
    assert "only the group train is judged; not judged: test/features (40 x 6 fractions)" in said
    assert "test/labels (40 whole numbers)" in said


class Calls:
    """An object whose loading would call a function."""

    def __reduce__(self) -> Any:
        return (Path("executed").write_text, ("yes",))


def pickled(folder: Path) -> Path:
    (folder / "features.pkl").write_bytes(pickle.dumps(Calls()))
    return folder / "features.pkl"


def old_torch(folder: Path) -> Path:
    torch.save(T, folder / "old.pth", _use_new_zipfile_serialization=False)
    return folder / "old.pth"


def packed(folder: Path) -> Path:
    """An archive whose parts are compressed, so that they unpack to more than the file."""
    path = tensors(torch.zeros(4096, 64))(folder)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def nested(folder: Path) -> Path:
    return tensors(torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]))(folder)


def cut(folder: Path) -> Path:
    path = table(embedding=Z.tolist())(folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (tensors(Calls()), "Python objects besides tensors"),
        (tensors({"z": T, "extra": Calls()}), "Python objects besides tensors"),
        (pickled, "a pickle, which is not loaded"),
        (old_torch, "not an archive of torch.save"),
        (packed, "parts that are compressed or overlap"),
        (
            tensors(torch.zeros(1).expand(100_000, 100_000)),
            "a tensor .100000, 100000. of torch.float32",
        ),
        (tensors(torch.eye(40).to_sparse()), "a tensor of layout torch.sparse_coo"),
        (nested, "a nested tensor"),
        (
            tensors({"z": T, "labels": torch.zeros(N, dtype=torch.bits8)}),
            "labels: tensors of torch.bits8",
        ),
        (tensors({"0.weight": T, "0.bias": T[0]}), "the weights of a model and no features"),
        (tensors({"state_dict": {"w": T}, "epoch": 1}), "the weights of a model"),
        (tensors("words"), "no tensor z"),
        (arrays(labels=LABELS, logits=Z, probs=Z), "no array z; it has labels, logits, probs"),
        (arrays(z=LABELS), r"z has shape \(48,\); expected \(n, d\)"),
        (arrays(**{"0.weight": Z, "0.bias": Z[0]}), "the weights of a model and no features"),
        (table(embedding=[[1.0, 2.0], [3.0]] * 20), "column embedding: lists of 1 to 2 values"),
        (table(embedding=[[1.0, 2.0], None] * 20), "column embedding: 20 empty cells"),
        (table(name=["a"] * 40, value=np.ones(40)), "no column of features; it has name, value"),
        (cut, "not a readable .parquet"),
        (text("a,b\n1.5\n"), "not a readable .csv"),
    ],
)
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested")
def test_any_other_file_is_one_line(
    make: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        report_on(path, "ours")
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert not Path("executed").exists()


def test_many_and_long_names_are_cut(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"it has a0, a1, .* and 992 more") as error:
        read_feature_file(arrays(**{f"a{k}": Z[0] for k in range(1000)})(tmp_path))
    assert len(str(error.value)) < 400
    with pytest.raises(UserError, match=r"it has xxx.*\.\.\.;") as error:
        read_feature_file(tensors({"x" * 100_000: 1})(tmp_path))
    assert len(str(error.value)) < 400


def test_files_beyond_the_limits_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ARRAY_BYTES", 1000)
    monkeypatch.setattr(limits, "TABLE_BYTES", 500)
    for make in (tensors(T), npy, text(lines(Z.tolist())), table(z=Z.tolist())):
        with pytest.raises(UserError, match="are read"):
            read_feature_file(make(tmp_path))
    monkeypatch.setattr(limits, "ARRAY_BYTES", 10**9)
    monkeypatch.setattr(limits, "TEXT_BYTES", 10)
    with pytest.raises(UserError, match="of objects; at most"):
        read_feature_file(tensors(T)(tmp_path))
