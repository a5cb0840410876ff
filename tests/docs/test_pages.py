"""The README and the pages of docs/: their commands compose, and their options, files, links and
module names exist."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from doc_pages import DOCS, PAGES, ROOT, RUN_ALL, overrides_of, training_commands, verb_commands
from jepa_lab.__main__ import main
from jepa_lab.cli import app as cli  # noqa: F401 - registers the resolvers
from jepa_lab.cli.verbs import VERBS
from jepa_lab.config.groups import conf_dir
from jepa_lab.sweep.ladder import checked_rungs

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS, OF_RESULTS = training_commands(), training_commands(results=True)
OTHERS = verb_commands()


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_in_the_documents_composes(command: str) -> None:
    require_composition(command)


@pytest.mark.slow
@pytest.mark.skipif(not RUN_ALL, reason="run by make docs-commands")
@pytest.mark.parametrize("command", OF_RESULTS, ids=str)
def test_every_command_of_a_page_of_results_composes(command: str) -> None:
    require_composition(command)


def require_composition(command: str) -> None:
    """Raises an error if the first job of a command line is not valid."""
    overrides = overrides_of(command)
    if "experiment=" not in command:
        overrides.insert(0, "+experiment=teacherless_b")  # as preview does
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        assert all(config.name for config in checked_rungs(compose("config", first_job(overrides))))


def first_job(overrides: list[str]) -> list[str]:
    """Returns the overrides of a sweep's first job. Of several auxiliary losses it takes the last
    one, as the first is often none, and leaves out the keys of the others."""
    first = [first_of_sweep(override) for override in overrides]
    arms = [w.removeprefix("aux=") for w in overrides if w.startswith("aux=")]
    if not arms or "," not in arms[0] or "[" in arms[0]:
        return first
    arm = arms[0].split(",")[-1]
    others = tuple(f"aux.{name}." for name in arms[0].split(",")[:-1])
    kept = [w for w in first if not w.startswith(("aux=", *others))]
    return [*kept, f"aux={arm}"]


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
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[page])
    targets += re.findall(r'(?:src|href)="([^"#:]+)"', PAGES[page])
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
    if module == "jepa_lab.monitor.hf_trainer" and find_spec("transformers") is None:
        pytest.skip("transformers is not installed (the extra examples)")
    assert hasattr(import_module(module), attribute)
