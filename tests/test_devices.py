"""What is computed on an accelerator without asking it equals, bit for bit, what the CPU computes
after looking at the values."""

from __future__ import annotations

import copy
import importlib

import pytest
import torch
from torch import Tensor

from jepa_lab.data.views.build import make_view_group
from jepa_lab.devices import constant, sent
from jepa_lab.losses import coding_rate
from jepa_lab.networks.vq.base import Quantizer
from jepa_lab.networks.vq.build import build_quantizer

ASKING = (
    "data.views.affine",
    "data.views.pixel_operations",
    "losses.coding_rate",
    "networks.vq.base",
    "networks.vq.maths",
)


def never_ask(patch: pytest.MonkeyPatch) -> None:
    for module in ASKING:
        patch.setattr(importlib.import_module(f"jepa_lab.{module}"), "reads_are_free", no)


def no(x: Tensor) -> bool:
    return False


@pytest.mark.parametrize("kind", ["affine", "augment"])
@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_the_same(kind: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (64, channels, 32, 32), dtype=torch.uint8)
    group = make_view_group(kind, n_views=4, mean=(0.5,) * channels, std=(0.25,) * channels)
    params = group.draw(torch.arange(64), seed=0, split="train", epoch=1)
    params[5] = torch.tensor(group.identity)
    expected = group.render(images, params)
    never_ask(monkeypatch)
    assert torch.equal(group.render(images, params), expected)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("hard", {}),
        ("hard", {"init": "empty", "update": "forward", "count_padding": True}),
        ("hard", {"ema_decay": None}),
        ("gumbel", {}),
    ],
)
def test_codebooks_are_the_same(
    kind: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = build_quantizer(kind, 8, 16, **options)  # type: ignore[arg-type]
    free = copy.deepcopy(asked)
    batches = [(torch.randn(6, 9, 8), torch.rand(6, 9) < 0.7) for _ in range(4)]
    batches[2][0][:] = torch.nan  # the statistics of this step must not count
    expected = after(asked, batches, given=False)
    never_ask(monkeypatch)
    found = after(free, batches, given=True)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.equal(value.nan_to_num(7.0), expected[name].nan_to_num(7.0)), name


def after(book: Quantizer, batches: list[tuple[Tensor, Tensor]], given: bool) -> dict[str, Tensor]:
    """Returns state and outputs after these steps, with the places of the tokens given or not."""
    torch.manual_seed(3)
    found = {}
    for step, (x, mask) in enumerate(batches):
        live = mask.flatten().nonzero().squeeze(1) if given else None
        z, codes, _ = book(x, mask, collect=True, live=live)
        book.end_step()
        found |= {f"z of {step}": z, f"codes of {step}": codes}
    assert book.on_host("forwards") == len(batches)
    return found | dict(book.state_dict())


def test_a_restored_codebook_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    never_ask(monkeypatch)
    book = build_quantizer("hard", 4, 8)
    before = copy.deepcopy(book.state_dict())
    assert not book.on_host("initialized")
    x, mask = torch.randn(9, 3, 4), torch.ones(9, 3, dtype=torch.bool)
    book(x, mask)
    assert book.on_host("initialized")
    book.load_state_dict(before)
    assert not book.on_host("initialized")
    book(x, mask)
    book.initialized.fill_(False)  # as the guard does after a skipped step
    book.end_step(skipped=True)
    assert not book.on_host("initialized")


def test_the_rate_of_an_accelerator_is_the_one_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    z = torch.randn(50, 20)
    exact, usual = coding_rate(z.double()), coding_rate(z)
    never_ask(monkeypatch)
    assert torch.equal(coding_rate(z), exact.float())
    assert float(usual) == pytest.approx(float(exact), rel=1e-5)


def test_a_constant_is_made_once_and_can_be_used_in_training_after_an_evaluation() -> None:
    x = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        made = constant((2.0, 5.0), x)
    assert constant((2.0, 5.0), x) is made
    (x * made).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 5.0]


def test_a_sent_tensor_has_the_type_of_its_target_and_that_of_its_own_on_a_device() -> None:
    x = torch.arange(3)
    assert sent(x, torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert sent(x, torch.device("cpu")) is x
