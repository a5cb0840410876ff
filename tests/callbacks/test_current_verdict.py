"""The verdict during training: it is printed after every validation, and diagnosis.stop_on may end
the run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from jepa_lab.callbacks.verdict import CurrentVerdict
from jepa_lab.cli import app as cli
from jepa_lab.config.statuses import FAILURES, STATUSES
from jepa_lab.diagnosis import Verdict, judge
from jepa_lab.errors import UserError
from jepa_lab.ledger.parquet import history_of
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.training import run as run_module
from jepa_lab.training.run import RunResult

Make = Callable[..., Config]
EPOCHS = ["dataset.epochs=5", "monitor.every_epochs=1"]  # four steps each
STOP = "diagnosis.stop_on=[dimensional_collapse,diverged]"


def give(monkeypatch: pytest.MonkeyPatch, statuses: Sequence[str]) -> None:
    """Replaces the verdicts of successive validations. The number of validations in the history
    selects the status, so a resumed run gets the right one."""

    def judged(history: Mapping[str, Sequence[tuple[int, float]]]) -> Verdict:
        points = history["val/z_agg/effective_rank"]
        status = statuses[len(points) - 1]
        return Verdict(status, None if status == "healthy" else "z_agg", points[-1][0])

    init = CurrentVerdict.__init__
    monkeypatch.setattr(
        CurrentVerdict, "__init__", lambda self, ledger, judge=None: init(self, ledger, judged)
    )


def steps_of(result: RunResult) -> list[int]:
    return [step for step, _ in history_of(result.run_dir)["val/skill"]]


def weights(result: RunResult) -> dict[str, torch.Tensor]:
    return dict(
        torch.load(result.run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    )


def test_every_validation_line_has_the_state_and_the_last_state_is_the_verdict(
    make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(make_config(*EPOCHS))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    found = [re.search(rf"  ({'|'.join(STATUSES)})( z| z_agg)?  \d+ s, ", line) for line in lines]
    assert len(lines) == 5
    assert all(found)
    last = found[-1]
    assert last is not None
    assert last[1] == result.verdict["status"]
    assert (last[2] or "").strip() == (result.verdict["tap"] or "")


def test_the_state_names_the_representation(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, ["healthy", "dimensional_collapse", "healthy", "healthy", "healthy"])
    train(make_config(*EPOCHS))
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert ["  dimensional_collapse z_agg  " in line for line in lines] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert sum("  healthy  " in line for line in lines) == 4


def test_the_verdict_uses_the_whole_history_also_after_a_resume(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, list[tuple[int, float]]]] = []
    config = make_config(*EPOCHS, "max_wall_s=1e-9")
    end = CurrentVerdict.on_validation_end

    def watched(self: CurrentVerdict, trainer: Any, module: Any) -> None:
        end(self, trainer, module)
        if trainer.state.fn == "fit":
            seen.append(self.ledger.history())
            assert self._history == seen[-1]
            assert self.verdict == judge(seen[-1], config=asdict(config))

    monkeypatch.setattr(CurrentVerdict, "on_validation_end", watched)
    while train(config).state == "stopped":
        assert len(seen) < 50
    assert [len(history["val/skill"]) for history in seen] == [1, 2, 3, 4, 5]


def test_two_validations_in_a_row_end_the_run_as_failed_with_complete_outputs(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(
        monkeypatch,
        ["healthy", "dimensional_collapse", "dimensional_collapse", "healthy", "healthy"],
    )
    result = train(make_config(*EPOCHS, STOP))
    assert f"stopped: {result.reason}" in capsys.readouterr().out
    status = json.loads((result.run_dir / "status.json").read_text())
    summary = json.loads((result.run_dir / "summary.json").read_text())
    assert (result.state, status["state"]) == ("failed", "failed")
    assert (
        result.reason
        == status["reason"]
        == "diagnosis.stop_on: dimensional_collapse in z_agg since step 12"
    )
    assert status["first_bad"] is None
    config = yaml.safe_load((result.run_dir / "config.yaml").read_text())
    verdict = judge(history_of(result.run_dir), config=config)
    assert summary["verdict"]["status"] == verdict.status
    assert steps_of(result) == [4, 8, 12]
    assert (
        torch.load(result.run_dir / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        == 12
    )
    assert (result.run_dir / "report.html").is_file()


def test_a_stopped_run_takes_no_further_step_and_resumes_exactly_without_the_key(
    make_config: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import conftest

    whole = train(conftest.maker(tmp_path / "whole")(*EPOCHS))
    give(monkeypatch, ["healthy", *["dimensional_collapse"] * 4])
    first = train(make_config(*EPOCHS, STOP))
    again = train(make_config(*EPOCHS, STOP))
    assert (again.state, again.reason, steps_of(again)) == (first.state, first.reason, [4, 8, 12])
    assert again.resumed
    free = train(make_config(*EPOCHS))
    assert (free.state, free.run_dir) == ("completed", first.run_dir)
    assert all(torch.equal(value, weights(free)[key]) for key, value in weights(whole).items())


@pytest.mark.parametrize(
    "statuses",
    [
        [
            "dimensional_collapse",
            "healthy",
            "dimensional_collapse",
            "healthy",
            "dimensional_collapse",
        ],
        ["complete_collapse", "low_rank", "complete_collapse", "inconclusive", "healthy"],
        [
            "healthy",
            "healthy",
            "healthy",
            "dimensional_collapse",
            "dimensional_collapse",
        ],  # the second bad validation is the last one
    ],
)
def test_one_validation_other_statuses_or_the_last_validation_end_no_run(
    statuses: list[str], make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, statuses)
    result = train(make_config(*EPOCHS, STOP))
    assert (result.state, steps_of(result)) == ("completed", [4, 8, 12, 16, 20])


def test_two_different_statuses_of_the_list_end_the_run(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, ["dimensional_collapse", "diverged", "healthy", "healthy", "healthy"])
    result = train(make_config(*EPOCHS, STOP))
    assert (result.state, steps_of(result)) == ("failed", [4, 8])
    assert result.reason is not None
    assert result.reason.startswith("diagnosis.stop_on: diverged in z_agg")


def test_without_the_key_no_verdict_ends_a_run(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_config().diagnosis.stop_on == []
    give(monkeypatch, ["complete_collapse"] * 5)
    assert train(make_config(*EPOCHS)).state == "completed"


def test_an_unknown_status_is_refused_with_a_list_of_the_known_ones(make_config: Make) -> None:
    with pytest.raises(UserError) as error:
        make_config("diagnosis.stop_on=[diverged,colapse]")
    assert str(error.value) == (
        f"diagnosis.stop_on=[diverged,colapse]: colapse is none of {', '.join(FAILURES)}"
    )
    with pytest.raises(UserError, match=r"diagnosis\.stop_on"):
        make_config("diagnosis.stop_on=diverged")


def test_a_run_stopped_by_its_verdict_exits_with_code_1(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, ["dimensional_collapse"] * 5)
    config = make_config(*EPOCHS, STOP)
    monkeypatch.setattr(run_module, "train", lambda *args, **kwargs: train(config))
    monkeypatch.setattr("sys.argv", ["jepa_lab"])
    with pytest.raises(SystemExit) as error:
        cli.main(["+experiment=teacherless_b"])
    assert error.value.code == 1
