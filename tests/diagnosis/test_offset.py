"""What a common mean costs: measured for a linear probe, for cosine neighbours and for the next
layer, in float32 and bf16. The table of `diagnosis.offset` holds these numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from jepa_lab.diagnosis import Thresholds, diagnose_features
from jepa_lab.diagnosis.offset import SWITCHING, massive_note, offset_note

N, D, CLASSES = 1200, 64, 10
LABELS = torch.arange(N) % CLASSES


def features(ratio: float) -> Tensor:
    """Returns ten classes (N, D) of spread 1 plus a common vector of length `ratio`, float64."""
    g = torch.Generator().manual_seed(0)
    z = 0.8 * torch.randn(CLASSES, D, generator=g)[LABELS] + torch.randn(N, D, generator=g)
    z = (z - z.mean(dim=0)).double()
    mean = torch.nn.functional.normalize(torch.randn(D, generator=g).double(), dim=0)
    return z / z.square().sum(dim=1).mean().sqrt() + ratio * mean


def probe(z: Tensor) -> float:
    """Returns the accuracy of a ridge regression on centred rows, fitted on the first half."""
    half = N // 2
    x = z.double() - z[:half].double().mean(dim=0)
    x = x / x[:half].std(dim=0).clamp_min(1e-9)  # bf16 can make a dimension constant
    target = torch.nn.functional.one_hot(LABELS).double() - 1 / CLASSES
    gram = x[:half].T @ x[:half] + 1e-3 * half * torch.eye(D, dtype=x.dtype)
    weights = torch.linalg.solve(gram, x[:half].T @ target[:half])
    return float(((x[half:] @ weights).argmax(dim=1) == LABELS[half:]).double().mean())


def neighbours(z: Tensor) -> float:
    """Returns the accuracy of the nearest neighbour by a cosine of the type of z, not centred."""
    z = z / z.norm(dim=1, keepdim=True)
    similar = (z @ z.T).float().fill_diagonal_(-2)
    return float((LABELS[similar.argmax(dim=1)] == LABELS).double().mean())


def layer_error(z: Tensor) -> float:
    """Returns the rounding error behind a linear layer in bf16, over the variance behind it."""
    weights = torch.randn(D, 256, generator=torch.Generator().manual_seed(1)) / D**0.5
    exact = z @ weights.double()
    error = (z.bfloat16() @ weights.bfloat16()).double() - exact
    return float(error.var(dim=0).sum() / exact.var(dim=0).sum())


@pytest.mark.parametrize(
    ("ratio", "half_probe", "single_cosine", "half_cosine", "half_layer"),
    [
        (1.0, 1.0, 1.0, 1.0, 0.0),
        (10.0, 1.0, 1.0, 0.89, 0.001),
        (20.0, 1.0, 1.0, 0.34, 0.002),
        (100.0, 1.0, 1.0, 0.11, 0.05),
        (1000.0, 0.97, 0.97, 0.10, 4.2),
    ],
)
def test_the_cost_of_a_common_mean(
    ratio: float, half_probe: float, single_cosine: float, half_cosine: float, half_layer: float
) -> None:
    z = features(ratio)
    assert probe(z.float()) > 0.99
    assert probe(z.bfloat16()) == pytest.approx(half_probe, abs=0.03)
    assert neighbours(z.float()) == pytest.approx(single_cosine, abs=0.03)
    assert neighbours(z.bfloat16()) == pytest.approx(half_cosine, abs=0.13)
    assert layer_error(z) == pytest.approx(half_layer, rel=0.5, abs=2e-3)


def test_few_units_of_the_next_layer_switch() -> None:
    weights = torch.randn(D, 4096, generator=torch.Generator().manual_seed(1)).double()
    for ratio in (20.0, 100.0):
        active = (features(ratio) @ weights > 0).double().mean(dim=0)
        switching = float(((active > 0.01) & (active < 0.99)).double().mean())
        assert switching == pytest.approx(SWITCHING / ratio, rel=0.3)


def test_the_words_follow_the_cost() -> None:
    t = Thresholds()
    assert offset_note(1.0, t) == offset_note(float("inf"), t) == ""
    assert "float32 cosines lose nothing" in offset_note(10.0, t)
    assert "1.6 % of a next layer's ReLU units switch" in offset_note(100.0, t)
    assert "rounding error of a next layer is as large" in offset_note(1000.0, t)


@pytest.mark.parametrize(
    ("ratio", "status", "words"),
    [
        (1.0, "healthy", ""),
        (10.0, "healthy", "bf16 cosines lose neighbours unless the features are centred"),
        (100.0, "complete_collapse", "a linear probe on centred features loses nothing"),
        (1000.0, "complete_collapse", "cosines lose the neighbours in bf16 and begin to in"),
    ],
)
def test_the_verdict_says_what_a_common_mean_costs(ratio: float, status: str, words: str) -> None:
    verdict = diagnose_features(features(ratio))
    assert verdict.status == status, verdict.line()
    assert words in verdict.line()
    heard = diagnose_features(features(ratio), labels=LABELS)
    assert heard.status == "healthy"
    assert words in heard.line()


def activated(*dimensions: int, rank: int = D) -> Tensor:
    """Returns features (N, D) of spread 1 in `rank` directions, with a value of 200 in some
    dimensions."""
    g = torch.Generator().manual_seed(0)
    z = torch.randn(N, rank, generator=g) @ torch.randn(rank, D, generator=g) / rank**0.5
    z[:, list(dimensions)] = 200 + torch.randn(N, len(dimensions), generator=g)
    return z


@pytest.mark.parametrize(
    ("z", "words"),
    [
        (activated(38), "mean is in dimension 38: a massive activation; without it: healthy"),
        (activated(7, 38), "in dimensions 7 and 38: massive activations; without them: healthy"),
        (activated(38, rank=1), "without it: dimensional_collapse, effective rank 1.0"),
    ],
)
def test_a_massive_activation_is_named_and_the_others_judged(z: Tensor, words: str) -> None:
    verdict = diagnose_features(z)
    assert verdict.status == "complete_collapse"
    assert words in verdict.line()
    assert words in diagnose_features(z + 1e-3).line()


@pytest.mark.parametrize(
    "z", [features(100.0), activated(1, 2, 3), activated(), activated(0)[:, :4]]
)
def test_a_mean_of_several_dimensions_or_none_is_no_massive_activation(z: Tensor) -> None:
    assert "massive" not in diagnose_features(z).line()


def test_a_massive_activation_does_not_change_the_status() -> None:
    t = Thresholds()
    assert massive_note(activated(38), 4.9, t) == massive_note(activated(38), float("nan"), t) == ""
    labels = torch.arange(N) % 4
    z = activated(38) + 20.0 * torch.nn.functional.one_hot(labels, D)
    verdict = diagnose_features(z, labels=labels)
    assert verdict.status in ("healthy", "low_rank")
