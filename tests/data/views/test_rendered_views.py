import pytest
import torch
from scipy.spatial.transform import Rotation

from jepa_lab.data.views import view_group
from jepa_lab.data.views.rendered_views import Rendered, absolute, compose, inverse, relative
from jepa_lab.data.views.rotations_3d import between, from_euler
from jepa_lab.errors import UserError

K = 10
NORM = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}
KEY = {"seed": 2, "split": "train", "epoch": 1}
FIELDS = ("views", "actions", "params", "absolute")


def make(latent_type: str = "rot", n_views: int = 4) -> Rendered:
    return Rendered(renderings=K, latent_type=latent_type, n_views=n_views, **NORM)


def objects(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images (n, 3 K, 5, 5) and latents (n, K, 7)."""
    return torch.randint(0, 256, (n, 3 * K, 5, 5), dtype=torch.uint8), torch.rand(n, K, 7) * 3 - 1.5


@pytest.mark.parametrize(("latent_type", "width"), [("rot", 4), ("color", 2), ("rotcolor", 6)])
def test_a_batch_has_the_documented_shapes(latent_type: str, width: int) -> None:
    group, (images, latents) = make(latent_type), objects(6)
    batch = group(images, None, torch.arange(6), maps=latents, **KEY)
    shapes = [tuple(getattr(batch, name).shape) for name in FIELDS]
    assert shapes == [(6, 4, 3, 5, 5), (6, 3, width), (6, 4, 8), (6, 4, width)]
    assert all(getattr(batch, name).dtype == torch.float32 for name in FIELDS)
    assert sorted(i for s in group.action_slices.values() for i in range(width)[s]) == list(
        range(width)
    )


def test_the_views_are_the_renderings_that_the_parameters_name_with_their_latents() -> None:
    images, latents = objects(6)
    batch = make()(images, None, torch.arange(6), maps=latents, **KEY)
    mean, std = (torch.tensor(NORM[name]).view(3, 1, 1) for name in ("mean", "std"))
    for b in range(6):
        for v in range(4):
            k = int(batch.params[b, v, 0])
            assert torch.equal(batch.params[b, v, 1:], latents[b, k])
            torch.testing.assert_close(
                batch.views[b, v], (images[b, 3 * k : 3 * k + 3] / 255 - mean) / std
            )


def test_an_action_is_the_relative_quaternion_of_scipy() -> None:
    images, latents = objects(20)
    batch = make()(images, None, torch.arange(20), maps=latents, **KEY)
    angles = batch.params[..., 1:4].double().numpy()
    for v in range(3):
        first, then = (Rotation.from_euler("xyz", angles[:, at]) for at in (v, v + 1))
        expected = torch.from_numpy((first.inv() * then).as_quat(canonical=True)).float()
        torch.testing.assert_close(batch.actions[:, v], expected, atol=1e-6, rtol=1e-5)


def test_views_of_an_object_are_distinct_and_uniform_and_more_views_keep_the_first() -> None:
    index, latents = torch.arange(4000), torch.zeros(4000, K, 7)
    drawn = make(n_views=5).draw(index, maps=latents, **KEY)[..., 0].long()
    assert bool((drawn.sort(1).values.diff(dim=1) > 0).all())
    for v in range(5):
        share = torch.bincount(drawn[:, v], minlength=K) / 4000
        torch.testing.assert_close(share, torch.full((K,), 0.1), atol=0.02, rtol=0)
    pairs = torch.bincount(K * drawn[:, 0] + drawn[:, 1], minlength=K * K).view(K, K) / 4000
    torch.testing.assert_close(pairs, (1 - torch.eye(K)) / 90, atol=0.008, rtol=0)
    few = make(n_views=3).draw(index[50:60], maps=latents[50:60], **KEY)[..., 0].long()
    assert torch.equal(few, drawn[50:60, :3])
    every = make(n_views=K).draw(index, maps=latents, **KEY)[..., 0].sort(1).values
    assert torch.equal(every, torch.arange(float(K)).expand(4000, K))


def test_training_views_change_every_epoch_and_evaluation_views_never() -> None:
    index, latents = torch.arange(30), torch.zeros(30, K, 7)
    for split, same in (("train", False), ("val", True)):
        first, second = (
            make().draw(index, seed=0, split=split, epoch=e, maps=latents) for e in (0, 1)
        )
        assert torch.equal(first, second) is same


def test_a_sample_looks_the_same_in_any_batch_and_any_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group, (images, latents), index = make("rotcolor"), objects(20), torch.arange(100, 120)
    whole = group(images, None, index, maps=latents, **KEY)
    monkeypatch.setattr(view_group, "CHUNK_VALUES", 3 * 4 * 3 * 25)
    rows = [slice(0, 7), slice(7, 20)]
    parts = [group(images[r], None, index[r], maps=latents[r], **KEY) for r in rows]
    for name in FIELDS:
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name))


def test_a_sequence_can_be_reversed() -> None:
    group, (images, latents) = make("rotcolor"), objects(9)
    batch = group(images, None, torch.arange(9), maps=latents, **KEY)
    back = group.reverse(batch)
    torch.testing.assert_close(
        back.actions, group.relative(back.params[:, :-1], back.params[:, 1:])
    )


def test_an_empty_batch_works() -> None:
    images, latents = objects(0)
    assert make()(images, None, torch.arange(0), maps=latents, **KEY).views.shape == (0, 4, 3, 5, 5)


def test_renderings_without_latents_or_with_other_channels_are_refused() -> None:
    images, latents = objects(3)
    with pytest.raises(ValueError, match="need the latents"):
        make()(images, None, torch.arange(3), **KEY)
    with pytest.raises(ValueError, match=r"latents must be \(3, 10, 7\), got \(3, 9, 7\)"):
        make()(images, None, torch.arange(3), maps=latents[:, 1:], **KEY)
    with pytest.raises(ValueError, match=r"uint8 \(B, 30, H, W\)"):
        make()(images[:, :3], None, torch.arange(3), maps=latents, **KEY)


def test_a_reference_view_and_more_views_than_renderings_are_user_errors() -> None:
    with pytest.raises(UserError, match="no reference view"):
        Rendered(renderings=K, n_views=4, first_view="reference", **NORM)
    with pytest.raises(UserError, match="n_views=11: must not exceed 10"):
        make(n_views=11)
    with pytest.raises(UserError, match="no reference view"):
        _ = make().identity


def latents(n: int = 40) -> torch.Tensor:
    return torch.rand(n, 7) * 3 - 1.5


def test_codes_hold_what_their_type_names() -> None:
    a, b = latents(), latents()
    rotation, hues = (
        between(from_euler(a[:, :3]), from_euler(b[:, :3])),
        b[:, [3, 6]] - a[:, [3, 6]],
    )
    assert torch.equal(relative(a, b, "rot"), rotation)
    assert torch.equal(relative(a, b, "color"), hues)
    assert torch.equal(relative(a, b, "rotcolor"), torch.cat([rotation, hues], 1))
    assert torch.equal(absolute(a, "rotcolor"), torch.cat([from_euler(a[:, :3]), a[:, [3, 6]]], 1))


@pytest.mark.parametrize("latent_type", ["rot", "color", "rotcolor"])
def test_actions_compose_and_invert(latent_type: str) -> None:
    a, b, c = latents().double(), latents().double(), latents().double()
    there, on = relative(a, b, latent_type), relative(b, c, latent_type)
    torch.testing.assert_close(inverse(there), relative(b, a, latent_type))
    torch.testing.assert_close(compose(there, on), relative(a, c, latent_type))


@pytest.mark.parametrize(("shape", "latent_type"), [((4, 6), "rot"), ((4, 7), "all")])
def test_other_latents_and_types_are_refused(shape: tuple[int, int], latent_type: str) -> None:
    with pytest.raises(ValueError, match="rot, color, rotcolor"):
        absolute(torch.zeros(shape), latent_type)
