"""Bad input on the command line: one clear line, exit code 2, and no file changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lab import check, preview
from jepa_lab.cli.arguments import check_removed

Command = Callable[..., tuple[int, str, str]]
B = "+experiment=teacherless_b"
NPZ, FOLDER = [B, "dataset=npz"], [B, "dataset=folder"]
BAD = [
    (
        ["+experiment=teacherles_b"],
        "experiment=teacherles_b: no such option; did you mean 'teacherless_b'?",
    ),
    (
        ["experiment=teacherles_b"],
        "experiment=teacherles_b: no such option; did you mean 'teacherless_b'?",
    ),
    ([B, "target=emaa"], "target=emaa: no such option; did you mean 'ema'?"),
    ([B, "loss.lamda_rate=1"], "did you mean 'lambda_rate'?"),
    ([B, "+loss.lamda_rate=1"], "did you mean 'lambda_rate'?"),
    ([B, "tarjet=ema"], "did you mean 'target'?"),
    ([B, "loss.lambda_rate=-1"], "loss.lambda_rate=-1"),
    ([B, "loss.lambda_rate=abc"], "loss.lambda_rate=abc: expected a number"),
    ([B, "seed="], "seed=: expected a whole number"),
    ([B, "loss.alpha=0"], "loss.alpha=0"),
    ([B, "loss.rate_target=w"], "loss.rate_target=w: expected one of z_agg, z, both"),
    ([B, "dataset.n_views=1"], "dataset.n_views=1: must be at least 2"),
    ([B, "dataset.batch_size=0"], "dataset.batch_size=0"),
    ([B, "dataset.batch_size=5000"], "dataset.batch_size=5000: larger than the 1097 training"),
    ([B, "dataset.epochs=1.5"], "dataset.epochs=1.5: expected a whole number"),
    ([B, "dataset.seq_len=2", "dataset.n_views=5"], "contradict"),
    ([B, "dataset=npz"], "dataset.path is missing"),
    ([B, "dataset=folder"], "dataset.root is missing"),
    ([B, "dataset=npz", "dataset.path=/nowhere.npz"], "/nowhere.npz"),
    ([B, "monitor.every_epochs=7"], "monitor.every_epochs=7"),
    ([B, "model.heads=7"], "model.heads=7"),
    ([B, "seed=0,1"], "seed"),
    ([B, "x=[1"], "x=[1"),
    ([B, "~encoder"], "~encoder: a run needs encoder"),
    ([B, "~loss"], "~loss: a run needs loss"),
    ([B, "~monitor"], "~monitor: a run needs monitor"),
    ([B, "~gates"], "~gates: a run needs gates"),
    ([B, "~loss.alpha"], "~loss.alpha: a run needs loss.alpha"),
    ([B, "~model/aggregator"], "~model.aggregator: a run needs model.aggregator"),
    # flags
    ([B, "--nope"], "unrecognized arguments: --nope"),
    ([B, "--multi"], "unrecognized arguments: --multi"),
    ([B, "--cfg", "x"], "argument --cfg/-c: invalid choice: 'x'"),
    ([B, "-c"], "argument --cfg/-c: expected one argument"),
    ([B, "--package", "x"], "--package x: only --cfg reads it"),
    ([B, "--experimental-rerun", "x"], "--experimental-rerun: runs keep no pickled configuration"),
    ([B, "--config-name", "nope"], "--config-name nope: no such configuration"),
    # sweeps: no file before all jobs compose
    (["-m", B, "seed=0,1,x"], "seed=x: expected a whole number"),
    (["-m", B, "seed="], "seed=: expected a whole number"),
    (["-m", B, "seed=range(0,0)"], "seed=range(0,0): no value matches or remains"),
    (["-m", B, "seed=range(0,5,0)"], "seed=range(0,5,0): range() arg 3 must not be zero"),
    (["-m", B, "seed=glob(nope*)"], "seed=glob(nope*): no value matches or remains"),
    (["-m", B, "seed=range(0,1000000000)"], "seed=range(0,1000000000): more than"),
    (["-m", B, "seed=1,2", "hydra.sweeper.max_batch_size=0"], "max_batch_size=0: must be at least"),
    # numbers beyond 64 bits, values that were never given, and mappings of another form
    ([B, "model.hidden=99999999999999999999"], "model.hidden=99999999999999999999: must be below"),
    ([B, "seed='99999999999999999999'"], "seed=99999999999999999999: must be below 2^63"),
    (
        [B, "aux=vicreg", f"aux.vicreg.proj_hidden_dim='{'9' * 400}'"],
        "aux.vicreg.proj_hidden_dim=9999999999... (400 digits): must be below 2^63",
    ),
    (
        [B, "aux=vicreg", f"aux.vicreg.proj_hidden_dim='{'9' * 5000}'"],
        "aux.vicreg.proj_hidden_dim=",
    ),
    ([B, f"model.hidden='{'9' * 5000}'"], "model.hidden="),
    ([B, "hardware.threads=1000000"], "hardware.threads=1000000: must be at most"),
    ([B, "sweep.tuning.weights=1000000000"], "sweep.tuning.weights=1000000000: must be at most"),
    ([B, "dataset.train_size=???"], "dataset.train_size=???: a value is needed"),
    ([B, "expected={tuned:1}"], "expected.tuned=1: expected data set -> tier -> metric -> text"),
    ([B, "+expected.tuned.digits_rot.quick.a={b:1}"], "expected.tuned.digits_rot.quick.a="),
    ([B, "loss=none"], "loss=none"),
    (["-m", "+experiment=glob(nothing_*)"], "the sweep has no job"),
    ([B, "tier=paper"], "tier=paper: dataset=digits_rot has baseline, quick, smoke"),
    ([B, "dataset.translation=[1,2]"], "dataset.translation"),
    ([B, "dataset=digits_affine", "dataset.mode=spin"], "dataset.mode=spin: must be one of"),
    ([B, "dataset.action_code=angle"], "dataset.action_code=angle: must be one of"),
    ([B, "hardware=gpu"], "hardware.accelerator=gpu: no accelerator"),
    ([], "no experiment was named"),
    # keys of Hydra
    (
        ["-m", B, "hydra.job_logging.root.level=x"],
        "hydra.job_logging.root.level=x: expected a level of logging",
    ),
    (["-m", B, "hydra.job_logging.root.handlers=[x]"], "hydra.job_logging: Unable to configure"),
    (["-m", B, "seed=0,1", "hydra.job.chdir=true"], "hydra.job.chdir=true: a run keeps the"),
    ([B, "hydra.job.chdir=true"], "hydra.job.chdir=true: a run keeps the working directory"),
    ([B, "hydra.nope=1"], "hydra.nope: no such key"),
    ([B, "loss=info_nce"], "the option of the group loss belongs to another study, but"),
    # contradictions
    ([B, "model.ema=true", "target=stopgrad"], "model.ema=true and target=stopgrad contradict"),
    (
        [B, "model.ema=true", "model.teacherless=true"],
        "model.ema=true and model.teacherless=true contradict",
    ),
    ([B, "loss.rate_loss_enabled=false", "loss.lambda_rate=0.1"], "contradict"),
    ([B, "+target.tau=0.99"], "target.tau=0.99: only target=ema has it"),
    (
        [B, "dataset.path=mine.npz"],
        "dataset.path=mine.npz: only dataset=npz and dataset=hf read it",
    ),
    ([B, "dataset.root=mine"], "dataset.root=mine: dataset=digits_rot reads no folder"),
    (
        [B, "encoder=resnet18_cifar", "+encoder.widths=[8]"],
        "encoder.widths=[8]: only encoder=resnet_small has it",
    ),
    ([B, "aux=[vicreg,vicreg]"], "aux=[vicreg,vicreg]: vicreg is given twice"),
    (
        ["-m", B, "aux=none,[none, vicreg]"],
        "aux=[none,vicreg]: none cannot be combined with a loss",
    ),
    ([B, 'aux=[vicreg,"vicreg"]'], "aux=[vicreg,vicreg]: vicreg is given twice"),
    ([B, "+aux=[vicreg,[sigreg]]"], "give one list, as aux=[vicreg,sigreg]"),
    ([B, "target=[ema,stopgrad]"], "target=[ema,stopgrad]: one option of the group target is"),
    (["+experiment=[teacherless_b,linear_byol]"], "one option of the group experiment is needed"),
    # types and ranges
    ([B, "encoder.widths=[8,[16]]"], "encoder.widths[1]=[16]: expected a whole number"),
    ([B, "encoder.widths={a:1}"], "encoder.widths: expected a list, as in encoder.widths=[...]"),
    ([B, "encoder.widths=[null]"], "encoder.widths[0]=null: expected a whole number"),
    ([B, "diagnosis.stop_on=[[x]]"], "diagnosis.stop_on[0]=['x']: expected a text"),
    ([B, "dataset.tiers=3"], "dataset.tiers=3: expected the budget of each tier"),
    ([B, "seed=null"], "seed=null: expected a whole number"),
    ([B, "optim.lr=null"], "optim.lr=null: expected a number"),
    ([B, "gates.strict=null"], "gates.strict=null: expected true or false"),
    ([B, "runs_dir=[a]"], "runs_dir=['a']: expected a text"),
    ([B, "seed=99999999999"], "seed=99999999999: must be at most 4294967295"),
    (["-m", B, "sweep=null"], "sweep=null: a value is needed"),
    ([B, "sweep.tuning=3"], "3: one value for a group of keys"),
    ([B, "model.ema=perhaps"], "model.ema=perhaps: expected true or false"),
    ([B, "seed=-1"], "seed=-1: must be at least 0"),
    ([B, "seed=1.5"], "seed"),
    ([B, "max_wall_s=0"], "max_wall_s=0.0: must be above 0"),
    ([B, "max_wall_s=soon"], "max_wall_s"),
    ([B, "diagnosis.on_nan=ignore"], "diagnosis.on_nan=ignore: expected one of stop, skip"),
    ([B, "sweep.fail_fast=2"], "sweep.fail_fast=2: expected true or false"),
    ([B, "hardware.compile=-1"], "hardware.compile=-1: expected true or false"),
    ([B, "hardware.compile='-1'"], "hardware.compile=-1: expected true or false"),
    (["+experiment=arc_jepa", "vq.count_padding=-1"], "vq.count_padding=-1: expected true or"),
    ([B, "diagnosis.stop_on=[healthy]"], "diagnosis.stop_on=[healthy]: healthy is none of"),
    ([B, "diagnosis.stop_on=[diverged,too_short]"], "too_short is none of complete_collapse"),
    ([B, "name=sweeps"], "name=sweeps: the folder of sweeps in runs_dir"),
    ([B, "sweep.fail_fast=maybe"], "sweep.fail_fast=maybe: expected true or false"),
    ([B, "on_existing=overwrite"], "on_existing=overwrite: expected one of resume, restart, error"),
    ([B, "optim.lr=nan"], "optim.lr=nan"),
    ([B, "optim.lr=inf"], "optim.lr=inf"),
    ([B, "loss.lambda_rate=nan"], "loss.lambda_rate=nan"),
    ([B, "loss.alpha=nan"], "loss.alpha=nan"),
    ([B, "loss.alpha=big"], "loss.alpha=big: a number above 0, or auto"),
    ([B, "optim.warmup=2"], "optim.warmup=2.0: must lie between 0 and 1"),
    ([B, "optim.clip=0"], "optim.clip=0.0: must be above 0"),
    ([B, "optim.accumulate=0"], "optim.accumulate=0"),
    ([B, "model.dropout=1"], "model.dropout=1.0"),
    ([B, "model.depth=0"], "model.depth=0"),
    ([B, "encoder.widths=[]"], "encoder.widths=[]"),
    ([B, "encoder.widths=[8,0]"], "encoder.widths=[8, 0]"),
    ([B, "target=ema", "target.tau=1.5"], "target.tau=1.5"),
    ([B, "dataset.train_size=1"], "dataset.train_size=1"),
    ([B, "monitor.save_every_s=-1"], "monitor.save_every_s=-1.0"),
    ([B, "monitor.best=val/nothing"], "monitor.best=val/nothing"),
    ([B, "probes.lr=0"], "probes.lr=0.0"),
    ([B, "hardware.threads=0"], "hardware.threads=0"),
    ([B, "hardware.devices=0"], "hardware.devices=0"),
    ([B, "hardware.nodes=2"], "hardware.devices=1 hardware.nodes=2: start the processes"),
    ([B, "hardware.devices=999"], "dataset.batch_size=64: fewer samples than the 999"),
    ([B, "dataset=digits_affine", "dataset.scale=[0,1]"], "dataset.scale"),
    ([B, "dataset=digits_affine", "dataset.rotation=[10,-10]"], "dataset.rotation"),
    ([B, "dataset=digits_affine", "dataset.rotation=[10]"], "dataset.rotation"),
    ([B, "runs_dir="], "runs_dir is empty"),
    ([B, "loss.rate_target=agg"], "loss.rate_target=agg: expected one of z_agg, z, both"),
    ([B, "precision=fp8"], "precision=fp8: no such option"),
    ([B, "hydra/launcher=jobib", "-m"], "hydra/launcher=jobib: no such option"),
    # data: bad_files makes these files
    ([*FOLDER, "dataset.root=missing"], "dataset.root=missing: no such folder"),
    ([*FOLDER, "dataset.root=empty"], "dataset.root=empty: no image in"),
    ([*FOLDER, "dataset.root=broken"], "is not a readable image; repair or remove it"),
    ([*FOLDER, "dataset.root=one_class"], "all training images are of one class"),
    ([*FOLDER, "dataset.root=a_file"], "dataset.root=a_file: no such folder"),
    ([*NPZ, "dataset.path=missing.npz"], "dataset.path=missing.npz: no such file"),
    ([*NPZ, "dataset.path=corrupt.npz"], "dataset.path=corrupt.npz: not a readable .npz"),
    ([*NPZ, "dataset.path=truncated.npz"], "dataset.path=truncated.npz: not a readable .npz"),
    (
        [*NPZ, "dataset.path=nothing.npz"],
        "expected the array images, or train_images and test_images; found nothing",
    ),
    ([*NPZ, "dataset.path=no_images.npz"], "dataset.path=no_images.npz: no train images"),
    ([*NPZ, "dataset.path=floats.npz"], "images are float32; uint8 (0..255) is needed"),
    (
        [*NPZ, "dataset.path=labels.npz"],
        "labels have shape (7,); (40,) is needed, one label per row",
    ),
    ([*NPZ, "dataset.path=text.npz"], "labels: '' in row 1 is an empty string"),
    ([*NPZ, "dataset.path=index.npz"], "labels have 40 distinct values in 40 rows look like an"),
    ([*NPZ, "dataset.path=objects.npz"], "labels hold Python objects"),
    ([*NPZ, "dataset.path=one_class.npz"], "all training images are of one class"),
    ([*NPZ, "dataset.path=sizes.npz"], "images of several shapes"),
    ([*NPZ, "dataset.path=ragged.npz"], "dataset.path=ragged.npz: not a readable .npz"),
    ([*NPZ, "dataset.path=oblong.npz"], "square images are needed"),
    ([*NPZ, "dataset.path=flat.npz"], "images have shape (40, 64)"),
    (
        [*NPZ, "dataset.path=few.npz"],
        "dataset.path=few.npz: no val images; 6 are too few to divide; add some",
    ),
    (
        [*NPZ, "dataset.path=whole.npz", "monitor.best=val/probe/class_from_z"],
        "the images have no labels",
    ),
    (
        [B, "monitor.best=val/probe/relative_action_from_z", "dataset.n_views=3"],
        "dataset.n_views of 4 or more",
    ),
]


@pytest.fixture
def bad_files(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    rng = np.random.default_rng(0)

    def images(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, shape, dtype=np.uint8)

    def picture(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images(8, 8, 3)).save(path)

    (folder / "empty").mkdir(parents=True)
    for i in range(30):
        picture(folder / "one_class" / "cat" / f"{i}.png")
        picture(folder / "broken" / f"{i}.png")
    (folder / "broken" / "7.png").write_bytes(b"no image")
    (folder / "a_file").write_text("mine")
    good = images(40, 1, 8, 8)
    ragged = np.empty(2, dtype=object)
    ragged[:] = [images(8, 8), images(9, 9)]
    for name, arrays in {
        "nothing": {},
        "no_images": {"images": images(0, 1, 8, 8)},
        "floats": {"images": good.astype(np.float32)},
        "labels": {"images": good, "labels": np.zeros(7, dtype=np.int64)},
        "text": {"images": good, "labels": np.array(["a", ""] * 20)},
        "index": {"images": good, "labels": np.arange(40) * 10**7},
        "objects": {"images": good, "labels": np.array(["a", None] * 20)},
        "one_class": {"images": good, "labels": np.zeros(40, dtype=np.int64)},
        "sizes": {"train_images": good, "test_images": images(40, 1, 9, 9)},
        "ragged": {"images": ragged},
        "oblong": {"images": images(40, 1, 8, 9)},
        "flat": {"images": images(40, 64)},
        "few": {"images": images(6, 1, 8, 8)},
        "whole": {"images": images(400, 3, 16, 16)},
    }.items():
        np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
    (folder / "corrupt.npz").write_bytes(b"PK but no archive")
    (folder / "truncated.npz").write_bytes((folder / "whole.npz").read_bytes()[:5000])
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.mark.parametrize(
    ("args", "line"), BAD, ids=[" ".join(args)[:200] or "nothing" for args, _ in BAD]
)
def test_a_mistake_prints_one_line_exits_with_code_2_and_changes_no_file(
    args: list[str], line: str, command: Command, bad_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bad_files)
    monkeypatch.setattr(
        "jepa_lab.training.run._watched", lambda session: pytest.fail("was not refused")
    )
    before = contents(bad_files)
    code, _, err = command(*args)
    assert code == 2, err
    own = [
        text for text in err.strip().splitlines() if " is now " not in text
    ]  # translated flags have their own line
    assert len(own) == 1, err
    assert own[0].startswith("jepa_lab: ")
    assert line in own[0]
    assert contents(bad_files) == before


def test_there_are_at_least_80_different_mistakes() -> None:
    assert len({" ".join(args) for args, _ in BAD}) == len(BAD) >= 80


@pytest.mark.parametrize("flags", [[], ["-m"]], ids=["run", "sweep"])
def test_an_unusable_runs_dir_gives_one_line(
    flags: list[str], command: Command, tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("mine")
    for place in (tmp_path / "runs", "/proc/nowhere"):
        code, _, err = command(*flags, B, "tier=smoke", f"runs_dir={place}")
        assert (code, len(err.strip().splitlines())) == (2, 1), err
        assert str(place) in err
    assert (tmp_path / "runs").read_text() == "mine"


@pytest.mark.parametrize("flags", [[], ["-m"], ["--cfg", "job"]], ids=["run", "sweep", "cfg"])
def test_experiments_that_list_themselves_give_one_line(
    flags: list[str], command: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "self.yaml").write_text("defaults: [self]\n")
    (folder / "one.yaml").write_text("defaults: [two]\n")
    (folder / "two.yaml").write_text("defaults: [one]\n")
    for name in ("self", "one"):
        code, _, err = command(*flags, "--config-dir", "mine", f"+experiment={name}")
        assert (code, err) == (
            2,
            f"jepa_lab: +experiment={name}: its defaults lead back to itself; remove one of the"
            " entries\n",
        )
    code, _, err = command("--config-dir", "mine", "+experiment=self", main=preview.main)
    assert (code, len(err.splitlines())) == (2, 1), err


def test_a_package_that_the_configuration_lacks_exits_with_code_2(command: Command) -> None:
    code, _, err = command(B, "--cfg", "job", "--package", "nope")
    assert (code, err) == (2, "jepa_lab: package 'nope' not found in config\n")
    assert command("--cfg", "job", "--package", "loss", B)[0] == 0


@pytest.mark.parametrize("option", ["--rows", "--out", "--config-dir"])
def test_an_option_of_preview_that_is_given_twice_is_one_line(
    option: str, command: Command
) -> None:
    code, _, err = command(option, "3", f"{option}=4", main=preview.main)
    assert (code, err) == (2, f"jepa_lab: {option} is given twice; give it once\n")


def test_used_up_memory_gives_one_line_and_no_file(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(config: object, data: object) -> None:
        torch.empty(10**15)

    monkeypatch.setattr("jepa_lab.studies.seq_jepa.study.STUDY.build", allocate)
    code, _, err = command(B, "tier=smoke")
    (line,) = err.splitlines()
    assert code == 2
    assert line.startswith("jepa_lab: out of memory: ")
    assert not list(tmp_path.iterdir())


def test_an_interval_without_a_search_is_one_line_with_the_form_to_write(command: Command) -> None:
    code, _, err = command(
        "-m", "+experiment=linear_byol", "d_latent=interval(0,1)", main=check.main
    )
    assert (code, len(err.splitlines())) == (2, 1), err
    assert err.startswith("jepa_lab: interval(...): only a sweeper")


@pytest.mark.parametrize("key", ["aux.vicreg", "dataset.tiers.paper", "hydra.job"])
def test_entries_of_a_mapping_may_be_removed(key: str) -> None:
    check_removed([f"~{key}"])


@pytest.mark.parametrize("name", ["cifar10_rot", "mnist_affine"])
def test_a_check_of_a_public_data_set_that_is_missing_downloads_and_writes_nothing(
    name: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "jepa_lab.data.images.public_images._download", lambda *args: pytest.fail("downloads")
    )
    code, _, err = command(B, f"dataset={name}", main=check.main)
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("jepa_lab: 1 of 1 jobs cannot run: dataset.root=data: ")
    assert "a run downloads it, a check does not" in err
    assert not list(tmp_path.iterdir())
