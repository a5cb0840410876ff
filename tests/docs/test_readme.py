"""What the README promises exists: its commands compose, its files are there, its Python runs."""

import re
import shlex
from importlib.util import find_spec

import pytest
from hydra import compose, initialize_config_dir

from conftest import ROOT
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.config.groups import conf_dir
from jepa_lab.sweep.ladder import checked_rungs

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = [README, *(p.read_text(encoding="utf-8") for p in sorted((ROOT / "docs").glob("*.md")))]
COMMANDS = sorted(
    set(re.findall(r"python -m jepa_lab +([^#`\n]*experiment=[^#`\n]*)", "\n".join(DOCS)))
)
# those of a user's folder: tests/auxiliary/test_adding_a_loss.py, tests/test_extending.py
COMMANDS = [c for c in COMMANDS if "searchpath" not in c and "--config-dir" not in c]
if find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
    COMMANDS = [c for c in COMMANDS if "hydra.sweeper.sampler" not in c]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_the_documents_composes(command: str) -> None:
    words = [w for w in shlex.split(command) if w not in ("-m", "--cfg", "job")]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert all(
            config.name
            for config in checked_rungs(compose("config", [first_of_sweep(w) for w in words]))
        )


def first_of_sweep(word: str) -> str:
    """The word of the sweep's first job."""
    key, _, values = word.partition("=")
    if values.startswith("range("):
        return f"{key}={values[6:].split(',')[0]}"
    if "interval(" in values:
        return f"{key}={re.findall(r'interval.([^,]+),', values)[0]}"
    if values.startswith("glob("):
        pattern = values[5:-1]
        first = min(p.stem for p in (conf_dir() / "experiment").glob(f"{pattern}.yaml"))
        return f"{key}={first}"
    return word if values.startswith("[") else word.split(",")[0]


def test_the_main_commands_are_there() -> None:
    assert any("+experiment=teacherless_b" in c for c in COMMANDS)
    assert {"setup", "demo", "test", "lint", "bench"} <= set(
        re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    )


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_and_picture_points_at_a_file(target: str) -> None:
    assert (ROOT / target).is_file()


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert "healthy" in capsys.readouterr().out
