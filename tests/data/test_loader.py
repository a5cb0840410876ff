import torch

from jepa_lab.data.images.image_source import ImageSource
from jepa_lab.data.loader import EpochLoader


def loader(n: int = 23, size: int = 4, shuffle: bool = True, seed: int = 1) -> EpochLoader:
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 2, 2).contiguous()
    source = ImageSource("test", images, torch.arange(n), n, (0.5,), (0.5,))
    return EpochLoader(source, size, split="train", seed=seed, shuffle=shuffle)


def indices(source: EpochLoader) -> list[list[int]]:
    return [batch[1].tolist() for batch in source]


def test_training_drops_the_short_batch_and_evaluation_has_every_image_in_order() -> None:
    assert len(indices(loader())) == len(loader()) == 5
    assert [i for batch in indices(loader(shuffle=False)) for i in batch] == list(range(23))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    one, two = loader(), loader()
    assert indices(one) == indices(two)
    two.set_epoch(1)
    assert indices(one) != indices(two)
    assert indices(one) != indices(loader(seed=2))


def test_images_labels_and_indices_belong_together() -> None:
    for _, index, images, labels in loader():
        assert labels is not None
        assert torch.equal(index, labels)
        assert torch.equal(index, images[:, 0, 0, 0].long())


def test_a_loader_restored_in_the_middle_continues_with_the_next_batch() -> None:
    whole = loader()
    whole.set_epoch(3)
    expected = indices(whole)
    first = loader()
    first.set_epoch(3)
    iterator = iter(first)
    next(iterator), next(iterator)
    second = loader()
    second.load_state_dict(first.state_dict())
    second.set_epoch(3)
    assert indices(second) == expected[2:]
    assert indices(second) == expected


def test_the_position_at_the_end_of_an_epoch_is_the_start_of_the_next() -> None:
    source = loader()
    indices(source)
    assert source.state_dict() == {"epoch": 1, "position": 0}
