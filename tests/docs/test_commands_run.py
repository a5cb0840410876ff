"""The commands of README and docs/ run, on one small run that they share.

The commands about a run, a log or features run as they stand on the page; the slow ones, and the
commands that train, run with `make docs-commands`. A command that trains runs the first job of its
sweep with a small budget. `NOT_RUN` names the commands that are not run here, and why.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_pages import first_job

from conftest import maker, small_arc_overrides, small_overrides, without_figures
from doc_pages import PAGES, ROOT, RUN_ALL, overrides_of, training_commands, verb_commands
from jepa_lab.cli import app
from jepa_lab.cli.verbs import run_verb
from jepa_lab.ledger.parquet import ParquetLedger
from jepa_lab.studies.run import train

FAST = ("diagnose", "check", "report", "preview")
SLOW_WORDS = ("--investigate", "arc_sixth_run")
# options that keep a command small, which its page does not show
SMALLER = {
    "evaluate": "--rows none --limit 60 --anchors 9 --views 1",
    "decode": "--steps 2",
    "--investigate": "--max-runs 1 --seeds 1",
}
NOT_RUN = {
    "--config-dir mine": "test_extending.py runs it",
    "NAME": "a pattern",
    "--serve": "does not end; tests/report/test_serve.py asks the server",
    "my_claims.yaml": "test_claims_command.py runs such a file",
    "--fill": "writes the pages of results from runs of hours",
    "arc --judge": "judges runs of hours; test_claims_shipped.py judges small ones",
    "--control none": "needs the arms of a sweep; tests/report/comparison compares small ones",
    "linear_byol_sweep": "needs the runs of a grid; tests/studies/linear_byol draws its figures",
}
NO_DATA = (
    *("3diebench", "cifar10_rot", "imagenet_saccade", "mnist", "stl10", "arc_json"),
    "cifar10_subset",
)
COMMANDS = [(verb, rest) for verb, rest in verb_commands() if rest and "RUN_DIR " not in rest]


def is_slow(verb: str, rest: str) -> bool:
    return verb not in FAST or any(word in rest for word in SLOW_WORDS)


def quick() -> list[tuple[str, str]]:
    return [command for command in COMMANDS if not is_slow(*command)]


def slow() -> list[tuple[str, str]]:
    return [command for command in COMMANDS if is_slow(*command)]


def named(commands: list[tuple[str, str]]) -> list[str]:
    """Returns the names of the tests."""
    return [" ".join(command) for command in commands]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with what the pages take for granted: a run, features and logs."""
    place = tmp_path_factory.mktemp("commands")
    with pytest.MonkeyPatch.context() as patch:
        without_figures(patch)
        train(maker(place)("dataset.epochs=2"))
    rows = torch.randn(120, 8, generator=torch.Generator().manual_seed(0))
    for name in ("features", "z_100", "z_200", "z_300", "epoch_00", "epoch_10"):
        np.savez(place / f"{name}.npz", z=rows.numpy())
    torch.save({"z": rows}, place / "trainfeat.pth")
    log = ParquetLedger(place / "collapse.parquet")
    for step in range(0, 50, 10):
        log.append(step, 0, {"val/h/effective_rank": 9.0, "val/h/feature_std_l2": 0.6})
    log.flush(force=True)
    (place / "lightning_logs" / "version_0").mkdir(parents=True)
    table = "step,val/h/effective_rank,val/h/feature_std_l2\n" + "".join(
        f"{step},9.0,0.6\n" for step in range(0, 50, 10)
    )
    (place / "lightning_logs" / "version_0" / "metrics.csv").write_text(table, encoding="utf-8")
    shipped = ROOT / "src/jepa_lab/report/collapse_bench/runs.parquet"
    shutil.copy(shipped, place / "runs.parquet")
    rule = re.search(
        r"```python\n(def judge.*?)```", PAGES["docs/collapse_bench.md"], flags=re.DOTALL
    )
    assert rule is not None
    (place / "my_rules.py").write_text(rule[1], encoding="utf-8")
    np.savez(place / "mine.npz", images=rows.new_zeros(60, 8, 8).byte().numpy())
    return place


def arguments(rest: str, place: Path) -> list[str]:
    """Returns the arguments of a command, with the run of the folder in the place of <run_id>. A
    run of another experiment stands for the same files under another name."""
    (run,) = (place / "runs" / "teacherless_b").iterdir()
    rest = re.sub(r"runs/\w+/<run_id>", str(run), rest).replace("runs/seq_jepa_shared ", "runs ")
    rest = rest.replace("more_runs", "runs")
    return [str(run) if w in ("RUN", "RUN_DIR") else w for w in shlex.split(rest)]


@pytest.fixture
def run_command(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, str], tuple[int, str]]:
    """Runs a command in the folder and returns its exit code and what it printed."""
    monkeypatch.chdir(workplace)
    monkeypatch.syspath_prepend(str(workplace))
    monkeypatch.setattr(sys, "argv", ["jepa_lab"])

    def run(verb: str, rest: str) -> tuple[int, str]:
        code = 0
        try:
            run_verb(verb, arguments(rest, workplace))
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


@pytest.mark.parametrize(("verb", "rest"), quick(), ids=named(quick()))
def test_a_command_of_the_pages_runs(
    verb: str, rest: str, run_command: Callable[[str, str], tuple[int, str]]
) -> None:
    require_known(rest)
    code, printed = run_command(verb, rest)
    assert code == 0, printed
    assert printed


@pytest.mark.slow
@pytest.mark.skipif(not RUN_ALL, reason="run by make docs-commands")
@pytest.mark.parametrize(("verb", "rest"), slow(), ids=named(slow()))
def test_a_slow_command_of_the_pages_runs(
    verb: str, rest: str, run_command: Callable[[str, str], tuple[int, str]]
) -> None:
    require_known(rest)
    extra = [options for word, options in SMALLER.items() if word == verb or word in rest]
    code, printed = run_command(verb, " ".join([rest, *extra]))
    assert code in ((0, 1) if "--investigate" in rest else (0,)), printed[-2000:]


@pytest.mark.slow
@pytest.mark.skipif(not RUN_ALL, reason="run by make docs-commands")
@pytest.mark.parametrize("command", training_commands() + training_commands(results=True), ids=str)
def test_a_training_command_of_the_pages_trains(
    command: str, workplace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "experiment=" not in command:
        pytest.skip("a preview, which runs above")
    if any(name in command for name in NO_DATA):
        pytest.skip("needs data that do not ship")
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(sys, "argv", ["jepa_lab"])
    overrides = [w for w in first_job(overrides_of(command)) if not w.startswith("hydra")]
    overrides = [w for w in overrides if not w.startswith(("sweep.", "hardware"))]
    code = 0
    try:
        app.main([*overrides, *smaller(overrides, tmp_path)])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code in ((0, 3) if "gates.strict=true" in command else (0,))


def smaller(overrides: list[str], folder: Path) -> list[str]:
    """Returns the overrides that make a run of these overrides take seconds."""
    name = next(w.split("=")[1] for w in overrides if w.startswith("+experiment="))
    taken = {w.lstrip("+").partition("=")[0] for w in overrides}
    if name.startswith("linear_byol"):
        return [f"runs_dir={folder}", "epochs=20", "log_every=10", "figures=false"]
    if name.startswith("arc"):
        base = small_arc_overrides(folder, experiment=name)
    else:
        base = small_overrides(folder, experiment=name)
    budget = {"dataset.epochs", "dataset.train_size", "dataset.val_size"}
    return [w for w in base[1:] if (key := w.partition("=")[0]) in budget or key not in taken]


def require_known(rest: str) -> None:
    """Skips a command that is not run here, with the reason."""
    for word, reason in NOT_RUN.items():
        if word in rest:
            pytest.skip(reason)


def test_every_reason_not_to_run_a_command_is_still_needed() -> None:
    rests = [rest for _, rest in verb_commands()]
    assert [word for word in NOT_RUN if not any(word in rest for rest in rests)] == []
