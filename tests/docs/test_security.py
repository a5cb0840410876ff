"""SECURITY.md names the limits that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import ROOT
from jepa_lab.files import limits
from jepa_lab.files.hdf5 import MOST_PARTS

PAGE = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    gib = 2**30
    for text in (
        f"{limits.TEXT_BYTES // limits.MB} MB, {limits.DEPTH} levels",
        f"{limits.YAML_VALUES:,} values with every alias",
        f"{limits.TASK_BYTES // limits.MB} MB unpacked, {limits.DEPTH} levels",
        f"{limits.ARRAY_BYTES // gib} GB in memory; above {limits.UNPACKED_BYTES // limits.MB} MB",
        f"at most {limits.UNPACKED_RATIO} times",
        f"{limits.PIXELS:,} pixels",
        f"{limits.TABLE_ROWS:,} rows, {limits.TABLE_BYTES // gib} GB before compression",
        f"{limits.FOOTER_BYTES // limits.MB} MB of footer",
        f"CSV of features or a log | {limits.TABLE_BYTES // gib} GB |",
        f"Feather and Arrow | {limits.TABLE_ROWS:,} rows, "
        f"{limits.TABLE_BYTES // gib} GB unpacked |",
        f"logs of W&B and TensorBoard | {limits.TABLE_BYTES // gib} GB |",
        f"`.safetensors` | {limits.ARRAY_BYTES // gib} GB; its header",
        f"times its stored size; {MOST_PARTS:,} groups and data sets",
        f"`.pth` of features | {limits.ARRAY_BYTES // gib} GB; its parts are stored uncompressed;"
        f" {limits.TEXT_BYTES // limits.MB} MB for the part",
    ):
        assert text in PAGE, text


def test_every_reader_of_files_is_on_the_page() -> None:
    readers = {path.name for path in Path(limits.__file__).parent.glob("*.py")}
    for name in readers - {"__init__.py", "limits.py", "checksums.py", "extras.py"}:
        assert f"`{name}`" in PAGE, name


def test_files_are_parsed_by_their_reader_and_nowhere_else() -> None:
    parsers = re.compile(
        r"\b(np\.load|np\.fromfile|torch\.load|pq\.(read_table|ParquetFile)|Image\.open|gzip\.open"
        r"|yaml\.(load|full_load|unsafe_load)|pickle\.loads?|json\.load|OmegaConf\.load"
        r"|safe_open|ipc\.open_(stream|file)|library\.File)\("
    )
    package = ROOT / "src"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if parsers.search(path.read_text(encoding="utf-8"))
    }
    names = ("arrow", "hdf5", "images", "safe_tensors", "tables", "tensors", "text")
    readers = {f"jepa_lab/files/{name}.py" for name in names}
    # these read what they wrote into memory themselves, or what the command that started them sent
    memory = {f"jepa_lab/studies/{study}/preflight.py" for study in ("arc", "seq_jepa")}
    pipe = "jepa_lab/training/together.py"
    assert found == {*readers, "jepa_lab/callbacks/checkpoints.py", *memory, pipe}


def test_the_page_names_what_is_not_defended() -> None:
    section = PAGE.partition("## What is not defended")[2].partition("## ")[0]
    for text in ("current folder first", "Forged numbers", "control characters", "a secret"):
        assert text in section, text


def test_the_page_says_how_to_report_a_problem_without_an_address() -> None:
    assert "ask for a private channel" in PAGE
    assert "@" not in PAGE
