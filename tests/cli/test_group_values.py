"""A group takes names of options. Any other value is one line in every command that composes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Key

from comparison_runs import make_run
from jepa_lab import diagnose, preview
from jepa_lab.__main__ import main as train
from jepa_lab.cli.arguments import check_options
from jepa_lab.cli.compose import composed
from jepa_lab.cli.messages import is_from_hydra
from jepa_lab.errors import UserError

Command = Callable[..., tuple[int, str, str]]
B = "+experiment=teacherless_b"
# Hydra raises a TypeError or a ValueError for each, without the key
NO_OPTIONS = [
    *("aux=[null]", "aux=[vicreg,???]", "aux=null", "loss=1", "dataset=null", "dataset=true"),
    *("experiment=[null]", "+experiment=[[a]]", "model/aggregator=null", "loss@x=1"),
]


@pytest.mark.parametrize("override", NO_OPTIONS)
def test_a_value_that_names_no_option_is_one_line_with_the_override(override: str) -> None:
    with pytest.raises(UserError) as error:
        composed([B, override])
    assert str(error.value).startswith(f"{override}: expected the name of an option of the group")


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (train, [B, "aux=[null]"]),
        (train, ["-m", B, "loss=dino,2"]),
        (train, ["experiment=[null]"]),
        (preview.main, [B, "loss=1"]),
    ],
)
def test_commands_print_the_line(
    main: Callable[..., None], arguments: list[str], command: Command, tmp_path: Path
) -> None:
    code, _, err = command(*arguments, main=main)
    assert (code, err.count("\n")) == (2, 1)
    assert "expected the name of an option of the group" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "override", ["aux=[null]", "loss=1", "+experiment=null", f"+x={'9' * 5000}", f"{'a' * 999}=1"]
)
def test_a_run_of_someone_else_with_such_an_override_is_diagnosed(
    override: str, tmp_path: Path, command: Command
) -> None:
    run = make_run(tmp_path / "runs", "a", 0)
    (run / "overrides.yaml").write_text(yaml.safe_dump({"overrides": [B, override]}))
    code, out, _ = command(str(run), main=diagnose.main)
    assert code == 0
    assert "verdict" in out


@pytest.mark.parametrize(
    "override",
    ["aux=[vicreg,sigreg]", "aux=[]", "aux={vicreg:{weight:1}}", "loss=dino,info_nce", "loss="],
)
def test_names_lists_of_names_and_mappings_are_left_to_hydra(override: str) -> None:
    check_options([B, override, "+experiment=glob(*)", "seed=1", "~aux", "x=["])


def test_a_list_in_a_list_for_a_group_of_the_user_is_one_line(
    tmp_path: Path, command: Command
) -> None:
    (tmp_path / "mine" / "own").mkdir(parents=True)
    (tmp_path / "mine" / "own" / "a.yaml").write_text("x: 1\n")
    code, _, err = command("--config-dir", "mine", B, "+own=[[a]]")
    assert (code, len(err.splitlines())) == (2, 1), err


def test_errors_of_this_package_are_told_from_those_of_hydra() -> None:
    def raised(work: Callable[[], Any]) -> BaseException:
        with pytest.raises(TypeError) as error:
            work()
        return error.value

    assert is_from_hydra(raised(lambda: OverridesParser.create().parse_override(None)))
    assert not is_from_hydra(raised(lambda: len(3)))  # type: ignore[arg-type]
    assert not is_from_hydra(raised(lambda: Key()))  # type: ignore[call-arg]
    assert not is_from_hydra(TypeError())
