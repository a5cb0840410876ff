"""Fixtures of all tests: small configurations, composed once, and runs without figures."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# before torch: several processes share the cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import torch
from hydra import compose, initialize_config_dir

from browser import Browser, find_chromium
from jepa_lab.cli import app as cli
from jepa_lab.config.groups import conf_dir
from jepa_lab.studies import checked
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.seq_jepa.config import Config

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _same_random_stream() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches figures off, since they take most of the time of a tiny run. tests/report and some
    module-scoped runs draw them."""
    without_figures(monkeypatch)
    monkeypatch.setattr("jepa_lab.studies.arc.study.write_figure", lambda *args, **kwargs: None)


@pytest.fixture(autouse=True)
def _figures_can_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a figure that cannot be drawn an error, which in a run is only logged."""

    def raised(path: Path, error: Exception) -> None:
        raise error

    monkeypatch.setattr("jepa_lab.report.figures.not_drawn", raised)


def without_figures(patch: pytest.MonkeyPatch) -> None:
    """Makes runs of seq-JEPA draw no figures."""
    for place in (
        "report.outcome.draw_figures",
        "report.outcome.draw_early_warning",
        "studies.seq_jepa.outcome.draw_sweeps",
    ):
        patch.setattr(f"jepa_lab.{place}", lambda *args, **kwargs: None)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real images beside the checkout. Tests that need it are skipped without
    it."""
    folder = (ROOT / os.environ.get("JEPA_LAB_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip("no folder with MNIST and CIFAR-10 images (JEPA_LAB_DATA)")
    return folder


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Config]:
    """Makes checked configurations: digits, two epochs of four steps, a narrow network, plus the
    overrides passed."""
    return maker(tmp_path)


def maker(folder: Path, without: tuple[str, ...] = ()) -> Callable[..., Config]:
    """Returns the function of `make_config` for any folder, without base overrides that start with
    an entry of `without`."""

    def make(*overrides: str, experiment: str = "teacherless_b") -> Config:
        return compose_checked(
            small_overrides(folder, *overrides, experiment=experiment, without=without)
        )

    return make


def small_overrides(
    folder: Path, *overrides: str, experiment: str = "teacherless_b", without: tuple[str, ...] = ()
) -> list[str]:
    """Returns the overrides of `make_config`, without base overrides that start with an entry of
    `without`."""
    base = [
        f"+experiment={experiment}",
        "tier=smoke",
        f"runs_dir={folder / 'runs'}",
        "hardware=cpu",
        "hardware.threads=1",
        "dataset.epochs=2",
        "dataset.train_size=256",
        "dataset.val_size=64",
        "encoder.widths=[8,16]",
        "model.action_dim=8",
        "model.depth=1",
        "model.hidden=32",
        "probes.hidden=16",
        "monitor.log_every=2",
        "preflight=off",  # most tests skip it; tests/studies/seq_jepa/test_preflight.py does not
    ]
    other = any(x.startswith("encoder=") and x != "encoder=resnet_small" for x in overrides)
    if other or experiment == "raw_pixels":
        without = (*without, "encoder.widths")
    if "model/predictor=crate" in overrides:
        without = (*without, "model.hidden")
    return [*(b for b in base if not (without and b.startswith(without))), *overrides]


@pytest.fixture
def make_arc(tmp_path: Path) -> Callable[..., ArcConfig]:
    """Makes checked configurations of an ARC JEPA: few generated tasks, two epochs of a few steps,
    a narrow network."""
    return arc_maker(tmp_path)


def arc_maker(folder: Path) -> Callable[..., ArcConfig]:
    """Returns the function of `make_arc` for any folder."""

    def make(*overrides: str, experiment: str = "arc_jepa") -> ArcConfig:
        return compose_checked(small_arc_overrides(folder, *overrides, experiment=experiment))

    return make


def small_arc_overrides(folder: Path, *overrides: str, experiment: str = "arc_jepa") -> list[str]:
    """Returns the overrides of `make_arc`."""
    published = experiment not in ("arc_jepa", "arc_fsq", "arc_gumbel", "arc_lejepa")
    return [
        f"+experiment={experiment}",
        *([] if published else ["dataset=arc_synthetic"]),
        "tier=smoke",
        f"runs_dir={folder / 'runs'}",
        "hardware=cpu",
        "hardware.threads=1",
        "dataset.epochs=2",
        "dataset.batch_size=8",
        f"dataset.train_tasks={40 if published else 8}",
        f"dataset.val_tasks={32 if published else 8}",
        f"dataset.test_tasks={32 if published else 8}",
        "model.width=16",
        "model.heads=2",
        "model.depth=1",
        "model.hidden=16",
        "model.projection=8",
        "loss.queue=32",
        *([] if experiment == "arc_fsq" else ["vq.size=8"]),
        "monitor.log_every=1",
        "preflight=off",
        *overrides,
    ]


def compose_checked(overrides: list[str]) -> Any:
    """Returns the checked configuration of the overrides."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return checked(copy.deepcopy(compose("config", overrides)))


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in an empty folder and returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*args: str, main: Callable[[list[str]], None] = cli.main) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["jepa_lab"])
        code = 0
        try:
            main(list(args))
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    find_chromium()
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    """The browser after it has opened `page`, a fixture of the test's file."""
    browser.errors.clear()
    browser.requests.clear()
    browser.open(page)
    return browser
