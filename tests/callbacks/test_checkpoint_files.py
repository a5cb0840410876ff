"""A checkpoint with a flipped bit is refused, or the bit changes nothing that is read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from jepa_lab.callbacks.checkpoints import WholeFiles, read_checkpoint, write_checkpoint
from jepa_lab.errors import UserError
from killed_runs import difference


def content() -> dict[str, object]:
    weights = {f"layer.{i}": torch.arange(12.0).reshape(3, 4) + i for i in range(3)}
    return {"state_dict": weights, "global_step": 7, "callbacks": {"Saver": {"run_id": "x"}}}


def flip(path: Path, place: int, bit: int) -> None:
    changed = bytearray(path.read_bytes())
    changed[place] ^= 1 << bit
    path.write_bytes(bytes(changed))


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path, bits = tmp_path / "last.ckpt", random.Random(0)
    write_checkpoint(path, content())
    whole, refused, harmless = path.read_bytes(), 0, 0
    for place in range(0, len(whole), 3):
        flip(path, place, bits.randrange(8))
        try:
            read = read_checkpoint(path)
            harmless += 1
            assert difference(read, content()) is None, place
        except ValueError as error:
            refused += "\n" not in str(error)
        path.write_bytes(whole)
    assert refused > 300
    assert harmless > 0, "dates, padding and attributes of the zip format"


def test_checkpoints_have_checksums_even_if_torch_is_set_to_write_none(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.serialization.set_crc32_options(False)
    try:
        write_checkpoint(path, content())
        assert torch.serialization.get_crc32_options() is False
    finally:
        torch.serialization.set_crc32_options(True)
    assert difference(read_checkpoint(path), content()) is None


def test_lightning_reads_a_checkpoint_with_its_checksums_verified(tmp_path: Path) -> None:
    path, files = tmp_path / "last.ckpt", WholeFiles()
    files.save_checkpoint(content(), path)
    assert difference(files.load_checkpoint(path, weights_only=True), content()) is None
    whole = path.read_bytes()
    flip(path, whole.index(torch.arange(12.0).numpy().tobytes()), 0)
    with pytest.raises(UserError, match=r"last\.ckpt: damaged since it was checked \(wrong check"):
        files.load_checkpoint(path, weights_only=True)
