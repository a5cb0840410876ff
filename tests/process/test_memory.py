"""Used-up memory: which errors say so, and the line that a command prints."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lab.cli.compose import checked
from jepa_lab.errors import UserError
from jepa_lab.networks.encoders import build_encoder
from jepa_lab.networks.vision_transformer import VisionTransformer
from jepa_lab.process.command import run_command
from jepa_lab.process.memory import in_words, is_out_of_memory, memory_at_hand
from jepa_lab.studies import find
from jepa_lab.studies.arc import memory as arc_memory
from jepa_lab.studies.linear_byol.memory import bytes_needed, number_of_runs
from jepa_lab.studies.linear_byol.resume import plan_toy
from jepa_lab.studies.seq_jepa import memory as seq_memory
from jepa_lab.studies.seq_jepa.probes import SeqJEPAProbes
from jepa_lab.training.memory import require_memory, with_depths
from jepa_lab.training.module_memory import (
    COPIES,
    bytes_of_activations,
    bytes_of_module,
    most_bytes_of_activations,
)
from jepa_lab.training.preflight import run_check
from toy_configs import configure


def error_of(work: object) -> BaseException:
    with pytest.raises(Exception) as caught:
        work()  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(
    "work",
    [
        lambda: torch.empty(10**15),
        lambda: torch.empty(10**18, 10**18),
        lambda: torch.empty(10**20),
        lambda: np.empty(10**15),
        lambda: bytearray(10**17),
    ],
    ids=["torch", "beyond 64 bits", "integer beyond 64 bits", "numpy", "python"],
)
def test_an_allocation_that_fails_is_told_from_other_errors(work: object) -> None:
    assert is_out_of_memory(error_of(work))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))


def test_a_command_without_memory_prints_one_line_and_exits_with_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work() -> None:
        torch.empty(10**15)

    with pytest.raises(SystemExit) as end:
        run_command(work)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jepa_lab: out of memory: ")


def test_a_preflight_check_without_memory_is_no_failed_check() -> None:
    def check() -> list[str]:
        raise MemoryError

    with pytest.raises(MemoryError):
        run_check("any", check)


def test_the_memory_at_hand_is_some_of_this_machine() -> None:
    assert 1e8 < memory_at_hand() < 1e15


def test_sizes_are_written_in_their_unit() -> None:
    assert [in_words(n) for n in (2e3, 5e6, 3.25e9, 4e13, 1e30, float("inf"))] == [
        *("2.0 kB", "5.0 MB", "3.2 GB", "40.0 TB", "more than 1000 EB", "more than 1000 EB")
    ]


def test_a_module_is_measured_without_memory_and_without_random_numbers() -> None:
    before = torch.random.get_rng_state()
    size, module = bytes_of_module(lambda: torch.nn.Linear(10**6, 10**6, bias=False))
    assert size == 4 * 4 * 10**12
    assert module is not None
    assert bytes_of_activations(module, 3, 10**6) == pytest.approx(4 * (3 + 3) * 10**6, rel=1e-6)
    assert bytes_of_module(lambda: torch.nn.Linear(10**12, 10**12)) == (float("inf"), None)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_key_that_alone_makes_the_run_fit_is_named() -> None:
    config = configure("d_obs=5000", "eval_size=4000000000000", "enc=mlp", "batch_size=3000")
    with pytest.raises(UserError, match=r"^eval_size=4000000000000: the run takes 320\.0 PB"):
        require_memory(config, bytes_needed, at_hand=1e10)
    require_memory(config, bytes_needed, at_hand=1e18)


def test_no_key_is_named_where_none_alone_would_help() -> None:
    with pytest.raises(UserError, match=r"^the run takes 5\.0 GB of memory or more"):
        require_memory(configure(), lambda config: 5e9, at_hand=1e9)


def test_deep_models_are_extrapolated_from_their_first_blocks() -> None:
    config = configure("log_every=1000000")
    assert with_depths(config, lambda c: 7.0 + 5 * c.log_every, ("log_every",)) == 5_000_007
    assert with_depths(config, lambda c: float("inf"), ("log_every",)) == float("inf")


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["lr_enc_mode=auto", "auto_c_logspace=[0.1,1,3]"],
        ["lr_enc_mode=logspace"],
        ["lr_enc_mode=logspace", "lr_enc=0.1", "ema_m=0.9"],
        ["seeds=[0,1,2]", "batch_sizes=[8,16]"],
    ],
)
def test_the_runs_of_a_grid_are_counted_without_making_them(
    overrides: list[str], tmp_path: Path
) -> None:
    config = configure(*overrides, f"runs_dir={tmp_path}", experiment="linear_byol_sweep")
    assert number_of_runs(config) == len(plan_toy(config).runs)


@pytest.mark.skipif(sys.platform == "win32", reason="ulimit is of Unix")
def test_too_little_memory_for_torch_itself_gives_one_line(tmp_path: Path) -> None:
    line = f"ulimit -v 700000; exec {sys.executable} -m jepa_lab +experiment=linear_byol"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=tmp_path,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("jepa_lab: out of memory: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        *[("resnet_small", (32, 64, 128)), ("resnet_small", (4, 8)), ("resnet18_cifar", ())],
        *[("resnet18_imagenet", ()), ("pixels", ())],
    ],
)
@pytest.mark.parametrize(("n", "channels", "size"), [(2, 1, 16), (48, 3, 32), (192, 1, 8)])
def test_the_quick_bound_of_activations_is_above_the_count(
    name: str, widths: tuple[int, ...], n: int, channels: int, size: int
) -> None:
    _, encoder = bytes_of_module(
        lambda: build_encoder(name, in_channels=channels, image_size=size, widths=widths)
    )
    assert encoder is not None
    counted = bytes_of_activations(encoder, n, channels, size, size)
    assert 0 < counted <= most_bytes_of_activations(encoder, n, channels, size, size)


@pytest.mark.parametrize(("n", "patch", "heads"), [(16, 8, 2), (2, 2, 8)], ids=["short", "long"])
def test_activations_of_a_transformer_are_those_that_training_keeps(
    n: int, patch: int, heads: int
) -> None:
    options = {"patch_size": patch, "width": 32, "depth": 2, "heads": heads}
    kept: dict[int, Tensor] = {}

    def keep(value: Tensor) -> Tensor:
        return kept.setdefault(value.untyped_storage().data_ptr(), value)

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        VisionTransformer(3, 32, **options)(torch.zeros(n, 3, 32, 32))
    _, module = bytes_of_module(lambda: VisionTransformer(3, 32, **options))
    assert module is not None
    ratio = bytes_of_activations(module, n, 3, 32, 32) / sum(x.nbytes for x in kept.values())
    assert 0.9 < ratio < 1.2


@pytest.mark.parametrize(
    "overrides",
    [
        ["+experiment=teacherless_b", "target=ema"],
        ["+experiment=teacherless_b", "aux=[vicreg,dino]", "++loss.supervised=1"],
        ["+experiment=seq_jepa_stopgrad", "encoder=pixels", "model.positions=learned"],
        ["+experiment=arc_jepa"],
        ["+experiment=arc_jepa", "target=ema", "vq=gumbel"],
    ],
    ids=" ".join,
)
def test_all_modules_of_a_run_are_counted(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts that the count builds are those of the module that trains, and the probes."""
    config = checked(overrides)
    entry = find(config.study)
    data = entry.planner.load(config)
    sizes: list[float] = []
    memory = seq_memory if config.study == "seq_jepa" else arc_memory
    monkeypatch.setattr(
        memory,
        "bytes_of_module",
        lambda build: sizes.append((found := bytes_of_module(build))[0]) or found,
    )
    memory.bytes_needed(config, data if config.study == "seq_jepa" else len(data.train))
    module = entry.study.prepare(config, data).module
    parts = [*module.parameters(), *module.buffers()]
    trained = sum(p.numel() * p.element_size() for p in parts if p.requires_grad)
    held = sum(p.numel() * p.element_size() for p in parts if not p.requires_grad)
    probes = 0.0
    if config.study == "seq_jepa":
        source = SeqJEPAProbes(config.probes.leak_head)
        heads = [p.head(source.sample(module), config.probes.hidden) for p in source.probes(module)]
        probes = sum(bytes_of_module(lambda head=head: head)[0] for head in heads)
    assert sizes[0] == COPIES * trained + held + probes


def test_draws_are_skipped_on_the_device_meta_only() -> None:
    def build() -> torch.nn.Module:
        layer = torch.nn.Linear(3, 2)
        torch.nn.init.kaiming_normal_(layer.weight)
        layer.drawn = torch.nn.Parameter(torch.randn(4, 5, generator=torch.Generator()))
        layer.real = torch.randn(3, device="cpu")
        return layer

    size, module = bytes_of_module(build)
    assert module is not None
    assert size == 4 * 4 * (3 * 2 + 2 + 4 * 5)
    assert module.drawn.shape == (4, 5)  # type: ignore[union-attr]
    assert module.drawn.is_meta
    assert module.real.std() > 0  # type: ignore[union-attr,operator]


HEAVY = ("pytorch_lightning", "torchvision", "torchmetrics", "torch._dynamo", "wandb", "pyarrow")
LIGHT = """
import sys
from jepa_lab.check import main
main(sys.argv[2:])
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    ("experiment", "heavy"),
    [
        ("teacherless_b", (*HEAVY, "sklearn", "scipy", "matplotlib")),
        ("arc_jepa", HEAVY),
        ("linear_byol", (*HEAVY, "torch", "sklearn", "scipy", "matplotlib")),
    ],
)
def test_a_check_imports_nothing_that_only_training_needs(
    experiment: str, heavy: tuple[str, ...], tmp_path: Path
) -> None:
    line = [sys.executable, "-c", LIGHT, ",".join(heavy), f"+experiment={experiment}"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 job: 1 to do" in done.stdout
