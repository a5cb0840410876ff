from typing import Any

import numpy as np
import pytest
import torch

from arc_token_tasks import (
    check_form,
    counting_task,
    real_tasks,
    same_batch,
    same_tokens,
    same_view,
)
from jepa_lab.studies.arc.data.examples import ABSENT
from jepa_lab.studies.arc.data.loader import ArcLoader
from jepa_lab.studies.arc.data.task import ArcTask
from jepa_lab.studies.arc.data.tokens.slots import NAMES
from jepa_lab.studies.arc.data.tokens.tokenisers import make_tokeniser
from jepa_lab.studies.arc.data.tokens.tokens import AugmentOptions

ALL = AugmentOptions(palette=True, symmetry=True, translation=True)
FAMILIES = ("color", "translation", "symmetry")
TASKS = real_tasks(12)


def loader(kind: str = "slots", shuffle: bool = True, **more: Any) -> ArcLoader:
    options: dict[str, Any] = {
        "batch_size": 8,
        "split": "train",
        "seed": 1,
        "shuffle": shuffle,
        "augment": ALL,
    } | more
    return ArcLoader(options.pop("tasks", TASKS), make_tokeniser(kind), **options)


@pytest.mark.parametrize("kind", ["slots", "patches"])
def test_evaluation_has_every_example_in_order_with_its_grids(kind: str) -> None:
    source = loader(kind, shuffle=False)
    batches = list(source)
    assert torch.cat([batch.index for batch in batches]).tolist() == list(
        range(len(source.examples))
    )
    tokeniser = make_tokeniser(kind)
    for batch in batches:
        check_form(batch.view.context)
        check_form(batch.view.target)
        grids = source.examples.context[batch.index].flatten().tolist()
        empty = np.zeros((0, 0), np.uint8)
        targets = [source.examples.grids[i] for i in source.examples.target[batch.index].tolist()]
        shown = tokeniser(
            [*(source.examples.grids[i] if i != ABSENT else empty for i in grids), *targets]
        )
        assert same_tokens(batch.view.context, shown[: len(grids)])
        assert same_tokens(batch.view.target, shown[len(grids) :])
        assert torch.equal(batch.present.flatten(), batch.view.context.mask.any(1))
        assert (
            batch.roles.shape == batch.pairs.shape == batch.present.shape == (len(batch.index), 7)
        )


def test_training_drops_the_incomplete_batch() -> None:
    source = loader()
    assert len(list(source)) == len(source) == len(source.examples) // 8
    assert all(len(batch.index) == 8 for batch in source)


def test_a_batch_depends_only_on_seed_epoch_and_examples() -> None:
    one, two = loader(families=FAMILIES), loader(families=FAMILIES)
    list(two)
    list(two)  # advances the loader first
    assert all(same_batch(a, b) for a, b in zip(one, two, strict=True))
    two.set_epoch(1)
    assert not any(same_batch(a, b) for a, b in zip(one, two, strict=True))
    assert not any(
        same_batch(a, b) for a, b in zip(one, loader(families=FAMILIES, seed=2), strict=True)
    )


@pytest.mark.parametrize(
    "more", [{}, {"families": FAMILIES, "variants": 2}], ids=["plain", "families"]
)
def test_a_loader_resumed_within_an_epoch_gives_the_same_bits(more: dict[str, Any]) -> None:
    whole = loader(**more)
    whole.set_epoch(3)
    expected = list(whole)
    first = loader(**more)
    first.set_epoch(3)
    iterator = iter(first)
    next(iterator), next(iterator)
    second = loader(**more)
    second.load_state_dict(first.state_dict())
    second.set_epoch(3)
    rest = list(second)
    assert len(rest) == len(expected) - 2
    assert all(same_batch(a, b) for a, b in zip(rest, expected[2:], strict=True))
    assert whole.state_dict() == {"epoch": 4, "position": 0}


def test_all_grids_of_a_task_are_transformed_alike() -> None:
    """A task whose grids hold one colour each shows its palette in the tokens."""
    tasks = [counting_task(f"t{i}", 4) for i in range(8)]
    source = loader(tasks=tasks, augment=AugmentOptions(palette=True), batch_size=40)
    (batch,) = source
    colors = batch.view.context.colors.view(40, 7, 16)[:, :, 1]
    present = batch.present
    for task in range(8):
        rows = batch.task == task
        inputs = colors[rows][:, [0, 2, 4, 6]][present[rows][:, [0, 2, 4, 6]]]
        shown = colors[rows][:, [1, 3, 5]][present[rows][:, [1, 3, 5]]]
        outputs = torch.cat([shown, batch.view.target.colors[rows][:, 1, 0]])
        assert len(inputs.unique()) == len(outputs.unique()) == 1
        assert inputs[0] != outputs[0]
    assert len(colors[:, 6].unique()) > 2  # but not all tasks


def test_augmentation_is_only_in_training_and_changes_with_the_epoch() -> None:
    plain, augmented = loader(augment=None), loader()
    assert all(torch.equal(a.index, b.index) for a, b in zip(plain, augmented, strict=True))
    assert not any(same_view(a.view, b.view) for a, b in zip(plain, augmented, strict=True))
    evaluation = loader(shuffle=False)
    assert all(
        same_batch(a, b)
        for a, b in zip(evaluation, loader(shuffle=False, augment=None), strict=True)
    )
    before = list(evaluation)
    evaluation.set_epoch(5)
    assert all(same_batch(a, b) for a, b in zip(evaluation, before, strict=True))


def test_each_family_changes_its_own_properties_only() -> None:
    batch = next(iter(loader(families=FAMILIES, shuffle=False, batch_size=len(TASKS) * 4)))
    assert set(batch.transformed) == set(FAMILIES)
    base, color = batch.view.context, batch.transformed["color"].context
    assert torch.equal(base.features, color.features)
    objects = base.mask & (torch.arange(16) > 0)
    assert (base.colors[objects] != color.colors[objects]).all()
    assert (base.colors[:, 0] == color.colors[:, 0]).all()
    moved = batch.transformed["translation"].context
    assert torch.equal(base.mask, moved.mask)
    still = [
        i
        for i, name in enumerate(NAMES)
        if name in ("log_area", "height", "density") or name.startswith("shape")
    ]
    assert torch.equal(base.features[:, 1:, still], moved.features[:, 1:, still])
    assert not torch.equal(base.features, moved.features)
    assert not torch.equal(batch.transformed["symmetry"].context.features, base.features)


def test_variants_repeat_the_transforms_but_not_the_order() -> None:
    def by_example(epoch: int) -> dict[int, torch.Tensor]:
        source = loader(variants=2, batch_size=1)
        source.set_epoch(epoch)
        return {int(batch.index): batch.view.target.features for batch in source}

    first, second, third = (by_example(epoch) for epoch in range(3))
    assert list(first) != list(third)
    assert all(torch.equal(first[i], third[i]) for i in first)
    assert not all(torch.equal(first[i], second[i]) for i in first)


def test_frames_and_copies_give_batches() -> None:
    states = tuple(np.full((2, 2), i, np.uint8) for i in range(6))
    batch = next(
        iter(
            loader(
                tasks=[ArcTask("a", frames=(states,))], problem="frames", batch_size=3, n_frames=3
            )
        )
    )
    assert batch.view.context.mask.shape == (9, 16)
    assert batch.view.target.mask.shape == (3, 16)
    copies = next(iter(loader(problem="copies")))
    context = copies.view.context.features.view(8, 3, 16, -1)
    assert torch.equal(context[:, 0], context[:, 1])
    assert torch.equal(context[:, 0], context[:, 2])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"batch_size": 10_000}, "batch_size: 10000 is more than the"),
        ({"families": ("colour",)}, "families: 'colour' is none of color, translation, symmetry"),
        ({"variants": 0}, "variants: 0 is not a whole number from 1"),
        (
            {"cache": "somewhere"},
            "variants: dataset.cache needs a fixed number of variants per task",
        ),
    ],
)
def test_invalid_arguments_raise_an_error_of_one_line(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        loader(**more)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
