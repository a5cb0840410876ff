"""docs/extending.md: writes a user's folder with one part of each kind, and trains a run with all
of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from jepa_lab import diagnose, evaluate, preview
from jepa_lab.cli.compose import composes
from jepa_lab.ledger.parquet import history_of

Command = Callable[..., tuple[int, str, str]]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(
    re.findall(r"^```(?:python|yaml)\n# (mine/\S+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
)
(LINE,) = re.findall(r"^python -m jepa_lab (.*)$", PAGE, re.MULTILINE)
SMALL = [
    "hardware=cpu",
    "hardware.threads=1",
    "tier=smoke",
    "dataset.epochs=1",
    "dataset.train_size=32",
    "dataset.batch_size=16",
    "dataset.val_size=32",
    "probes.hidden=8",
    "model=seq_jepa_small",
]


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Path]:
    """Writes the folder of the page. Commands run in its parent folder."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    yield tmp_path / "mine"
    forget()


def forget() -> None:
    """Removes the imported modules of the folder and its place in sys.path."""
    sys.path[:] = [place for place in sys.path if not place.endswith("/mine")]
    for name in FILES:
        sys.modules.pop(Path(name).stem, None)


def test_the_page_has_every_kind_of_part_in_about_twenty_lines() -> None:
    groups = {Path(name).parts[1] for name in FILES if name.endswith(".yaml")}
    assert groups == {"encoder", "dataset", "views", "aux_loss", "metric", "rule", "callback"}
    assert all(len(content.splitlines()) <= 36 for content in FILES.values())
    assert sum(len(c.splitlines()) for n, c in FILES.items() if n.endswith(".py")) / 7 <= 21


def test_a_run_with_a_part_of_each_kind_uses_its_metric_and_its_rule(
    mine: Path, command: Command
) -> None:
    code, out, err = command(*LINE.split(), *SMALL)
    assert code == 0, err
    assert "trained for 2 steps" in out  # the callback
    (run,) = Path("runs/teacherless_b").iterdir()
    history = history_of(run)
    assert history["val/z/spread"][-1][0] == 2  # the metric
    assert history["train/loss/even_scale"]
    verdict = json.loads((run / "summary.json").read_text())["verdict"]
    assert verdict["status"] == "complete_collapse"  # the rule
    assert verdict["reasons"][0].startswith("the spread of z is")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["encoder"] == {"_target_": "tiny.Tiny", "name": "tiny", "width": 16}
    assert config["dataset"]["source"]["_target_"] == "stripes.Stripes"
    assert config["dataset"]["views"]["_target_"] == "mirror.Mirror"


def test_a_run_with_user_defined_parts_is_skipped_diagnosed_and_evaluated(
    mine: Path, command: Command
) -> None:
    assert command(*LINE.split(), *SMALL)[0] == 0
    (run,) = Path("runs/teacherless_b").iterdir()
    kept = yaml.safe_load((run / "overrides.yaml").read_text())
    assert kept["config_dir"] == str(mine)
    assert not [override for override in kept["overrides"] if "searchpath" in override]
    code, out, _ = command("--config-dir", kept["config_dir"], *kept["overrides"])
    assert code == 0
    assert "finished before" in out
    forget()
    code, out, _ = command(str(run), main=diagnose.main)
    assert code == 0
    assert "not applied: diagnosis.rules no_spread" in out
    assert composes(kept["overrides"], kept["config_dir"])
    assert not composes([*kept["overrides"], "optim.lr=-1", "encoder.wdth=3"], kept["config_dir"])
    assert "tiny" not in sys.modules  # reading a run's configuration imports no module of the user
    code, _, err = command(
        str(run), "--rows", "none", "--limit", "60", "--anchors", "9", main=evaluate.main
    )
    assert code == 2
    assert "_target_=stripes.Stripes is user-defined code" in err
    assert "tiny" not in sys.modules
    overrides = [
        str(run),
        "--config-dir",
        "mine",
        "--rows",
        "none",
        "--limit",
        "60",
        "--anchors",
        "9",
        "--views",
        "1",
    ]
    assert command(*overrides, main=evaluate.main)[0] == 0


def test_preview_draws_user_defined_images_and_views(mine: Path, command: Command) -> None:
    options = ["--config-dir", "mine", "--rows", "2", "--out", "drawn.png"]
    code, _, err = command("dataset=stripes", "+views=mirror", *options, main=preview.main)
    assert code == 0, err
    assert Path("drawn.png").stat().st_size > 1000
    code, _, err = command("dataset=stripes", "--config-dir", "nowhere", main=preview.main)
    assert code == 2
    assert "nowhere" in err


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["encoder=tinny"], "encoder=tinny: no such option; did you mean 'tiny'?"),
        (["encoder=tiny", "+encoder.widht=3"], "encoder.widht: no such key; did you mean 'width'?"),
        (["encoder=tiny", "encoder.width=wide"], "encoder.width=wide: expected a whole number"),
        (
            ["dataset=stripes", "+dataset.source.numbr=3"],
            "dataset.source.numbr: no such key; did you mean 'number'?",
        ),
        (
            ["+views=mirror", "+dataset.views.has_ref=true"],
            "dataset.views.has_ref: no such key; did you mean 'has_ref",
        ),
        (
            ["aux=even_scale", "+aux.even_scale.sdt=2"],
            "aux.even_scale.sdt: no such key; did you mean 'std'?",
        ),
        (["+metric=spraed"], "metric=spraed: no such option; did you mean 'spread'?"),
        (
            ["+metric=spread", "monitor.metrics.spread.taps=[zz]"],
            "metrics.spread.taps=zz: expected one of z, z_agg",
        ),
        (
            ["+rule=no_spread", "+diagnosis.rules.no_spread.atleast=1"],
            "no_spread.atleast: no such key; did you mean 'at_l",
        ),
        (
            ["+callback=clock", "callbacks.clock._target_=clock.Clock"],
            "callbacks.clock._target_=clock.Clock: not a class of",
        ),
        (
            ["+rule=no_spread", "diagnosis.rules.no_spread._target_=nospread.NoSpread"],
            "No module named 'nospread'",
        ),
    ],
)
def test_a_misspelt_option_raises_one_line_with_the_nearest_name(
    overrides: list[str], line: str, mine: Path, command: Command
) -> None:
    code, _, err = command("--config-dir", "mine", "+experiment=teacherless_b", *overrides)
    assert (code, err.count("\n")) == (2, 1)
    assert line in err
    assert not Path("runs").exists()
