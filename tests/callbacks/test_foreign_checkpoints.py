"""A checkpoint from someone else runs no code and unpacks to no more than its size."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from jepa_lab.callbacks.checkpoints import read_checkpoint


def test_a_pickle_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"state_dict": Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError):
        read_checkpoint(tmp_path / "last.ckpt")
    assert not (tmp_path / "executed").exists()


def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"w": torch.zeros(1000)}}, path)
    assert read_checkpoint(path)["state_dict"]["w"].shape == (1000,)
    packed = tmp_path / "packed.ckpt"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match="compressed or overlap"):
        read_checkpoint(packed)
