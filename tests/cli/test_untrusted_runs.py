"""Commands on a run's folder from someone else: nothing in it runs, and no bomb stops the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from comparison_runs import make_run
from jepa_lab import decode, diagnose, evaluate
from jepa_lab.claims.__main__ import main as claims
from jepa_lab.report.__main__ import main as report
from jepa_lab.studies.seq_jepa.config import Config

Command = Callable[..., tuple[int, str, str]]
LAUGHS = "\na0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
DEEP = "\ndeep: " + "[" * 5000 + "]" * 5000 + "\n"


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Puts a module and a package on Python's path, and returns whether one was imported."""
    mark = tmp_path / "imported"
    for name in ("evil_module.py", "evil_folder/__init__.py"):
        path = tmp_path / "python" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(mark)!r}, 'w').close()\nclass Options: pass\n")
    monkeypatch.syspath_prepend(tmp_path / "python")
    yield mark.exists
    for name in ("evil_module", "evil_folder"):
        sys.modules.pop(name, None)


def with_config(run: Path, text: str = "", **changes: Any) -> Path:
    """Changes keys of config.yaml and appends text to it."""
    path = run / "config.yaml"
    content = {**yaml.safe_load(path.read_text()), **changes}
    path.write_text(yaml.safe_dump(content) + text)
    return run


EVIL = {"x": {"_target_": "evil_module.Options"}}


@pytest.mark.parametrize("main", [evaluate.main, decode.main])
def test_a_class_that_a_run_names_is_imported_with_trust_only(
    main: Callable[..., None],
    tmp_path: Path,
    command: Command,
    imported: Callable[[], bool],
    make_config: Callable[..., Config],
) -> None:
    whole = yaml.safe_load(make_config().to_yaml())
    run = with_config(make_run(tmp_path / "runs", "a", 0), **{**whole, "aux": EVIL})
    code, _, err = command(str(run), main=main)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{run}/config.yaml: aux.x._target_=evil_module.Options" in err
    assert "--trust" in err
    assert not imported()
    command(str(run), "--trust", main=main)
    assert imported()


@pytest.mark.parametrize("main", [evaluate.main, decode.main, diagnose.main])
def test_every_command_that_builds_a_model_has_the_option(
    main: Callable[..., None], command: Command
) -> None:
    _, out, _ = command("--help", main=main)
    assert "--trust" in out
    assert "--config-dir" in out


@pytest.mark.parametrize(
    "override",
    [
        "hydra.searchpath=[pkg://evil_folder]",
        "+aux.x='${oc.create:{_target_:evil_module.Options}}'",
        "+aux.x._target_=evil_module.Options",
        "encoder=own",
    ],
)
def test_diagnose_imports_nothing_that_a_runs_command_line_names(
    override: str, tmp_path: Path, command: Command, imported: Callable[[], bool]
) -> None:
    run = make_run(tmp_path / "runs", "a", 0)
    (tmp_path / "conf" / "encoder").mkdir(parents=True)
    own = "x: ${oc.create:{_target_:evil_module.Options}}"
    (tmp_path / "conf" / "encoder" / "own.yaml").write_text(own)
    content: dict[str, Any] = {"overrides": ["+experiment=teacherless_b", override]}
    if override == "encoder=own":
        content["config_dir"] = str(tmp_path / "conf")
    (run / "overrides.yaml").write_text(yaml.safe_dump(content))
    assert command(str(run), main=diagnose.main)[0] == 0
    assert not imported()


def test_an_investigation_imports_nothing_that_the_run_names(
    tmp_path: Path, command: Command, imported: Callable[[], bool]
) -> None:
    run = make_run(tmp_path / "runs", "a", 0, verdict="complete_collapse")
    with_config(run, callbacks=EVIL)
    evil = "+callbacks.x._target_=evil_module.Options"
    line = {"overrides": ["+experiment=seq_jepa_shared", evil]}
    (run / "overrides.yaml").write_text(yaml.safe_dump(line))
    code, _, err = command(str(run), "--investigate", main=diagnose.main)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not valid, or names user-defined code" in err
    assert not imported()


@pytest.mark.parametrize("text", [LAUGHS, DEEP], ids=["laughs", "deep"])
@pytest.mark.parametrize("main", [evaluate.main, decode.main, diagnose.main, report])
def test_a_bomb_in_a_run_is_one_line(
    text: str, main: Callable[..., None], tmp_path: Path, command: Command
) -> None:
    run = with_config(make_run(tmp_path / "runs", "a", 0), text)
    code, _, err = command(str(run), main=main)
    assert (code, err.count("\n")) == (2, 1)
    assert "more than 10,000 values" in err or "nested more than 50 levels deep" in err
    assert "config.yaml" in err


def test_a_report_over_many_runs_leaves_bombs_out(tmp_path: Path, command: Command) -> None:
    runs = tmp_path / "runs"
    good = [make_run(runs, arm, seed) for arm in ("a", "b") for seed in (0, 1)]
    with_config(make_run(runs, "laughs", 0), LAUGHS)
    (make_run(runs, "deep", 0) / "summary.json").write_text('{"a":' * 900 + "1" + "}" * 900)
    os.truncate(make_run(runs, "huge", 0) / "config.yaml", 2**30)
    (good[0] / "overrides.yaml").write_text("overrides:" + LAUGHS)
    code, out, _ = command(str(runs), "--out", "out", main=report)
    assert code == 0
    for reason in (
        "config.yaml: more than 10,000 values",
        "summary.json: nested more than 50 levels deep",
        "config.yaml: 1,024 MB; at most 16 MB are read",
    ):
        assert reason in out


def test_claims_leave_bombs_out_of_runs_and_refuse_them_in_claims(
    tmp_path: Path, command: Command
) -> None:
    runs = tmp_path / "runs"
    make_run(runs, "a", 0)
    with_config(make_run(runs, "b", 0), LAUGHS)
    code, out, _ = command("teacherless", "--judge", "--runs-dir", str(runs), main=claims)
    assert code == 0
    assert "left out: " in out
    assert "more than 10,000 values" in out
    (tmp_path / "bomb.yaml").write_text(LAUGHS)
    code, _, err = command("bomb.yaml", "--list", main=claims)
    assert (code, err.count("\n")) == (2, 1)
    assert "more than 10,000 values" in err


@pytest.mark.parametrize("flags", [[], ["-m"]], ids=["run", "sweep"])
@pytest.mark.parametrize(
    "override",
    [
        "hydra.launcher._target_=os.system",
        "hydra.sweeper._target_=evil_module.Options",
        "+hydra.callbacks.x._target_=evil_module.Options",
        "+hydra.callbacks.x={_target_:evil_module.Options}",
    ],
)
def test_a_class_for_a_part_of_hydra_is_one_line_and_is_not_started(
    override: str, flags: list[str], command: Command, imported: Callable[[], bool]
) -> None:
    code, _, err = command(*flags, "+experiment=teacherless_b", override)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{override}: the class of a part of Hydra cannot be given" in err
    assert not imported()
