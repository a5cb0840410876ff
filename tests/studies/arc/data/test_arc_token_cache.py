from pathlib import Path
from typing import Any

import pytest

from arc_token_tasks import real_tasks, same_batch
from jepa_lab.errors import UserError
from jepa_lab.studies.arc.data import cache
from jepa_lab.studies.arc.data.loader import ArcLoader
from jepa_lab.studies.arc.data.tokens.tokenisers import make_tokeniser
from jepa_lab.studies.arc.data.tokens.tokens import AugmentOptions

TASKS = real_tasks(8)
KINDS = [("slots", {}), ("slots", {"slot_features": "published"}), ("patches", {})]


def loader(kind: str = "slots", options: dict[str, Any] | None = None, **more: Any) -> ArcLoader:
    keys: dict[str, Any] = {
        "batch_size": 6,
        "split": "train",
        "seed": 1,
        "shuffle": True,
        "variants": 2,
    }
    keys |= {"augment": AugmentOptions(True, True, True)} | more
    return ArcLoader(keys.pop("tasks", TASKS), make_tokeniser(kind, **options or {}), **keys)


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("families", [(), ("symmetry", "color")])
def test_training_batches_are_the_same_with_and_without_the_cache(
    kind: str, options: dict[str, Any], families: tuple[str, ...], tmp_path: Path
) -> None:
    online = loader(kind, options, families=families)
    # written, then read
    for made in (loader(kind, options, families=families, cache=tmp_path) for _ in range(2)):
        for epoch in range(3):
            online.set_epoch(epoch)
            made.set_epoch(epoch)
            assert all(same_batch(a, b) for a, b in zip(online, made, strict=True))


def test_evaluation_batches_are_the_same_with_and_without_the_cache(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"split": "val", "shuffle": False, "variants": None}
    assert all(
        same_batch(a, b)
        for a, b in zip(loader(**keys), loader(**keys, cache=tmp_path), strict=True)
    )


def test_an_existing_cache_is_read_without_tokenising(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader(cache=tmp_path)
    (path,) = tmp_path.iterdir()
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(cache, "_write", None)
    made = loader(cache=tmp_path)
    monkeypatch.setattr(type(made.tokens.online.tokeniser), "__call__", None)  # type: ignore[attr-defined]
    assert len(list(made)) == len(made)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"options": {"max_objects": 8}}, "made with tokeniser 'slots-1 objects=16"),
        ({"tasks": real_tasks(9)}, "made with data "),
        ({"seed": 2}, "made with seed 1, but this run has 2"),
        ({"variants": 3}, "made with variants 2, but this run has 3"),
        ({"augment": AugmentOptions(True, True, False)}, "made with augmentation {"),
        ({"families": ("color",)}, "made with families [], but this run has ['color']"),
    ],
)
def test_a_cache_of_other_data_is_rejected_in_one_line(
    more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    loader(cache=tmp_path)
    with pytest.raises(ValueError) as error:
        loader(cache=tmp_path, **more)
    text = str(error.value)
    assert message in text
    assert "\n" not in text
    assert text.startswith(f"cache {tmp_path / 'train.tokens'}: ")
    assert text.endswith("; name another folder (dataset.cache) or delete that file")


def test_a_cache_of_another_version_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader(cache=tmp_path)
    monkeypatch.setattr(cache, "VERSION", 99)
    with pytest.raises(ValueError, match="made with version 2, but this run has 99"):
        loader(cache=tmp_path)


@pytest.mark.parametrize("kept", [0, 10, 40, -1])
def test_a_truncated_file_is_rejected(kept: int, tmp_path: Path) -> None:
    loader(cache=tmp_path)
    path = tmp_path / "train.tokens"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="delete that file"):
        loader(cache=tmp_path)


def test_no_flipped_bit_in_the_tokens_is_read(tmp_path: Path) -> None:
    loader(cache=tmp_path, shuffle=False)
    path = tmp_path / "train.tokens"
    whole, damaged = path.read_bytes(), 0
    start = len(whole) - loader(cache=tmp_path, shuffle=False).tokens.records.nbytes
    for place in range(start, len(whole), (len(whole) - start) // 40):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        made = loader(cache=tmp_path, shuffle=False)
        try:
            for epoch in range(2):
                made.set_epoch(epoch)
                list(made)
        except UserError as error:
            damaged += str(error) == f"cache {path}: damaged (wrong checksum); delete that file"
    assert damaged == 41


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) > 1:
            raise OSError("disk full")
        return real(*_)

    real = cache._records
    monkeypatch.setattr(cache, "_records", fail)
    with pytest.raises(OSError, match="disk full"):
        loader(cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
