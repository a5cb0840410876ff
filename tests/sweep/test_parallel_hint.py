"""The line that names the options for running a sweep's jobs side by side."""

from __future__ import annotations

import pytest
from omegaconf import DictConfig, OmegaConf

from jepa_lab.ledger.sweep_folder import Record
from jepa_lab.sweep import parallel_hint as module
from jepa_lab.sweep.parallel_hint import parallel_hint

BOTH = "hydra/launcher=joblib hydra.launcher.n_jobs=2"


def job(accelerator: str = "cpu", threads: int | None = None) -> DictConfig:
    return OmegaConf.create({"hardware": {"accelerator": accelerator, "threads": threads}})


def records(*states: str) -> list[Record]:
    return [Record(i, [], state) for i, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "jobs", "cores", "expected"),
    [
        (("to do", "to do", "to do"), [job()] * 3, 2, f"{BOTH} hardware.threads=1"),
        (("to do", "to resume"), [job()] * 2, 16, f"{BOTH} hardware.threads=1"),
        (("to do", "to do"), [job(threads=1)] * 2, 2, BOTH),
        (("to do", "done"), [job()] * 2, 2, None),
        (("to do", "to do"), [job()] * 2, 1, None),
        (("to do", "to do"), [job("gpu")] * 2, 2, None),
    ],
)
def test_the_options_are_named_where_they_help(
    states: tuple[str, ...],
    jobs: list[DictConfig],
    cores: int,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: cores)
    found = parallel_hint(records(*states), jobs)
    assert found == (expected and f"2 jobs side by side take less time: {expected}")


def test_an_environment_without_the_launcher_gets_no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 2)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert parallel_hint(records("to do", "to do"), [job(), job()]) is None
