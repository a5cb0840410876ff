from typing import Any

import pytest
import torch

from jepa_lab.data.views import view_group
from jepa_lab.data.views.build import VIEW_GROUPS, ViewGroup, make_view_group
from jepa_lab.errors import UserError

CASES: list[tuple[str, dict[str, Any]]] = [
    ("rotation", {}),
    ("rotation", {"action_code": "one_hot", "first_view": "random"}),
    ("affine", {}),
    ("affine", {"mode": "trans_only", "first_view": "random"}),
    ("affine", {"interpolation": "nearest", "padding": "reflection"}),
    ("saccade", {}),
    ("saccade", {"saliency": "uniform", "inhibition": False, "fovea": 12}),
    ("augment", {}),
    ("augment", {"action_norm": "legacy_l2_views", "first_view": "random"}),
]
FIELDS = ("views", "actions", "params", "absolute")
# rendered views need latents: test_rendered_views.py
KINDS = [kind for kind in VIEW_GROUPS if kind != "rendered"]


def make(kind: str, **options: Any) -> ViewGroup:
    if kind == "saccade":
        options = {"image_size": (12, 12), "fovea": 5, "first_view": "random", **options}
    if kind == "augment":
        options = {"image_size": 12, **options}
    return make_view_group(
        kind, **{"n_views": 4, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), **options}
    )


def pictures(n: int, size: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_batch_has_the_documented_shapes(kind: str, options: dict[str, Any]) -> None:
    group, labels = make(kind, **options), torch.arange(5)
    batch = group(pictures(5), labels, torch.arange(5), seed=0, split="train", epoch=0)
    a, p = group.action_dim, group.param_dim
    assert [tuple(getattr(batch, f).shape) for f in FIELDS] == [
        (5, 4, 3, *group.view_size(12, 12)),
        (5, 3, a),
        (5, 4, p),
        (5, 4, a),
    ]
    assert all(getattr(batch, f).dtype == torch.float32 for f in FIELDS)
    assert batch.labels is labels
    assert sorted(i for s in group.action_slices.values() for i in range(a)[s]) == list(range(a))


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_sample_looks_the_same_in_any_batch(kind: str, options: dict[str, Any]) -> None:
    group, images, index = make(kind, **options), pictures(40), torch.arange(100, 140)
    key = {"seed": 2, "split": "train", "epoch": 3}
    whole = group(images, None, index, **key)
    for size in (1, 7, 39):
        parts = [
            group(x, None, i, **key)
            for x, i in zip(images.split(size), index.split(size), strict=True)
        ]
        for name in FIELDS:
            assert torch.equal(
                torch.cat([getattr(p, name) for p in parts]), getattr(whole, name)
            ), (name, size)


@pytest.mark.parametrize("kind", KINDS)
def test_rendering_in_chunks_changes_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    group, images, index = make(kind), pictures(20), torch.arange(20)
    whole = group(images, None, index, seed=0, split="train", epoch=0).views
    monkeypatch.setattr(view_group, "CHUNK_VALUES", 3 * 4 * 3 * 12 * 12)
    assert torch.equal(group(images, None, index, seed=0, split="train", epoch=0).views, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_training_views_change_every_epoch_and_evaluation_views_never(kind: str) -> None:
    group, index, maps = make(kind), torch.arange(64), torch.ones(64, 12, 12)
    train = [group.draw(index, seed=0, split="train", epoch=e, maps=maps) for e in (0, 1)]
    val = [group.draw(index, seed=0, split="val", epoch=e, maps=maps) for e in (0, 1)]
    assert not torch.equal(*train)
    assert torch.equal(*val)
    assert not torch.equal(val[0], group.draw(index, seed=0, split="test", epoch=0, maps=maps))


@pytest.mark.parametrize("kind", KINDS)
def test_more_views_leave_the_first_ones_as_they_were(kind: str) -> None:
    key = {"seed": 0, "split": "train", "epoch": 0, "maps": torch.ones(9, 12, 12)}
    few, many = (make(kind, n_views=n).draw(torch.arange(9), **key) for n in (3, 6))
    # with three views the third is the target, which has other rates
    alike = 2 if kind == "augment" else 3
    assert torch.equal(few[:, :alike], many[:, :alike])


@pytest.mark.parametrize("kind", KINDS)
def test_actions_lead_from_each_view_to_the_next(kind: str) -> None:
    group = make(kind, first_view="random")
    batch = group(pictures(30), None, torch.arange(30), seed=0, split="train", epoch=0)
    reached = batch.absolute[:, 0]
    for v in range(3):
        reached = group.compose(reached, batch.actions[:, v])
        torch.testing.assert_close(reached, batch.absolute[:, v + 1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_one_and_an_empty_one_work(kind: str) -> None:
    for n in (1, 0):
        batch = make(kind)(pictures(n), None, torch.arange(n), seed=0, split="train", epoch=0)
        assert batch.views.shape == (n, 4, 3, *batch.views.shape[3:])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("rotations", {}, "rotation, affine, augment, saccade"),
        ("rotation", {"n_views": 1}, "dataset.n_views=1"),
        ("rotation", {"first_view": "last"}, "reference, random"),
        ("rotation", {"action_codes": "sincos"}, "did you mean 'action_code'"),
        ("affine", {"action_code": "sincos"}, "dataset.action_code"),
        ("affine", {"action_norm": "fixed"}, "dataset.action_norm"),
        ("affine", {"std": (0.2, 0.3)}, "one value per channel"),
    ],
)
def test_a_wrong_kind_or_option_is_a_user_error(
    kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make(kind, **options)
