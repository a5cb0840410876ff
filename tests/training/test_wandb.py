"""W&B: one run per job, grouped by sweep, offline, with an id that a resumed run keeps. Other W&B
runs are not touched."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto import wandb_internal_pb2

from jepa_lab.errors import UserError
from jepa_lab.ledger.run_dir import RunDir
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.training.loggers import begin_wandb, wandb_settings

LINE = [
    "-m",
    "+experiment=teacherless_b",
    "tier=smoke",
    "dataset.epochs=1",
    "dataset.train_size=128",
    "dataset.val_size=64",
    "encoder.widths=[4,8]",
    "hardware.threads=1",
    "model.action_dim=8",
    "model.depth=1",
    "model.hidden=16",
    "probes.hidden=16",
    "preflight=off",
    "logger=wandb",
    "seed=0,1",
]
Command = Callable[..., tuple[int, str, str]]


def chunks(content: bytes) -> Iterator[bytes]:
    """Yields the records of an offline file.

    After 7 bytes, in blocks of 32 KiB, come pieces of (checksum, length, whole 1 | first 2 | middle
    3 | last 4), the format of LevelDB's log.
    """
    at, data = 7, b""
    while at + 7 <= len(content):
        if at % 32768 > 32768 - 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield data
            data = b""


def parts_of(folder: Path) -> list[dict[str, Any]]:
    """Returns the id, group, job type, name, exit code and keys of every offline W&B run below
    `folder`."""
    found = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        part: dict[str, Any] = {"keys": set()}
        for data in chunks(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                run = record.run
                part |= {
                    "id": run.run_id,
                    "group": run.run_group,
                    "job_type": run.job_type,
                    "name": run.display_name,
                }
            if record.HasField("exit"):
                part["exit"] = record.exit.exit_code
            if record.HasField("history"):
                part["keys"] |= {
                    item.key or ".".join(item.nested_key) for item in record.history.item
                }
        found.append(part)
    return found


def test_a_sweep_is_a_group_of_offline_runs_with_exit_codes_and_stable_ids(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    own = wandb.init(mode="offline", project="own", dir=str(tmp_path))
    step, connect = SeqJEPA.training_step, socket.socket.connect

    def failing(self: SeqJEPA, *args: Any) -> Any:
        if self.seed == 1:
            raise RuntimeError("no luck")
        return step(self, *args)

    def local(self: socket.socket, address: Any) -> None:
        assert not isinstance(address, tuple) or address[0] in ("127.0.0.1", "localhost", "::1"), (
            address
        )
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(SeqJEPA, "training_step", failing)
            assert command(*LINE)[0] == 1
        assert command(*LINE)[0] == 0
        assert wandb.run is own
    finally:
        own.finish()
    (sweep,) = tmp_path.glob("runs/sweeps/*")
    states = {
        p.parent: json.loads(p.read_text())["run_id"]
        for p in tmp_path.glob("runs/teacherless_b/*/status.json")
    }
    parts = {run_id: parts_of(folder) for folder, run_id in states.items()}
    assert sorted([part["exit"] for part in run] for run in parts.values()) == [[0], [1, 0]]
    for run_id, run in parts.items():
        for part in run:
            assert (part["id"], part["group"], part["job_type"]) == (
                run_id,
                sweep.name,
                "teacherless_b",
            )
            assert part["name"] == f"teacherless_b-{run_id}"
        assert "val/probe/class_from_z_agg" in run[-1]["keys"]
    assert "WANDB_MODE" not in os.environ


def test_the_job_type_is_the_arm_and_only_online_runs_resume(
    make_config: Callable[..., Config],
) -> None:
    config = make_config("logger=wandb", "aux=[vicreg,sigreg]", "loss.lambda_rate=0")
    run = RunDir("runs", "teacherless_b", "0123456789")
    settings = wandb_settings(config, run, None)
    assert (settings["job_type"], settings["mode"], settings["resume"], settings["id"]) == (
        "vicreg+sigreg",
        "offline",
        None,
        "0123456789",
    )
    online = wandb_settings(make_config("logger=wandb", "logger.offline=false"), run, "a sweep")
    assert (online["mode"], online["resume"], online["group"]) == ("online", "allow", "a sweep")


def test_wandb_that_is_disabled_on_the_machine_stays_disabled(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert (
        wandb_settings(make_config("logger=wandb"), RunDir("runs", "x", "y"), None)["mode"]
        == "disabled"
    )


def test_online_without_an_account_gives_one_line(
    make_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refusing(**kwargs: Any) -> Any:
        raise wandb.errors.UsageError(
            "api_key not configured (no-tty). call wandb.login(key=[your_api_key])\nmore"
        )

    monkeypatch.setattr(wandb, "init", refusing)
    config = make_config("logger=wandb", "logger.offline=false")
    with pytest.raises(
        UserError, match=r"^logger.offline=false: W&B says: api_key not configured[^\n]*$"
    ):
        begin_wandb(config, RunDir(tmp_path, "x", "y"))
