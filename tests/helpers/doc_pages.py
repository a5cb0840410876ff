"""The pages that a user reads, and the commands and the code on them."""

from __future__ import annotations

import os
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
RUN_ALL = bool(os.environ.get("JEPA_LAB_DOCS_COMMANDS"))  # make docs-commands sets it
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*(ROOT / name for name in ROOT_PAGES), *sorted((ROOT / "docs").rglob("*.md"))]
}
DOCS = "\n".join(PAGES.values())
README = PAGES["README.md"]

# commands with user-defined parts are in test_adding_a_loss.py and test_extending.py
ELSEWHERE = ("searchpath", "--config-dir")
TRAINING = r"python -m jepa_lab(?:\.check)? +([^#`\n]*experiment=[^#`\n]*)"
PREVIEWS = r"python -m jepa_lab\.preview +([^#`\n]*=[^#`\n]*)"
VARIABLE = r"^(\w+)='([^'\n]*)'$"  # of a shell, as E8='...' of a results page


class Block(NamedTuple):
    """A fenced block: its page, its language, its text."""

    page: str
    language: str
    text: str


def blocks(*languages: str) -> list[Block]:
    """Returns the fenced blocks of some languages on all pages."""
    pattern = r"^```(\w*)\n(.*?)^```"
    found = [
        Block(page, language, text)
        for page, content in PAGES.items()
        for language, text in re.findall(pattern, content, re.DOTALL | re.MULTILINE)
    ]
    return [block for block in found if block.language in languages]


def training_commands(results: bool = False) -> list[str]:
    """Returns the overrides of every command that trains, checks or previews, without doubles and
    with the shell's variables of its page replaced: of the pages of results or of all others."""
    found = set()
    for page, content in PAGES.items():
        if page.startswith("docs/results/") != results:
            continue
        variables = dict(re.findall(VARIABLE, content, re.MULTILINE))
        for command in {*re.findall(TRAINING, content), *re.findall(PREVIEWS, content)}:
            for name, value in variables.items():
                command = command.replace(f"${name}", value)
            found.add(command.strip())
    commands = [c for c in sorted(found) if not any(part in c for part in ELSEWHERE)]
    if find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        commands = [c for c in commands if "hydra.sweeper.sampler" not in c]
    return [c for c in commands if "dataset=NAME" not in c and "=..." not in c]


def overrides_of(command: str) -> list[str]:
    """Returns the overrides of a command line, those of a sweep as they are typed."""
    if command.count("'") % 2:  # from within bash -c '...'
        command = command.removesuffix("'")
    command = command.replace("$SLURM_PROCID", "0")
    return [w for w in shlex.split(command) if w not in ("-m", "--cfg", "job")]


def verb_commands() -> list[tuple[str, str]]:
    """Returns (verb, the rest) of every other command, without doubles."""
    found = re.findall(r"(?:python -m jepa_lab\.|`jepa-lab )([a-z]+)\b([^`#\n]*)", DOCS)
    return sorted({(verb, rest.strip()) for verb, rest in found})
