"""Monitor in a plain loop: when it measures, what it keeps, and what it says."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from jepa_lab import Monitor
from jepa_lab.metrics import collapse_metrics


def rows(n: int = 64, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def narrowing(step: int, d: int = 16) -> torch.Tensor:
    """Features of all directions up to step 40, then of one alone."""
    scale = torch.ones(d)
    scale[1:] = 1.0 if step <= 40 else 1e-4
    return rows(64, d, step) * scale


def test_it_measures_every_so_many_steps_and_at_once_if_a_batch_is_enough() -> None:
    monitor = Monitor(every=10, n=32)
    measured = [step for step in range(35) if monitor.update(step, {"z": rows()})]
    assert measured == [0, 10, 20, 30]
    assert monitor.history["val/z/n"] == [(step, 32.0) for step in measured]


def test_batches_are_joined_until_there_are_enough_samples() -> None:
    monitor = Monitor(every=10, n=150)
    parts = [rows(seed=step) for step in range(3)]
    values = [monitor.update(step, {"z": part}) for step, part in enumerate(parts)]
    assert [bool(v) for v in values] == [False, False, True]
    expected = collapse_metrics(torch.cat(parts)[:150])
    for name in ("effective_rank", "feature_std_l2", "norm"):
        assert values[2][f"val/z/{name}"] == pytest.approx(expected[name], rel=1e-9)


def test_a_measurement_that_waits_for_too_long_uses_what_it_has() -> None:
    monitor = Monitor(every=2, n=1000)
    for step in range(5):
        monitor.update(step, {"z": rows()})
    assert monitor.history["val/z/n"] == [(1, 128.0), (3, 128.0)]
    assert monitor.verdict().status == "healthy"
    assert monitor.history["val/z/n"][-1] == (4, 64.0)


def test_features_as_a_function_are_computed_only_when_they_are_due() -> None:
    calls = []

    def features() -> dict[str, torch.Tensor]:
        calls.append(1)
        return {"z": rows()}

    monitor = Monitor(every=5, n=64)
    for step in range(11):
        monitor.update(step, features)
    assert len(calls) == 3


@pytest.mark.parametrize(
    "form",
    [
        lambda z: z.numpy(),
        lambda z: z.numpy().astype(">f4"),
        lambda z: z.tolist(),
        lambda z: z.double(),
        lambda z: z.clone().requires_grad_(),
    ],
)
def test_arrays_lists_and_tensors_of_any_kind_give_the_same_values(
    form: Callable[[torch.Tensor], object],
) -> None:
    z = rows()
    one, other = (Monitor(every=1, n=64) for _ in range(2))
    expected, got = one.update(0, {"z": z}), other.update(0, {"z": form(z)})
    assert got == pytest.approx(expected, rel=1e-6)


def test_half_precision_is_read_with_its_rounding() -> None:
    z = rows().bfloat16()
    got = Monitor(every=1, n=64).update(0, {"z": z})
    assert got["val/z/effective_rank"] == pytest.approx(
        collapse_metrics(z.float())["effective_rank"]
    )


def test_a_collapse_is_dated_and_printed_with_evidence_order_and_advice() -> None:
    monitor = Monitor(every=10, n=64)
    for step in range(100):
        monitor.update(step, {"z": narrowing(step), "h": rows(seed=step)}, loss=1.0)
    verdict = monitor.verdict()
    assert (verdict.status, verdict.tap, verdict.since_step) == ("dimensional_collapse", "z", 50)
    assert verdict.per_tap == {"z": "dimensional_collapse", "h": "healthy"}
    text = str(verdict)
    assert text.startswith("verdict: dimensional_collapse of z since step 50")
    for part in (
        "measured: 10 times, from step 0 to 90, 64 rows the last time",
        "first violations\n  step      50  dimensional_collapse of z",
        "! z effective rank",
        "or more of 16",
        "to try\n  add a term against correlated dimensions",
    ):
        assert part in text
    assert "=" not in text.split("to try")[1]  # no key of ours


def test_a_loss_that_is_not_finite_is_a_finding() -> None:
    monitor = Monitor(every=10, n=64)
    for step in range(50):
        loss = torch.tensor(math.nan if step > 20 else 1.0)
        monitor.update(step, {"z": rows(seed=step)}, loss={"total": loss, "variance": 0.5})
    verdict = monitor.verdict()
    assert (verdict.status, verdict.since_step) == ("diverged", 21)
    assert monitor.history["train/loss/variance"][-1] == (49, 0.5)


def test_long_curves_are_thinned_but_no_value_that_is_not_finite_is_lost() -> None:
    monitor = Monitor(every=10**6, n=64)
    for step in range(45_000):
        monitor.update(step, dict, loss=math.inf if step == 44_999 else 1.0)
    points = monitor.history["train/loss/total"]
    assert len(points) < 25_000
    assert points[-1] == (44_999, math.inf)
    assert points[0] == (0, 1.0)


def test_the_first_steps_are_the_reference_of_an_untrained_network() -> None:
    fresh, resumed = Monitor(every=1, n=64), Monitor(every=1, n=64)
    fresh.update(0, {"z": rows()})
    resumed.update(500, {"z": rows()})
    assert "reference/z/effective_rank" in fresh.history
    assert not any(key.startswith("reference/") for key in resumed.history)


def test_should_stop_after_two_measurements_in_a_row() -> None:
    monitor = Monitor(every=10, n=64, stop_on=["dimensional_collapse"])
    stopped = []
    for step in range(100):
        monitor.update(step, {"z": narrowing(step)})
        stopped.append(monitor.should_stop)
    assert stopped.index(True) == 60


def test_a_checkpoint_continues_the_history_and_the_verdict() -> None:
    whole, first = Monitor(every=10, n=64), Monitor(every=10, n=64)
    for step in range(50):
        first.update(step, {"z": narrowing(step)}, loss=float(step))
    second = Monitor(every=10, n=64)
    second.load_state_dict(first.state_dict())
    for step in range(100):
        whole.update(step, {"z": narrowing(step)}, loss=float(step))
        if step >= 50:
            second.update(step, {"z": narrowing(step)}, loss=float(step))
    assert second.history == whole.history
    assert str(second.verdict()) == str(whole.verdict())


def test_without_a_measurement_the_verdict_says_so() -> None:
    verdict = Monitor().verdict()
    assert verdict.status == "inconclusive"
    assert "measured: nothing yet" in str(verdict)


def test_steps_that_fall_are_refused_with_the_reason() -> None:
    monitor = Monitor(every=1, n=64)
    monitor.update(5, {"z": rows()})
    with pytest.raises(ValueError, match="step 4 after step 5"):
        monitor.update(4, {"z": rows()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0: expected a whole number from 1"),
        ({"n": 2.5}, "n=2.5"),
        ({"role": {"z": "token"}}, "role of 'z': 'token' is none of embedding"),
        ({"role": "tokens"}, "role='tokens': expected a mapping"),
        ({"taps": "backbone"}, "taps='backbone': expected a list of names"),
        ({"stop_on": "diverged"}, "stop_on='diverged': expected a list of names"),
        ({"prefix": ""}, "prefix='': expected a word"),
        ({"stop_on": ["collapse"]}, "stop_on: no status 'collapse'; did you mean"),
    ],
)
def test_options_are_checked_at_the_start(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Monitor(**options)  # type: ignore[arg-type]


def test_it_changes_no_random_number_and_no_gradient() -> None:
    torch.manual_seed(0)
    z = torch.randn(64, 8, requires_grad=True)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    Monitor(every=1, n=64).update(0, {"z": z}, loss=z.sum())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert z.grad is None


def test_its_import_needs_neither_lightning_nor_hydra() -> None:
    code = (
        "import sys; from jepa_lab import Monitor; "
        "print([m for m in ('pytorch_lightning', 'lightning', 'hydra', 'wandb', 'sklearn') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_noisy_loss_is_no_instability() -> None:
    noise = torch.randn(2000, generator=torch.Generator().manual_seed(0)).tolist()
    monitor = Monitor(every=200, n=None)
    for step in range(2000):
        monitor.update(step, {"z": rows(seed=step)}, loss=1 + 0.25 * noise[step])
    assert monitor.verdict().status == "healthy"


def test_a_small_tap_does_not_hide_a_collapse() -> None:
    monitor = Monitor(every=10, n=None)
    for step in range(100):
        monitor.update(step, {"z": torch.ones(256, 32), "prototypes": rows(10)})
    verdict = monitor.verdict()
    assert (verdict.status, verdict.tap) == ("complete_collapse", "z")
    assert set(verdict.per_tap) == {"z"}


def test_a_small_tap_beside_a_healthy_one_is_named() -> None:
    monitor = Monitor(every=10, n=None)
    for step in range(100):
        monitor.update(step, {"z": rows(seed=step), "prototypes": rows(10, seed=step)})
    verdict = monitor.verdict()
    assert verdict.status == "healthy"
    assert "prototypes is not judged: 10 rows, 32 are needed" in verdict.line()


def test_losses_are_copied_and_must_be_numbers() -> None:
    monitor, loss = Monitor(every=10, n=64), torch.zeros(())
    for step in range(20):
        loss.fill_(100 - step)
        monitor.update(step, {"z": rows()}, loss=loss)
    assert monitor.history["train/loss/total"][:2] == [(0, 100.0), (1, 99.0)]
    with pytest.raises(ValueError, match=r"loss 'total' at step 20: shape \(4,\)"):
        monitor.update(20, {"z": rows()}, loss=torch.rand(4))


def test_steps_of_any_kind_are_whole_numbers() -> None:
    monitor, step = Monitor(every=10, n=64), torch.zeros((), dtype=torch.long)
    for _ in range(30):
        monitor.update(step, {"z": rows()})
        step += 1
    assert [s for s, _ in monitor.history["val/z/n"]] == [0, 10, 20]
    monitor.update(np.int64(31), {"z": rows()})
    for wrong in (0.5, math.nan, "1", None):
        with pytest.raises(ValueError, match="expected a whole number"):
            monitor.update(wrong, {"z": rows()})  # type: ignore[arg-type]


def test_an_old_measurement_is_called_old() -> None:
    monitor = Monitor(every=200, n=64)
    for step in range(150):
        monitor.update(step, {"z": rows()})
    assert "last measured at step 0 of 149" in monitor.verdict().line()
