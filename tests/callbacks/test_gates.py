"""Gates: each can fail a run, in the units of its metric. gates.strict turns this into an exit
code."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import pytorch_lightning as pl
from hydra import compose, initialize_config_dir

from jepa_lab.callbacks import Gates
from jepa_lab.cli import app as cli
from jepa_lab.config.gates import GATES
from jepa_lab.config.groups import conf_dir
from jepa_lab.diagnosis.gates import evaluate_gates, gates_line
from jepa_lab.errors import UserError
from jepa_lab.studies import checked
from jepa_lab.studies.seq_jepa.config import Config

SMALL = [
    "+experiment=teacherless_b",
    "dataset=digits_affine",
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
    "monitor.subspace=true",
]
WITHOUT = ["~dataset.tiers.smoke.gates"]  # removes the gates of the tier
UNREACHABLE = {  # an allowed limit that no run of one epoch reaches
    "class_from_z_agg_min": 1.0,
    "class_from_z_max": 0.0,
    "class_gap_min": 1.0,
    "action_from_z_min": 1.0,
    "action_from_z_agg_max": -1e9,
    "action_gap_min": 1e9,
    "relative_action_from_z_min": 1.0,
    "view_from_z_agg_max": -1e9,
    "loss_total_max": -1e9,
    "skill_min": 1.0,
    "z_agg_invariance_error_max": 0.0,
    "z_agg_within_share_max": 0.0,
    "z_effective_rank_min": 1e6,
    "z_agg_effective_rank_min": 1e6,
    "subspace_overlap_max": 0.0,
}


@pytest.fixture
def command(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path_factory.getbasetemp())

    def run(*overrides: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["jepa_lab"])
        code = 0
        try:
            cli.main([*SMALL, *overrides])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out + err

    return run


@pytest.mark.parametrize("gate", GATES)
def test_every_gate_can_fail_a_run(gate: str, command: Callable[..., tuple[int, str]]) -> None:
    """The first case trains. The others find the finished run and apply another gate to it."""
    limit = f"gates.{gate}={UNREACHABLE[gate]}"
    code, text = command(*WITHOUT, "gates.strict=true", limit)
    assert code == 3
    assert f"failed: {gate[:-4]} " in text
    assert "not measured" not in text
    assert command(*WITHOUT, limit)[0] == 0  # not strict: printed only
    assert command(*WITHOUT, "gates.strict=true", "gates.class_from_z_agg_min=0")[0] == 0


def test_gates_use_the_units_of_their_metrics_and_none_is_ignored() -> None:
    assert UNREACHABLE.keys() == GATES.keys()
    last = {key: 0.5 for keys in GATES.values() for key in keys}
    for gate, keys in GATES.items():
        at = 0.0 if len(keys) == 2 else 0.5
        for limit, passes in (
            (at - 1e-6, gate.endswith("min")),
            (at, True),
            (at + 1e-6, gate.endswith("max")),
        ):
            if limit < 1 and not gate.endswith("rank_min"):
                assert evaluate_gates({gate: limit}, last)[0].passed is passes, (gate, limit)


def test_nan_and_unmeasured_metrics_never_pass() -> None:
    for limits in ({"skill_min": -1e9}, {"loss_total_max": 1e9}, {"action_gap_min": -1e9}):
        (gate,) = limits
        for value in (math.nan, None):
            last = {} if value is None else dict.fromkeys(GATES[gate], value)
            results = evaluate_gates(limits, last)
            assert not results[0].passed
            assert ("not measured" in gates_line(results)) is (value is None)


def test_summary_and_page_show_every_gate(command: Callable[..., tuple[int, str]]) -> None:
    overrides = [
        "gates.class_from_z_agg_min=0.01",
        "gates.skill_min=0.999",
        "gates.z_effective_rank_min=1",
    ]
    code, text = command("seed=1", *overrides)
    assert code == 0
    assert "gates:   2 of 3 passed; failed: skill " in text
    (path,) = [p for p in Path("runs").glob("*/*/summary.json") if _seed(p) == 1]
    gates = json.loads(path.read_text())["gates"]
    assert gates["passed"] is False
    assert {g["gate"]: g["passed"] for g in gates["results"]} == {
        "class_from_z_agg_min": True,
        "skill_min": False,
        "z_effective_rank_min": True,
    }
    assert gates["results"][0]["metrics"] == ["val/probe/class_from_z_agg"]
    assert "failed: skill" in (path.parent / "report.html").read_text()


def _seed(path: Path) -> int:
    return int(json.loads(path.read_text())["protocol"]["seed"])


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return checked(compose("config", list(overrides)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "gates.class_from_z_agg_min=30",
            "must lie between 0 and 1 \\(an accuracy, not percent\\)",
        ),
        ("gates.class_from_z_max=1.01", "must lie between 0 and 1"),
        ("gates.class_gap_min=5", "between -1 and 1"),
        ("gates.action_from_z_min=1.5", "cannot be above 1"),
        ("gates.z_effective_rank_min=0", "at least 1"),
        ("gates.skill_min=nan", "a finite number"),
        ("gates.subspace_overlap_max=0.1", "monitor.subspace=false"),
        (
            "+dataset.tiers.quick.gates.accuracy_min=0.1",
            "dataset.tiers.quick.gates.accuracy_min: no such gate",
        ),
        ("+experiment_gates.mnist_rot=3", "experiment_gates.mnist_rot=3: expected"),
        ("+experiment_gates.digits_rot.quick=3", "experiment_gates.digits_rot.quick=3: expected"),
        ("+experiment_gates.digits_rut.quick.skill_min=0", "did you mean .digits_rot"),
        ("+experiment_gates.digits_rot.quik.skill_min=0", "quik: no such tier"),
        (
            "+experiment_gates.mnist_rot.quick.class_from_z_agg_min=30",
            "experiment_gates.mnist_rot.quick.class_from",
        ),
    ],
)
def test_a_gate_that_can_never_pass_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        composed("+experiment=teacherless_b", override)


def test_strict_gates_on_unmeasured_metrics_are_refused_before_training(
    command: Callable[..., tuple[int, str]],
) -> None:
    code, text = command(
        "seed=2", "gates.strict=true", "dataset.n_views=2", "gates.action_from_z_min=0.1"
    )
    assert code == 2
    assert "gates.action_from_z_min=0.1: needs two observed views" in text
    code, text = command(
        "seed=2", "gates.strict=true", "dataset=digits_rot", "gates.subspace_overlap_max=0.1"
    )
    assert code == 2
    assert "a single factor" in text


@pytest.mark.parametrize(
    ("overrides", "gates"),
    [
        (
            ["dataset=cifar10_rot", "tier=smoke"],
            {"class_from_z_agg_min": 0.12, "action_from_z_min": -0.3},
        ),
        (
            ["dataset=cifar10_rot", "tier=quick"],
            {
                "class_from_z_agg_min": 0.20,
                "action_from_z_min": 0.0,
                "class_gap_min": 0.0,
                "action_gap_min": 0.0,
                "z_effective_rank_min": 5,
                "z_agg_effective_rank_min": 5,
            },
        ),
        (
            ["dataset=cifar10_rot", "tier=baseline"],
            {
                "class_from_z_agg_min": 0.30,
                "action_from_z_min": 0.1,
                "class_gap_min": 0.0,
                "action_gap_min": 0.0,
                "z_effective_rank_min": 10,
                "z_agg_effective_rank_min": 10,
            },
        ),
        (
            ["dataset=mnist_affine", "tier=baseline"],
            {"class_from_z_agg_min": 0.80, "action_from_z_min": 0.0},
        ),
        (["dataset=cifar10_rot", "tier=remote"], {}),
        (
            ["dataset=cifar10_rot", "tier=smoke", "gates.class_from_z_agg_min=null"],
            {"action_from_z_min": -0.3},
        ),
    ],
)
def test_tiers_and_experiments_have_the_published_gates(
    overrides: list[str], gates: Mapping[str, float]
) -> None:
    assert composed("+experiment=teacherless_b", *overrides).gates.limits() == gates


def test_gates_do_not_belong_to_the_identity_of_a_run() -> None:
    from jepa_lab.training.resume import identity

    assert identity(composed("+experiment=teacherless_b"), "x") == identity(
        composed("+experiment=teacherless_b", "gates.skill_min=0.5", "gates.strict=true"), "x"
    )


class Foreign(pl.LightningModule):
    """A module outside this package, without our ledger."""

    def training_step(self, batch: object, index: int) -> None:
        self.log("val/skill", 0.25)


def test_gates_read_the_trainers_metrics_without_our_ledger() -> None:
    gates = Gates({"skill_min": 0.5})
    trainer = pl.Trainer(
        max_steps=1,
        callbacks=[gates],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    module = Foreign()
    module.configure_optimizers = lambda: None  # type: ignore[method-assign]
    trainer.fit(module, [0, 1])
    assert gates.results[0].value == 0.25
    assert not gates.results[0].passed
    with pytest.raises(ValueError, match="no such gate"):
        Gates({"accuracy_min": 0.5})
