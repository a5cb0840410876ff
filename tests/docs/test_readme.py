"""The README and the pages of docs/: their commands compose, their options, files, links and module
names exist, and the Python example runs."""

import re
import shlex
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from conftest import ROOT
from jepa_lab.__main__ import main
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.cli.verbs import VERBS
from jepa_lab.config.groups import conf_dir
from jepa_lab.sweep.ladder import checked_rungs

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*(ROOT / name for name in ROOT_PAGES), *sorted((ROOT / "docs").rglob("*.md"))]
}
DOCS = "\n".join(PAGES.values())
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

# commands with user-defined parts are in test_adding_a_loss.py and test_extending.py
ELSEWHERE = ("searchpath", "--config-dir")
TRAINING = r"python -m jepa_lab(?:\.check)? +([^#`\n]*experiment=[^#`\n]*)"
PREVIEWS = r"python -m jepa_lab\.preview +([^#`\n]*=[^#`\n]*)"
COMMANDS = sorted(
    command
    for command in {*re.findall(TRAINING, DOCS), *re.findall(PREVIEWS, DOCS)}
    if not any(part in command for part in ELSEWHERE) and "dataset=NAME" not in command
)
if find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
    COMMANDS = [c for c in COMMANDS if "hydra.sweeper.sampler" not in c]
OTHERS = sorted(set(re.findall(r"(?:python -m jepa_lab\.|jepa-lab )([a-z]+)\b([^`#\n]*)", DOCS)))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_the_documents_composes(command: str) -> None:
    command = command.removesuffix("'").replace("$SLURM_PROCID", "0")  # from within bash -c '...'
    overrides = [w for w in shlex.split(command) if w not in ("-m", "--cfg", "job")]
    if "experiment=" not in command:
        overrides.insert(0, "+experiment=teacherless_b")  # as preview does
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert all(
            config.name
            for config in checked_rungs(compose("config", [first_of_sweep(w) for w in overrides]))
        )


def first_of_sweep(override: str) -> str:
    """Returns the override with the value of the sweep's first job."""
    key, _, values = override.partition("=")
    if values.startswith("range("):
        return f"{key}={values[6:].split(',')[0]}"
    if "interval(" in values:
        return f"{key}={re.findall(r'interval.([^,]+),', values)[0]}"
    if values.startswith("glob("):
        pattern = values[5:-1]
        first = min(p.stem for p in (conf_dir() / "experiment").glob(f"{pattern}.yaml"))
        return f"{key}={first}"
    return override if values.startswith("[") else override.split(",")[0]


@pytest.mark.parametrize("verb", sorted({verb for verb, _ in OTHERS}))
def test_every_option_of_another_command_is_in_its_help(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb in VERBS
    with suppress(SystemExit):  # argparse exits after the help
        main([verb, "--help"])
    help_text = capsys.readouterr().out
    options = {o for v, rest in OTHERS if v == verb for o in re.findall(r"--[a-z-]+", rest)}
    if verb in ("check", "preview"):  # they take --config-dir as training does
        options.discard("--config-dir")
    assert not [option for option in options if option not in help_text]


def test_the_main_commands_are_there() -> None:
    assert any("+experiment=teacherless_b" in c for c in COMMANDS)
    assert {"setup", "demo", "test", "lint", "bench"} <= set(re.findall(r"^(\w+):", MAKEFILE, re.M))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", DOCS, re.M))))
def test_every_target_of_make_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.M)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_picture_points_at_a_file(page: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", PAGES[page])
    assert not [t for t in targets if not ((ROOT / page).parent / t).is_file()]


@pytest.mark.parametrize("page", PAGES)
def test_every_path_into_the_repository_exists(page: str) -> None:
    folders = "src|conf|studies_docs|benchmarks|examples|claims|notebooks|docs"
    pattern = rf"(?<![\w/.])(?:{folders}|jepa_lab)/[\w./-]*"
    for path in {path.rstrip(".") for path in re.findall(pattern, PAGES[page])}:
        assert (ROOT / path).exists() or (ROOT / "src" / path).exists(), path


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bjepa_lab(?:\.\w+)+", DOCS))))
def test_every_module_and_object_exists(name: str) -> None:
    place = Path(ROOT, "src", *name.split("."))
    if place.is_dir() or place.with_suffix(".py").is_file():
        return
    module, _, attribute = name.rpartition(".")
    assert hasattr(import_module(module), attribute)


def test_the_example_of_the_monitor_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = re.findall(r"```python\n(.*?)```", README, re.S)
    monkeypatch.chdir(tmp_path)
    z = torch.randn(256, 16, generator=torch.Generator().manual_seed(0))
    exec(code, {"step": 0, "h": z, "z": z, "loss": torch.ones(())})
    assert capsys.readouterr().out.startswith("verdict: healthy: backbone")


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    _, code = re.findall(r"```python\n(.*?)```", README, re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert "healthy" in capsys.readouterr().out
