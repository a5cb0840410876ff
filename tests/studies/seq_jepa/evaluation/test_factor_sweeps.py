"""Factor sweeps: grids with the identity, an encoder with a known answer, and the run that logs
them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from jepa_lab.data.views.build import ViewGroup, make_view_group
from jepa_lab.studies.run import train
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation.factor_sweeps import encode_sweep, sweep_factors
from jepa_lab.studies.seq_jepa.evaluation.sweep_figures import draw_sweeps

Make = Callable[..., Config]
NORM = {"mean": (0.0,), "std": (1.0,)}


def group(kind: str = "affine", **options: object) -> ViewGroup:
    return make_view_group(kind, n_views=4, **NORM, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "views", [group(), group(rotation=(-180, 180)), group("rotation"), group(scale=(0.8, 1.2))]
)
def test_every_grid_contains_the_identity_and_moves_one_factor(views: ViewGroup) -> None:
    images = torch.randint(0, 256, (2, 1, 12, 12), dtype=torch.uint8)
    identity = torch.tensor(views.identity)
    for sweep in views.sweeps():
        assert torch.equal(sweep.params[sweep.reference], identity)
        assert bool((sweep.values.diff() > 0).all())
        changed = (sweep.params != identity).any(dim=0)
        assert int(changed.sum()) == 1
        shown = views.render(images, sweep.params.expand(2, *sweep.params.shape))
        assert torch.equal(
            shown[:, sweep.reference], views.render(images, identity.expand(2, 1, -1))[:, 0]
        )


def test_full_turn_has_36_angles_and_a_partial_turn_includes_its_ends() -> None:
    full, part = (group(rotation=r).sweeps()[0] for r in ((-180, 180), (-75, 75)))
    assert len(full.values) == 36
    assert full.angles is not None
    assert float(full.angles[-1] - full.angles[0]) == pytest.approx(2 * math.pi * 35 / 36)
    assert (float(part.values[0]), float(part.values[-1])) == (-75.0, 75.0)


def test_rotated_dot_moves_on_a_circle_and_shifted_dot_on_lines() -> None:
    """The centre of mass of a bright dot is an encoder with a known answer: a rotation is a circle,
    shifts are lines."""
    views = group(rotation=(-180, 180), translation=(-3, 3))
    images = torch.zeros(4, 1, 25, 25, dtype=torch.uint8)
    images[:, 0, 11:14, 17:20] = 255  # 6 pixels right of the centre
    place = torch.arange(25.0) - 12

    def centre_of_mass(x: Tensor) -> Tensor:
        mass = x.sum(dim=(1, 2, 3)).clamp_min(1e-6)
        return (
            torch.stack(
                [(x.sum(dim=(1, 2)) * place).sum(1), (x.sum(dim=(1, 3)) * place).sum(1)], dim=1
            )
            / mass[:, None]
        )

    sweeps = sweep_factors(centre_of_mass, views, images)
    rot = sweeps.factors["rot"].values
    assert rot["circle_fit"] > 0.99
    assert rot["harmonic_1"] > 0.99
    assert rot["explained_variance"] == pytest.approx(1.0)
    assert sweeps.factors["trans_x"].values["explained_variance"] > 0.999
    assert sweeps.overlap["trans_x", "trans_y"] < 1e-6
    # a line within the plane of the circle
    assert sweeps.overlap["rot", "trans_x"] == pytest.approx(1.0)


def test_chunk_size_does_not_change_features(monkeypatch: pytest.MonkeyPatch) -> None:
    views = group()
    images = torch.randint(0, 256, (7, 1, 12, 12), dtype=torch.uint8)
    sweep = views.sweeps()[0]
    whole = encode_sweep(lambda x: x.flatten(1), views, images, sweep)
    monkeypatch.setattr("jepa_lab.studies.seq_jepa.evaluation.factor_sweeps.BATCH", 1)
    assert torch.equal(whole, encode_sweep(lambda x: x.flatten(1), views, images, sweep))
    assert whole.shape == (7, len(sweep.values), 144)


def test_run_logs_factor_sweeps_at_the_end_and_optionally_during_training(
    make_config: Make,
) -> None:
    end = train(make_config("dataset=digits_affine", "monitor.sweep_anchors=5")).metrics
    assert 0 < end["val/sweep/rot/explained_variance"] <= 1
    assert "val/sweep/rot/stability" not in end
    often = train(
        make_config("dataset=digits_affine", "monitor.sweep_anchors=5", "monitor.sweep_every=1")
    )
    assert 0 <= often.metrics["val/sweep/scale/stability"] <= 1 + 1e-9
    none = train(make_config("dataset=digits_affine", "monitor.sweep_anchors=0"))
    assert not [key for key in none.metrics if "sweep" in key]
    assert often.module is not None
    assert none.module is not None
    other = none.module.state_dict()
    assert all(torch.equal(v, other[k]) for k, v in often.module.state_dict().items())


def test_figures_are_written_for_any_number_of_factors(tmp_path: object) -> None:
    images = torch.randint(0, 256, (3, 1, 12, 12), dtype=torch.uint8)
    from pathlib import Path

    for name, views, wanted in (("a", group(), 3), ("r", group("rotation"), 2)):
        paths = draw_sweeps(
            sweep_factors(lambda x: x.flatten(1), views, images), Path(str(tmp_path)) / name
        )
        assert len(paths) == wanted
        assert all(path.stat().st_size > 5000 for path in paths.values())
