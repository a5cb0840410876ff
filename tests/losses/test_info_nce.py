"""InfoNCE: the explicit formula, its gradient, its negatives, and its value at chance."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from jepa_lab.losses import chance, info_nce, info_nce_rows, negatives, same_task


def rows(n: int, d: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def longhand(
    query: Tensor, positive: Tensor, queue: Tensor, temperature: float, counted: Tensor
) -> Tensor:
    """Computes the loss row by row. `counted` (n, n + m) is true where a column is a negative of a
    row."""
    keys, losses = torch.cat([positive, queue]), []
    for i in range(len(query)):
        cosine = [query[i] @ k / query[i].norm() / k.norm() / temperature for k in keys]
        others = [cosine[j].exp() for j in range(len(keys)) if counted[i, j] and j != i]
        losses.append(-torch.log(cosine[i].exp() / (cosine[i].exp() + sum(others))))
    return torch.stack(losses)


@pytest.mark.parametrize("in_batch", [True, False])
def test_value_and_gradient_match_the_explicit_formula(in_batch: bool) -> None:
    query, positive, queue = (rows(n, seed=s).requires_grad_() for n, s in ((4, 1), (4, 2), (3, 3)))
    exclude = torch.rand(4, 7, generator=torch.Generator().manual_seed(1)) < 0.3
    counted = ~exclude
    if not in_batch:
        counted[:, :4] = False
    expected = longhand(query, positive, queue, 0.3, counted)
    assert torch.allclose(info_nce_rows(query, positive, queue, 0.3, in_batch, exclude), expected)
    out = info_nce(query, positive, queue, 0.3, in_batch, exclude)
    assert torch.equal(out.total, out.terms["info_nce"])
    inputs = (query, positive, queue)
    for got, wanted in zip(
        torch.autograd.grad(out.total, inputs),
        torch.autograd.grad(expected.mean(), inputs),
        strict=True,
    ):
        assert torch.allclose(got, wanted)


def test_without_exclusion_info_nce_is_cross_entropy_of_cosines() -> None:
    query, positive, queue = rows(5), rows(5, seed=1), rows(8, seed=2)
    keys = F.normalize(torch.cat([positive, queue]))
    logits = F.normalize(query) @ keys.T / 0.2
    expected = F.cross_entropy(logits, torch.arange(5))
    assert float(info_nce(query, positive, queue, 0.2).total) == pytest.approx(
        float(expected), rel=1e-12
    )


def test_the_gradient_to_a_temperature_matches_finite_differences() -> None:
    query, positive = rows(5), rows(5, seed=1)
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        info_nce(query, positive, temperature=temperature).total, temperature
    )
    above, below = (
        float(info_nce(query, positive, temperature=0.4 + s).total) for s in (1e-5, -1e-5)
    )
    assert float(gradient) == pytest.approx((above - below) / 2e-5, rel=1e-6)


def test_equal_vectors_cost_ln_of_one_plus_the_negatives() -> None:
    same, queue = torch.ones(4, 6), torch.ones(10, 6)
    count = negatives(4, 10)
    assert count.tolist() == [13] * 4
    assert float(info_nce(same, same, queue).total) == pytest.approx(math.log(14))
    assert float(chance(count)) == pytest.approx(math.log(14))
    # the published runs: B = 512, a queue of 8192
    assert float(chance(8703)) == pytest.approx(9.0715, abs=1e-4)
    assert float(chance(torch.tensor([0, 1]))) == pytest.approx(math.log(2) / 2)


def test_scale_and_rotation_do_not_change_the_loss() -> None:
    query, positive, queue = rows(5), rows(5, seed=1), rows(8, seed=2)
    rotation = torch.linalg.qr(rows(6, seed=3)).Q
    turned = info_nce(7 * query @ rotation, 0.1 * positive @ rotation, 3 * queue @ rotation).total
    assert torch.allclose(turned, info_nce(query, positive, queue).total)


def test_excluded_keys_have_no_effect_and_positives_cannot_be_excluded() -> None:
    query, positive, queue = rows(4), rows(4, seed=1), rows(3, seed=2)
    exclude = torch.zeros(4, 7, dtype=torch.bool)
    exclude[:, 5] = True
    all_but_positive = torch.ones(4, 7, dtype=torch.bool)
    changed = queue.clone()
    changed[1] += 5
    before = info_nce(query, positive, queue, exclude=exclude).total
    assert torch.equal(before, info_nce(query, positive, changed, exclude=exclude).total)
    exclude.diagonal().fill_(True)
    assert torch.equal(before, info_nce(query, positive, queue, exclude=exclude).total)
    assert negatives(4, 3, exclude).tolist() == [5] * 4
    assert info_nce_rows(query, positive, queue, exclude=all_but_positive).tolist() == [0.0] * 4
    assert not negatives(4, 3, all_but_positive).any()


def test_without_a_negative_the_loss_and_its_gradient_are_zero() -> None:
    query, positive = rows(3).requires_grad_(), rows(3, seed=1)
    loss = info_nce(query, positive, queue=positive[:0], in_batch=False).total
    (gradient,) = torch.autograd.grad(loss, query)
    assert float(loss.detach()) == 0.0
    assert not gradient.any()


def test_same_task_excludes_all_rows_of_a_querys_task() -> None:
    tasks, queue_tasks = torch.tensor([3, 1, 3]), torch.tensor([1, 2])
    exclude = same_task(tasks, queue_tasks)
    assert exclude.tolist() == [
        [True, False, True, False, False],
        [False, True, False, True, False],
        [True, False, True, False, False],
    ]
    assert negatives(3, 2, exclude).tolist() == [3, 3, 3]
    assert negatives(3, 2, exclude, in_batch=False).tolist() == [2, 1, 2]
    assert torch.equal(same_task(tasks), exclude[:, :3])


def test_half_precision_is_computed_in_float32_under_autocast() -> None:
    query, positive = rows(4).bfloat16(), rows(4, seed=1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = info_nce(query, positive).total
    assert loss.dtype == torch.float32
    assert torch.equal(loss, info_nce(query.float(), positive.float()).total)


def test_a_zero_vector_gives_a_finite_loss_and_gradient() -> None:
    query = torch.zeros(3, 4, requires_grad=True)
    loss = info_nce(query, torch.randn(3, 4)).total
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(3))
    assert query.grad is not None
    assert torch.isfinite(query.grad).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positive": torch.ones(3, 6)}, "two"),
        ({"queue": torch.ones(2, 5)}, "queue"),
        ({"temperature": 0.0}, "temperature"),
        ({"exclude": torch.zeros(4, 5, dtype=torch.bool)}, "exclude"),
        ({"exclude": torch.zeros(4, 4)}, "bool"),
        ({"query": torch.ones(0, 6), "positive": torch.ones(0, 6)}, "n >= 1"),
    ],
)
def test_wrong_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        info_nce(**{"query": torch.ones(4, 6), "positive": torch.ones(4, 6), **arguments})
