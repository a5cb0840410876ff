from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lab.data.draws import uniform
from jepa_lab.data.images.image_source import ImageSource, load_splits
from jepa_lab.data.loader import EpochLoader
from jepa_lab.data.views.saccade import Saccade, fixate, inhibit
from jepa_lab.errors import UserError
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.build import build_module
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.parts import build_loaders, build_views
from study_parts import load_data

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
KEY: dict[str, Any] = {"seed": 1, "split": "train", "epoch": 2}


def saccade(size: tuple[int, int] = (96, 96), fovea: int = 32, **options: Any) -> Saccade:
    return Saccade(
        **{"image_size": size, "fovea": fovea, "n_views": 5, "mean": MEAN, "std": STD, **options}
    )


def pictures(n: int, h: int = 96, w: int = 96) -> Tensor:
    return torch.randint(0, 256, (n, 3, h, w), dtype=torch.uint8)


def in_pixels(views: Tensor) -> Tensor:
    return (views * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)) * 255


def test_inhibition_clears_the_square_and_scales_the_other_cells_alike() -> None:
    mass = torch.full((2, 96, 96), 1 / 9216, dtype=torch.float64)
    left = inhibit(mass, torch.tensor([[48, 48], [48, 48]]), 16)
    inside = torch.zeros(96, 96, dtype=torch.bool)
    inside[32:65, 32:65] = True
    assert int(inside.sum()) == 33 * 33
    assert float(left[0, inside].sum()) < 1e-12
    torch.testing.assert_close(
        left[0, ~inside], torch.full((9216 - 1089,), 1 / (9216 - 1089), dtype=torch.float64)
    )
    torch.testing.assert_close(left.sum((1, 2)), torch.ones(2, dtype=torch.float64))


def test_squares_are_clipped_at_the_border_and_empty_densities_become_uniform() -> None:
    left = inhibit(torch.ones(1, 8, 8, dtype=torch.float64), torch.tensor([[0, 7]]), 2)
    assert int((left > 1e-9).sum()) == 64 - 9
    everywhere = inhibit(torch.ones(1, 8, 8, dtype=torch.float64), torch.tensor([[4, 4]]), 8)
    torch.testing.assert_close(everywhere, torch.full((1, 8, 8), 1 / 64, dtype=torch.float64))


def test_fixations_have_the_frequencies_of_the_density() -> None:
    mass = torch.tensor([[0.0, 0.5, 0.0], [0.125, 0.0, 0.375]]).expand(4000, 2, 3)
    cells = fixate(mass, uniform(torch.arange(4000), 1, seed=0, split="x", epoch=0)[:, 0])
    found = torch.bincount(cells[:, 0] * 3 + cells[:, 1], minlength=6) / 4000
    assert torch.equal(found > 0, mass[0].flatten() > 0)
    torch.testing.assert_close(found, mass[0].flatten(), atol=0.03, rtol=0)


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-24])
def test_the_extreme_numbers_fall_on_cells_with_mass(u: float) -> None:
    mass = torch.full((1, 4, 4), 1e-16, dtype=torch.float64)
    mass[0, 1, 2] = mass[0, 2, 1] = 0.5
    row, column = fixate(mass, torch.tensor([u]))[0].tolist()
    assert (row, column) == ((1, 2) if u == 0 else (2, 1))


def test_a_fixation_goes_to_the_peak_and_not_to_its_transpose() -> None:
    maps = torch.zeros(20, 96, 96)
    maps[:, 10, 80] = 1.0
    params = saccade().draw(torch.arange(20), **KEY, maps=maps)
    assert torch.equal(params[:, 0], torch.tensor([10.0, 80.0]).expand(20, 2))
    image = torch.zeros(20, 3, 96, 96, dtype=torch.uint8)
    image[:, :, 10, 80] = 255
    views = in_pixels(
        saccade(saliency="file")(image, None, torch.arange(20), **KEY, maps=maps).views
    )
    torch.testing.assert_close(views[:, 0, :, 16, 16], torch.full((20, 3), 255.0))


@pytest.mark.parametrize(
    ("h", "w", "fovea"), [(96, 96, 32), (20, 31, 8), (17, 12, 5), (9, 9, 1), (8, 8, 8)]
)
def test_patches_equal_slicing_and_are_black_beyond_the_border(h: int, w: int, fovea: int) -> None:
    images, group = pictures(12, h, w), saccade((h, w), fovea)
    corners = torch.tensor([[0.0, 0], [0, w - 1], [h - 1, 0], [h - 1, w - 1]]).expand(12, 4, 2)
    drawn = group.draw(torch.arange(12), **KEY, maps=torch.ones(12, h, w))
    params = torch.cat([drawn, corners], dim=1)
    views = in_pixels(group.render(images, params))
    canvas = np.zeros((12, 3, h + 2 * fovea, w + 2 * fovea))
    canvas[:, :, fovea : fovea + h, fovea : fovea + w] = images.numpy()
    assert views.shape == (12, 9, 3, fovea, fovea)
    for b in range(12):
        for v in range(9):
            top, left = (params[b, v].long() + fovea - fovea // 2).tolist()
            expected = canvas[b, :, top : top + fovea, left : left + fovea]
            np.testing.assert_allclose(views[b, v], expected, atol=1e-3)


@pytest.mark.parametrize("saliency", ["spectral", "uniform"])
def test_no_two_fixations_are_within_half_a_fovea_while_mass_is_left(saliency: str) -> None:
    batch = saccade(saliency=saliency)(pictures(40), None, torch.arange(40), **KEY)
    apart = (batch.params[:, :, None] - batch.params[:, None]).abs().amax(-1) > 16
    assert bool((apart | torch.eye(5, dtype=torch.bool)).all())
    free = saccade(saliency=saliency, inhibition=False)(pictures(40), None, torch.arange(40), **KEY)
    close = (free.params[:, :, None] - free.params[:, None]).abs().amax(-1) <= 16
    assert int(close.sum()) > 40 * 5


def test_actions_are_differences_of_positions_over_the_size_of_the_image() -> None:
    group = saccade((40, 80), 8)
    batch = group(pictures(6, 40, 80), None, torch.arange(6), **KEY)
    position = batch.params / torch.tensor([40.0, 80.0])
    assert torch.equal(batch.absolute, position)
    torch.testing.assert_close(batch.actions, position[:, 1:] - position[:, :-1])
    assert bool((position >= 0).all())
    assert bool((position < 1).all())
    assert torch.equal(group.inverse(batch.actions), -batch.actions)
    torch.testing.assert_close(
        group.compose(batch.actions[:, 0], batch.actions[:, 1]),
        group.relative(batch.params[:, 0], batch.params[:, 2]),
    )


def test_fixations_do_not_depend_on_the_batch_and_follow_the_maps_of_the_images() -> None:
    images, index, group = (
        pictures(12, 32, 32),
        torch.arange(50, 62),
        saccade((32, 32), 8, saliency="file"),
    )
    maps = torch.rand(12, 32, 32)
    whole = group(images, None, index, **KEY, maps=maps)
    order = torch.randperm(12)
    mixed = group(images[order], None, index[order], **KEY, maps=maps[order])
    assert torch.equal(mixed.params, whole.params[order])
    assert torch.equal(mixed.views, whole.views[order])
    with pytest.raises(ValueError, match="needs the maps"):
        group(images, None, index, **KEY)


def test_a_loader_returns_the_maps_of_its_source_with_the_images() -> None:
    images, maps = pictures(7, 8, 8), torch.rand(7, 8, 8)
    source = ImageSource("x", images, None, 0, MEAN, STD, maps)
    for batch in EpochLoader(source, 3, split="train", seed=0, shuffle=True):
        assert torch.equal(batch[-1], maps[batch[1]])
    assert source.fingerprint() != ImageSource("x", images, None, 0, MEAN, STD).fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_view": "reference"}, "no reference view"),
        ({"fovea": 97}, "dataset.fovea=97"),
        ({"fovea": 0}, "dataset.fovea=0"),
        ({"saliency": "gaze"}, "spectral, file, uniform"),
    ],
)
def test_unsupported_options_of_saccades_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        saccade(**options)


def test_a_reference_view_in_an_evaluation_is_refused() -> None:
    with pytest.raises(UserError, match="no reference view"):
        saccade().draw(torch.arange(2), **KEY, maps=torch.ones(2, 96, 96), first_view="reference")


Make = Callable[..., Config]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset=digits_saccade", "dataset.first_view=reference"], "no reference view"),
        (["dataset=digits_saccade", "dataset.eval_first_view=reference"], "no reference view"),
        (["dataset=digits_saccade", "dataset.fovea=null"], "fovea is missing"),
        (["dataset=digits_saccade", "dataset.saliency=gaze"], "expected one of"),
        (["dataset=digits_saccade", "dataset.saliency=file"], "saliency_path is missing"),
        (["dataset=digits_saccade", "dataset.saliency_path=maps"], "only dataset.saliency=file"),
        (["+dataset.fovea=8"], "only saccades"),
        (["+dataset.saliency=uniform"], "only saccades"),
        (["+dataset.saliency_path=maps"], "only saccades"),
        (["+dataset.inhibition=false"], "only saccades"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(
    overrides: list[str], message: str, make_config: Make
) -> None:
    with pytest.raises(UserError, match=message):
        make_config(*overrides)


def test_seq_len_changes_the_length_of_a_sequence(make_config: Make) -> None:
    assert make_config("dataset=digits_saccade").dataset.n_views == 5
    assert make_config("dataset=digits_saccade", "dataset.seq_len=2").dataset.n_views == 3


def test_a_run_on_digits_ends_with_a_verdict(make_config: Make) -> None:
    result = train(make_config("dataset=digits_saccade", "dataset.epochs=1", "dataset.n_views=4"))
    assert result.state == "completed"
    assert np.isfinite(result.metrics["val/probe/action_from_z"])


def test_the_pixel_encoder_is_as_wide_as_a_patch(make_config: Make) -> None:
    overrides = ("dataset=digits_saccade", "dataset.epochs=1", "dataset.n_views=3")
    result = train(make_config(*overrides, experiment="raw_pixels"))
    assert result.metrics["val/z/d"] == 16 * 16


N_STL10 = {"train": 80, "test": 6}


def fake_stl10(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets as sets

    def read(self: Any, root: str, split: str, download: bool) -> None:
        n = N_STL10[split]
        self.data = np.random.default_rng(n).integers(0, 256, (n, 3, 96, 96), dtype=np.uint8)
        self.labels = np.arange(n) % 10

    monkeypatch.setattr(sets.STL10, "__init__", read)


def maps_of_stl10(folder: Path) -> None:
    """Writes the maps of the images, which are their first channel plus 1."""
    for part, n in N_STL10.items():
        images = np.random.default_rng(n).integers(0, 256, (n, 3, 96, 96), dtype=np.uint8)
        np.save(folder / f"{part}.npy", images[:, :1].astype(np.float32) + 1)


def test_a_run_with_maps_from_files_reads_them_and_differs_from_one_without(
    tmp_path: Path, make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_stl10(monkeypatch)
    maps_of_stl10(tmp_path)
    small = (
        "encoder=resnet_small",
        "model=seq_jepa_small",
        "dataset.epochs=1",
        "dataset.batch_size=24",
    )
    overrides = (
        "dataset=stl10_saccade",
        "dataset.fovea=8",
        "dataset.train_size=48",
        "dataset.val_size=8",
        *small,
    )
    file = train(
        make_config(*overrides, "dataset.saliency=file", f"dataset.saliency_path={tmp_path}")
    )
    uniform_run = train(make_config(*overrides, "dataset.saliency=uniform"))
    assert file.state == uniform_run.state == "completed"
    assert file.metrics["train/loss/prediction"] != uniform_run.metrics["train/loss/prediction"]


def test_a_resumed_run_has_the_fixations_of_an_uninterrupted_run(make_config: Make) -> None:
    module, again = (prepared(make_config("dataset=digits_saccade")) for _ in range(2))
    loader, other = module[1], again[1]
    batches = iter(loader)
    next(batches)
    position = loader.state_dict()
    expected = module[0].on_after_batch_transfer(next(batches), 0)
    other.load_state_dict(position)
    resumed = again[0].on_after_batch_transfer(next(iter(other)), 0)
    assert torch.equal(resumed.params, expected.params)
    assert torch.equal(resumed.views, expected.views)


def prepared(config: Config) -> tuple[SeqJEPA, EpochLoader]:
    splits = load_data(config)
    module = build_module(config, build_views(config, splits.train), splits.train, 4)
    return module, build_loaders(config, splits)["train"]


def test_maps_of_stl10_stay_with_their_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_stl10(monkeypatch)
    maps_of_stl10(tmp_path)
    splits = load_splits("stl10", saliency_path=str(tmp_path), train_size=10)
    assert [len(s.images) for s in (splits.train, splits.val, splits.test)] == [10, 8, 6]
    assert splits.train.mean == (0.4467, 0.4398, 0.4066)
    for source in (splits.train, splits.val, splits.test):
        own = source.images[:, 0].float() + 1
        assert source.saliency is not None
        torch.testing.assert_close(source.saliency, own / own.sum((1, 2), keepdim=True))
    assert load_splits("stl10").train.saliency is None


def test_the_error_for_a_failed_stl10_download_names_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets as sets

    def offline(self: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(sets.STL10, "download", offline)
    with pytest.raises(
        UserError, match=r"put the files there by hand.*train_X\.bin.*dataset\.root="
    ) as error:
        load_splits("stl10", root=str(tmp_path))
    assert "\n" not in str(error.value)


def test_a_source_without_official_splits_reads_no_maps(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.saliency_path=.*source digits"):
        load_splits("digits", saliency_path=str(tmp_path))
