"""The relational loss: an explicit computation, its invariances, and the published form."""

import itertools

import pytest
import torch
from torch import Tensor

from jepa_lab.studies.arc.relational import match, relational, relational_published


def objects(grids: int = 3, n: int = 5, h: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(
        grids, n, h, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def live(grids: int = 3, n: int = 5) -> Tensor:
    return torch.ones(grids, n, dtype=torch.bool)


def longhand(a: Tensor, b: Tensor) -> Tensor:
    """Computes the loss of one pair of grids by definition, with the best of all matchings."""
    k = min(len(a), len(b))

    def cosine(i: int, j: int) -> float:
        return float(torch.cosine_similarity(a[i].detach(), b[j].detach(), dim=0))

    choices = itertools.product(
        itertools.permutations(range(len(a)), k), itertools.combinations(range(len(b)), k)
    )
    rows, columns = max(choices, key=lambda c: sum(cosine(i, j) for i, j in zip(*c, strict=True)))
    pairs = list(itertools.combinations(range(k), 2))
    of_a = torch.stack([(a[rows[i]] - a[rows[j]]).norm() for i, j in pairs])
    of_b = torch.stack([(b[columns[i]] - b[columns[j]]).norm() for i, j in pairs])
    return (of_a / of_a.mean() - of_b / of_b.mean()).square().mean()


@pytest.mark.parametrize("m", [5, 3])
def test_value_and_gradient_match_the_definition_with_the_best_matching(m: int) -> None:
    a, b = objects(2).requires_grad_(), objects(2, m, seed=1).requires_grad_()
    expected = torch.stack([longhand(a[g], b[g]) for g in range(2)]).mean()
    out = relational(a, b, live(2), live(2, m))
    assert torch.allclose(out.total, expected)
    assert torch.equal(out.total, out.terms["relational"])
    for got, wanted in zip(
        torch.autograd.grad(out.total, (a, b)), torch.autograd.grad(expected, (a, b)), strict=True
    ):
        assert torch.allclose(got, wanted)


def test_equal_relations_cost_nothing_in_any_order_and_scale() -> None:
    a, mask = objects(), live()
    order = torch.tensor([3, 0, 4, 1, 2])
    fewer = mask.clone()
    fewer[:, 3:] = False
    assert float(relational(a, a, mask, mask).total) == pytest.approx(0, abs=1e-20)
    assert float(relational(a, 7 * a[:, order], mask, mask).total) == pytest.approx(0, abs=1e-20)
    assert float(relational(a, a, mask, fewer).total) == pytest.approx(0, abs=1e-20)
    assert float(relational(a, objects(seed=1), mask, mask).total) > 0.01


def test_order_scale_and_rotation_of_different_objects_change_nothing() -> None:
    a, b, mask = objects(), objects(seed=1), live()
    mask[0, 2] = False
    order = torch.tensor([3, 0, 4, 1, 2])
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    before = relational(a, b, live(), mask).total
    assert torch.allclose(relational(a[:, order], b, live(), mask).total, before)
    assert torch.allclose(relational(a, b[:, order], live(), mask[:, order]).total, before)
    assert torch.allclose(relational(0.01 * a, 100 * b, live(), mask).total, before)
    assert torch.allclose(relational(a @ turn, b @ turn, live(), mask).total, before)


def test_masked_objects_and_grids_with_fewer_than_two_matches_do_not_count() -> None:
    a, b, mask = objects(), objects(seed=1), live()
    mask[0, 1:] = False
    mask[1] = False
    expected = relational(a[2:], b[2:], live(1), live(1)).total
    a.requires_grad_()
    out = relational(a, b, mask, live()).total
    out.backward()
    assert torch.allclose(out, expected)
    assert a.grad is not None
    assert not a.grad[:2].any()
    assert a.grad[2].any()


def test_without_usable_grids_the_loss_and_its_gradient_are_zero() -> None:
    a, mask = objects().requires_grad_(), torch.zeros(3, 5, dtype=torch.bool)
    (gradient,) = torch.autograd.grad(relational(a, objects(seed=1), mask, live()).total, a)
    assert not gradient.any()


def test_collapsed_objects_give_a_finite_loss_without_amplified_rounding() -> None:
    a = objects().float()
    same = a[:, :1].expand(-1, 5, -1).clone()
    noise = same * (1 + 1e-7 * torch.randn_like(same))
    for collapsed in (same, torch.zeros_like(same), noise):
        collapsed.requires_grad_()
        loss = relational(collapsed, a, live(), live()).total
        (gradient,) = torch.autograd.grad(loss, collapsed)
        assert torch.isfinite(gradient).all()
        assert float(loss.detach()) > 0.5  # of distances that should be 1 on average


def test_nan_embeddings_give_a_nan_loss_without_an_error() -> None:
    a = objects()
    a[0, 0] = torch.nan
    assert torch.isnan(relational(a, objects(seed=1), live(), live()).total)


def test_every_object_of_the_grid_with_fewer_objects_is_matched_once() -> None:
    a, b = objects(1, 6), objects(1, 4, seed=1)
    mask = live(1, 6)
    mask[0, [0, 3, 5]] = False
    rows_a, rows_b, matched = match(a, b, mask, live(1, 4))
    assert matched.tolist() == [[True, True, True, False]]
    assert set(rows_a[matched].tolist()) == {1, 2, 4}
    assert len(set(rows_b[matched].tolist())) == 3


def test_the_published_form_grows_with_the_fourth_power_of_the_scale() -> None:
    context, target = objects(6).view(2, 3, 5, 4).contiguous(), objects(2, seed=1)
    touch = torch.rand(2, 4, 5, 5, generator=torch.Generator().manual_seed(3)) < 0.5
    touch = touch | touch.transpose(2, 3)
    mask = torch.ones(2, 4, 5, dtype=torch.bool)
    mask[1, :, 3:] = False

    def relations(z: Tensor, b: int, g: int) -> Tensor:
        r = torch.zeros(5, 5, dtype=torch.float64)
        for i, j in itertools.product(range(5), repeat=2):
            if touch[b, g, i, j] and mask[b, g, i] and mask[b, g, j]:
                r[i, j] = (z[i] - z[j]).square().sum()
        return r

    per = torch.stack(
        [torch.stack([relations(context[b, g], b, g) for g in range(3)]) for b in range(2)]
    )
    of_target = torch.stack([relations(target[b], b, 3) for b in range(2)])
    arguments = (touch[:, :3], touch[:, 3], mask[:, :3], mask[:, 3])
    out = relational_published(context, target, *arguments)
    assert torch.allclose(out.terms["relational"], (per.mean(1) - of_target).square().mean())
    assert torch.allclose(
        out.terms["relational_self"], (per - per.mean(1, keepdim=True)).square().mean()
    )
    assert torch.allclose(out.total, out.terms["relational"] + out.terms["relational_self"])
    larger = relational_published(3 * context, 3 * target, *arguments)
    assert torch.allclose(larger.terms["relational"], 81 * out.terms["relational"])
    copies = context[:, :1].expand(-1, 3, -1, -1)
    one = (touch[:, :1].expand(-1, 3, -1, -1), touch[:, 0], mask[:, :3], mask[:, 3])
    assert float(relational_published(copies, context[:, 0], *one).total) == pytest.approx(
        0, abs=1e-20
    )


def test_wrong_shapes_raise_errors() -> None:
    with pytest.raises(ValueError, match="expected a"):
        relational(objects(), objects(2), live(), live(2))
    with pytest.raises(ValueError, match="mask"):
        relational(objects(), objects(), live(), live(3, 4))
    with pytest.raises(ValueError, match="expected context"):
        relational_published(objects(), objects(), live(), live(), live(), live())
