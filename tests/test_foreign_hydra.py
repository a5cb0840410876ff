"""Other Hydra programs of the same environment run as if jepa-lab were not installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import MissingConfigException

import hydra_plugins
from hydra_plugins.jepa_lab_search_path import is_ours
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.config.groups import conf_dir

PROGRAM = """
import sys
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg):
    print("lr", cfg.lr, cfg.get("aux", ""))
    print("of jepa-lab", sorted(name for name in sys.modules if "jepa_lab" in name))

if __name__ == "__main__":
    main()
"""
# runs app.py, and with WITHOUT as Hydra would without our modules in its namespace of plugins
START = """
import runpy, sys
sys.argv = ["app.py", *sys.argv[1:]]
sys.path.insert(0, "")
runpy.run_path("app.py", run_name="__main__")
"""
WITHOUT = """
import pkgutil
walk = pkgutil.walk_packages
pkgutil.walk_packages = lambda *a, **k: (m for m in walk(*a, **k) if "jepa_lab" not in m.name)
"""
OURS = "hydra_plugins.jepa_lab_search_path"
LAUNCHERS = {"joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher"}
OWN_LAUNCHER = "_target_: hydra._internal.core_plugins.basic_launcher.BasicLauncher\n"


def installed(plugin: str) -> bool:
    return any((Path(folder) / plugin).is_dir() for folder in hydra_plugins.__path__)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program with one key."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "app.py").write_text(PROGRAM)
    (tmp_path / "conf" / "config.yaml").write_text("lr: 0\n")
    return tmp_path


@pytest.fixture
def grouped(program: Path) -> Path:
    """A program with names that are ours too: a group `aux`, and launchers of its own."""
    for option in ("none", "vicreg"):
        path = program / "conf" / "aux" / f"{option}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"mine: {option}\n")
    for option in ("sequential", "mine"):
        path = program / "conf" / "hydra" / "launcher" / f"{option}.yaml"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(OWN_LAUNCHER)
    (program / "conf" / "config.yaml").write_text(
        "defaults: [{aux: none}, {override hydra/launcher: sequential}, _self_]\nlr: 0\n"
    )
    return program


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs Python without the tracebacks of Hydra that our command line switches on."""
    env = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    return subprocess.run(
        [sys.executable, *args], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def output(folder: Path, *args: str, without: bool = False) -> tuple[int, str]:
    """Returns the exit code of a program's command line, and what it prints, without times."""
    done = run(folder, "-c", (WITHOUT if without else "") + START, *args)
    text = re.sub(r"\d{4}-\d\d-\d\d[ /][\d:,-]+", "TIME", done.stdout + done.stderr)
    return done.returncode, text.replace(f"'{OURS}'", "")


def started(folder: Path, *args: str) -> str:
    """Returns what a program prints that is started as usual and succeeds."""
    done = run(folder, "app.py", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "args",
    [
        ["lr=1"],
        ["-m", "lr=1,2"],
        ["--help"],
        ["--hydra-help"],
        ["--info", "searchpath"],
        ["--info", "defaults"],
        ["--cfg", "all"],
        ["-m", "lr=1,2", "hydra/launcher=sequential"],
        ["-m", "lr=1,2", "hydra/launcher=check"],
        ["-m", "lr=1,2", "hydra/sweeper=search"],
        ["-m", "lr=1,2", "hydra/sweeper=optuna"],
        ["+aux=none"],
        ["hydra.searchpath=[aux_loss://.]"],
    ],
    ids=" ".join,
)
def test_a_program_prints_the_same_with_and_without_our_plugins(
    args: list[str], program: Path
) -> None:
    code, text = output(program, *args)
    assert (code, text) == output(program, *args, without=True)
    assert code == 0 or args[-1].startswith(("hydra", "+aux")), text  # names that are ours only


@pytest.mark.parametrize(
    "args",
    [
        ["-m", "aux=none,vicreg"],
        ["-m", "aux=none,vicreg", "hydra/launcher=mine"],
        ["--help"],
        ["--hydra-help"],
        ["aux=barlow_twins"],
    ],
    ids=" ".join,
)
def test_a_program_keeps_its_own_group_aux_and_its_own_launchers(
    args: list[str], grouped: Path
) -> None:
    code, text = output(grouped, *args)
    assert (code, text) == output(grouped, *args, without=True)
    assert "vicreg" in text or "sequential" in text
    assert code == ("barlow_twins" in args[0])


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
@pytest.mark.parametrize("around", [[], ["--config-dir"]], ids=["alone", "beside conf/"])
def test_a_program_gets_the_launchers_of_the_plugins(
    launcher: str, around: list[str], program: Path
) -> None:
    args = [*around, *([str(conf_dir())] if around else []), "--cfg", "hydra"]
    code, text = output(program, *args, f"hydra/launcher={launcher}")
    assert (code, text) == output(program, *args, f"hydra/launcher={launcher}", without=True)
    assert "jepa_lab" not in text


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_of_a_plugin_runs_the_jobs_of_a_program(launcher: str, program: Path) -> None:
    if not installed(LAUNCHERS[launcher]):
        pytest.skip(f"{LAUNCHERS[launcher]} is not installed")
    text = started(program, "-m", "lr=1,2", f"hydra/launcher={launcher}")
    logs = sorted(program.rglob(".submitit/*/*_log.out"))
    printed = text + "".join(path.read_text() for path in logs)
    assert sorted(re.findall(r"^lr \d", printed, re.MULTILINE)) == ["lr 1", "lr 2"]


def test_the_list_of_plugins_names_one_class_more(program: Path) -> None:
    def classes(text: str) -> set[str]:
        return set(re.findall(r"^\t\t(\w+)$", text.partition("Profiling")[0], re.MULTILINE))

    _, with_us = output(program, "--info", "plugins")
    _, without_us = output(program, "--info", "plugins", without=True)
    assert classes(with_us) - classes(without_us) == {"JepaLabSearchPath"}
    assert classes(without_us) - classes(with_us) == set()


def test_the_start_of_a_program_imports_one_module_of_ours(program: Path) -> None:
    assert f"of jepa-lab ['{OURS}']" in started(program)


def launcher_of(folder: Path, name: str) -> str:
    with initialize_config_dir(str(folder), version_base="1.3"):
        config = compose("config", [f"hydra/launcher={name}"], return_hydra_config=True)
    return str(config.hydra.launcher._target_)


def test_a_program_in_a_process_that_ran_ours_finds_nothing_of_ours(program: Path) -> None:
    theirs = program / "conf"
    Plugins.instance()  # imports all plugins, which store their options
    before = str(ConfigStore.instance().repo)
    assert launcher_of(conf_dir(), "joblib").startswith("hydra_plugins._jepa_lab")
    assert str(ConfigStore.instance().repo) == before
    if installed(LAUNCHERS["joblib"]):
        plugin = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
        assert launcher_of(theirs, "joblib") == plugin
    for name in ("sequential", "check"):
        with pytest.raises(MissingConfigException):
            launcher_of(theirs, name)


def test_a_program_that_starts_within_ours_takes_nothing_from_it(program: Path) -> None:
    here = GlobalHydra.instance()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        ours = here.hydra
        assert ours is not None
        here.clear()
        with pytest.raises(MissingConfigException):
            launcher_of(program / "conf", "sequential")
        GlobalHydra.instance().initialize(ours)
        config = compose(
            "config", ["aux=vicreg", "hydra/launcher=submitit_local"], return_hydra_config=True
        )
    assert config.aux
    assert config.hydra.launcher._target_.startswith("hydra_plugins._jepa_lab")


def test_a_copy_of_our_configuration_keeps_our_group_and_launchers(tmp_path: Path) -> None:
    copied = tmp_path / "conf"
    shutil.copytree(conf_dir(), copied)
    (copied / "aux_loss" / "mine.yaml").write_text("mine: 3\n")
    with initialize_config_dir(str(copied), version_base="1.3"):
        config = compose("config", ["aux=mine"], return_hydra_config=True)
    assert config.aux.mine == 3
    assert config.hydra.launcher._target_.endswith("SequentialLauncher")


def test_a_file_that_cannot_be_read_is_not_ours(tmp_path: Path) -> None:
    assert is_ours(conf_dir())
    assert not is_ours(tmp_path)
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    assert not is_ours(tmp_path)
    (tmp_path / "config.yaml").unlink()
    (tmp_path / "config.yaml").mkdir()
    assert not is_ours(tmp_path)
