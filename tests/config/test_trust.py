"""The configuration of a run's folder names no class and resolves nothing, unless it is trusted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import maker
from jepa_lab.cli.compose import as_data, composes, reads_ours_only
from jepa_lab.config.auxiliary import AuxOptions
from jepa_lab.config.extensions import options_at
from jepa_lab.config.trust import NOBODY, Trust, own_classes, require_plain
from jepa_lab.errors import UserError
from jepa_lab.ledger.command_line import read_command_line
from jepa_lab.studies.seq_jepa.evaluation.loading import run_config

CLASS = """
from dataclasses import dataclass
from pathlib import Path
from jepa_lab.config.auxiliary import AuxOptions
Path(__file__).with_suffix(".imported").touch()

@dataclass(kw_only=True)
class Options(AuxOptions):
    pass
"""
EVIL = {"_target_": "evil_marker.Options", "weight": 0.0, "ramp": 0.0}


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Puts a module on Python's path, and returns whether it has been imported."""
    folder = tmp_path / "python"
    folder.mkdir()
    (folder / "evil_marker.py").write_text(CLASS)
    (folder / "evil_package").mkdir()
    (folder / "evil_package" / "__init__.py").write_text(CLASS)
    monkeypatch.syspath_prepend(folder)
    yield lambda: bool(list(folder.rglob("*.imported")))
    for name in ("evil_marker", "evil_package"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The configuration of a run, as its folder holds it."""
    return maker(tmp_path_factory.mktemp("valid"))().to_yaml()


@pytest.fixture
def run(tmp_path: Path, valid: str) -> Callable[..., Path]:
    """Writes config.yaml of a run, with other values for some keys."""

    def write(text: str = "", **changes: Any) -> Path:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        content = {**yaml.safe_load(valid), **changes}
        (folder / "config.yaml").write_text(yaml.safe_dump(content) + text)
        return folder

    return write


ATTACKS: list[tuple[dict[str, Any], str, str]] = [
    ({"aux": {"x": EVIL}}, "", "aux.x._target_=evil_marker.Options is user-defined"),
    ({"callbacks": {"x": EVIL}}, "", "callbacks.x._target_=evil_marker.Options .*--trust"),
    ({"encoder": EVIL}, "", "encoder._target_=evil_marker.Options .*--trust"),
    ({"aux": {"x": {"_target_": ["evil_marker.Options"]}}}, "", r"_target_\[0\]=evil_marker"),
    ({"expected": {"a": [{"b": EVIL}]}}, "", r"expected.a\[0\].b._target_=evil_marker"),
    ({"aux": "${oc.create:{x:{_target_:evil_marker.Options}}}"}, "", "aux=.* an interpolation"),
    ({"aux": {"x": "${oc.decode:'{_target_:evil_marker.Options}'}"}}, "", "an interpolation"),
    ({"aux": {"x": "${expected}"}, "expected": EVIL}, "", "an interpolation"),
    # read by no other loader than OmegaConf's, which takes dates for text
    ({"aux": {"x": EVIL}}, "\nexpected: {d: 2024-99-99}\n", "not a readable configuration"),
    ({"on_existing": "${oc.env:SECRET}"}, "", r"on_existing=\$\{oc.env:SECRET\}: an interp"),
    ({"study": "${oc.env:SECRET}"}, "", r"study=\$\{oc.env:SECRET\}: an interpolation"),
    ({"aux": {"x": {"_target_": "jepa_lab.ledger.atomic.os.system"}}}, "", "not a class of opti"),
    ({"aux": {"x": {"_target_": "jepa_lab.ledger.atomic.write_atomic"}}}, "", "not a class of op"),
    ({"aux": {"x": {"_target_": "os.system"}}}, "", "aux.x._target_=os.system is user-defined"),
]


@pytest.mark.parametrize(("changes", "text", "message"), ATTACKS)
def test_an_attack_in_a_configuration_is_one_line_that_runs_nothing(
    changes: dict[str, Any],
    text: str,
    message: str,
    run: Callable[..., Path],
    imported: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    with pytest.raises(UserError, match=message) as error:
        run_config(run(text, **changes))
    assert not imported()
    assert "hunter2" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("changes", "text", "message"), ATTACKS[5:8] + ATTACKS[9:11])
def test_trust_imports_classes_and_still_resolves_nothing(
    changes: dict[str, Any],
    text: str,
    message: str,
    run: Callable[..., Path],
    imported: Callable[[], bool],
) -> None:
    with pytest.raises(UserError, match=message):
        run_config(run(text, **changes), Trust(everything=True))
    assert not imported()


def test_trust_imports_the_class_that_a_run_names(
    run: Callable[..., Path], imported: Callable[[], bool]
) -> None:
    config = run_config(run(aux={"x": EVIL}), Trust(everything=True))
    assert type(config.aux["x"]).__name__ == "Options"
    assert imported()


def test_a_folder_is_trusted_for_its_own_modules_only(
    run: Callable[..., Path], imported: Callable[[], bool], tmp_path: Path
) -> None:
    other = tmp_path / "mine"
    other.mkdir()
    with pytest.raises(UserError, match="user-defined code"):
        run_config(run(aux={"x": EVIL}), Trust(folder=other))
    assert not imported()
    run_config(run(aux={"x": EVIL}), Trust(folder=tmp_path / "python"))
    assert imported()


def test_a_class_of_the_package_is_called_only_if_it_is_one_of_options() -> None:
    for target in ("jepa_lab.ledger.atomic.write_atomic", "jepa_lab.ledger.atomic.os.system"):
        with pytest.raises(ValueError, match=r"not a class of options|not a package"):
            options_at("aux.x", {"_target_": target}, AuxOptions)


def test_the_options_of_this_package_need_no_trust() -> None:
    assert "jepa_lab.auxiliary.vicreg.VicregOptions" in own_classes()
    for target in own_classes():
        require_plain({"aux": {"x": {"_target_": target}}}, Path("config.yaml"), NOBODY)


@pytest.mark.parametrize(
    "override",
    [
        "hydra.searchpath=[pkg://evil_package]",
        "+aux.x='${oc.create:{_target_:evil_marker.Options}}'",
        "+aux.x=${${a}:b}",
        "runs_dir='${oc.env:SECRET}'",
        "+experiment=../../evil",
        "+experiment/../../evil=x",
        "aux=[vicreg,../evil]",
        "hydra.callbacks.x._target_=evil_marker.Options",
    ],
)
def test_overrides_from_a_file_that_read_or_run_more_are_not_composed(override: str) -> None:
    assert not reads_ours_only(["+experiment=teacherless_b", override])


def test_ordinary_overrides_from_a_file_are_composed() -> None:
    overrides = ["+experiment=teacherless_b", "loss.lambda_rate=${recipe.lambda_rate}"]
    assert reads_ours_only([*overrides, "dataset.root=../data", "hydra.mode=RUN"])
    assert not reads_ours_only(overrides, "/somewhere")


def test_overrides_from_a_file_that_name_a_class_are_not_checked(
    imported: Callable[[], bool],
) -> None:
    overrides = [
        "+experiment=teacherless_b",
        *(f"+aux.x.{key}={value}" for key, value in EVIL.items()),
    ]
    assert composes(overrides)
    assert as_data(overrides) is None
    assert not imported()
    assert as_data(overrides, trust=Trust(everything=True)) is not None
    assert imported()


def test_a_suggested_command_keeps_no_key_of_hydra_that_could_start_code(tmp_path: Path) -> None:
    kept = ["+experiment=aux_comparison", "hydra.mode=RUN", "hydra.searchpath=[file:///mine]"]
    dropped = ["hydra.callbacks.x._target_=os.system", "+hydra.run.dir=/tmp", "hydra/launcher=x"]
    (tmp_path / "overrides.yaml").write_text(yaml.safe_dump({"overrides": [*kept, *dropped]}))
    line = read_command_line(tmp_path)
    assert line is not None
    assert list(line.overrides) == kept
