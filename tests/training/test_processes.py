"""Two processes compute what one does: losses, gradients, weights and statistics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import arc_maker, maker
from jepa_lab.callbacks.checkpoints import Saver
from jepa_lab.callbacks.consensus import AgreedStop, Consensus, FollowedVerdict
from jepa_lab.process.stop import StopRequest
from jepa_lab.ranks import gather_rows, rank, share
from quiet_trainers import quiet_trainer
from two_processes import Pool, Steps, train_steps

SEQ_JEPA = {
    "rate of z_agg": ["loss.lambda_rate=0.1"],
    "rate of both, scaled as a whole": [
        "loss.lambda_rate=0.1",
        "loss.rate_target=both",
        "loss.rate_normalise=trace",
        "loss.rate_center=true",
    ],
    "VICReg with a projector": [
        "aux=vicreg",
        "aux.vicreg.proj_hidden_dim=8",
        "aux.vicreg.proj_output_dim=8",
        "target=ema",
    ],
    "Barlow Twins, shared target": ["aux=barlow_twins", "target=shared"],
    "DINO heads": ["aux=dino", "target=ema"],
    "SIGReg": ["aux=sigreg"],
    "centre penalty": ["aux=center_penalty"],
    "DINO form": ["loss=dino", "target=ema"],
    "sharpened form": ["loss=sharpened", "target=ema"],
    "symmetric": ["loss.symmetric=true", "dataset.first_view=random"],
    "uneven slices": ["dataset.batch_size=33", "loss.lambda_rate=0.1"],
}
ARC = {
    "InfoNCE and codebook": [],
    "by gradient": ["vq=gradient"],
    "relational and transforms": [
        "loss.relational.weight=1",
        "loss.invariance.translation=1",
        "loss.sigreg.weight=1",
    ],
    "uneven slices": ["dataset.batch_size=7"],
    # its rows are kept in float32
    "without a queue": ["loss.queue=0"],
}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    started = Pool()
    yield started
    started.close()


def close(found: Steps, expected: Steps, tolerance: float, of_gradients: float = 1.0) -> None:
    """Requires differences below the tolerance times the largest term, the norm of the gradient
    (times `of_gradients`), and the largest value of each tensor of the state, if these are above
    1."""
    norm = float(np.sqrt(sum((g**2).sum() for g in expected.gradients.values())))
    largest = max(abs(float(term)) for term in expected.terms.values())
    scales = (largest, of_gradients * max(1.0, norm), 0.0)
    for part, wanted, scale in zip(found, expected, scales, strict=True):
        assert part.keys() == wanted.keys()
        for name, value in wanted.items():
            within = tolerance * max(1.0, scale or float(np.abs(value).max(initial=0.0)))
            assert np.allclose(part[name], value, rtol=0, atol=within), name


def config_of(study: str, folder: Path, case: str) -> Any:
    if study == "seq_jepa":
        options = ["model.dropout=0", "dataset.batch_size=32", *SEQ_JEPA[case]]
        return maker(folder)(*options)
    return arc_maker(folder)("model.dropout=0", *ARC[case])


@pytest.mark.parametrize(
    ("study", "case"), [("seq_jepa", case) for case in SEQ_JEPA] + [("arc", case) for case in ARC]
)
def test_every_loss_has_the_value_and_the_gradients_of_one_process(
    study: str, case: str, pool: Pool, tmp_path: Path
) -> None:
    config = config_of(study, tmp_path, case)
    # rounding in float32 grows on the way back through the network
    for dtype, tolerance, grown in ((torch.float32, 1e-5, 10.0), (torch.float64, 1e-10, 1.0)):
        expected = train_steps(config, dtype)
        for found in pool(train_steps, config, dtype):
            close(found._replace(state={}), expected._replace(state={}), tolerance, grown)


@pytest.mark.parametrize(
    ("study", "case"), [("seq_jepa", "rate of z_agg"), ("arc", "without a queue")]
)
def test_fifty_steps_end_at_the_weights_of_one_process(
    study: str, case: str, pool: Pool, tmp_path: Path
) -> None:
    config = config_of(study, tmp_path, case)
    expected = train_steps(config, torch.float64, 50)
    for found in pool(train_steps, config, torch.float64, 50):
        close(found, expected, 1e-7)


def vote(signal: str | None, due: bool) -> tuple[str | None, bool | None]:
    """Returns the decision of all processes if the second got a signal and the first is to save."""
    stop = AgreedStop(StopRequest())
    stop.own.signal = signal if rank() == 1 else None
    saver = Saver(Path(), "m", every_s=0.0 if due and rank() == 0 else 1e9)
    Consensus(stop, None, saver, FollowedVerdict()).on_train_batch_end(quiet_trainer())
    return stop.reason(), saver.asked


def test_all_processes_stop_and_save_at_the_same_step(pool: Pool) -> None:
    assert pool(vote, "SIGTERM", False) == [("SIGTERM received", False)] * 2
    assert pool(vote, None, True) == [(None, True)] * 2
    assert pool(vote, None, False) == [(None, False)] * 2


def uneven(n: int) -> list[list[int]]:
    """Returns the rows of this process, the gathered rows, and rows of a small batch."""
    rows = torch.arange(n)[share(n)]
    whole, flags = gather_rows([rows, rows % 2 == 0], n)
    assert torch.equal(flags, whole % 2 == 0)
    return [rows.tolist(), whole.tolist(), torch.arange(1)[share(1)].tolist()]


def test_rows_of_uneven_slices_are_gathered_in_the_order_of_one_process(pool: Pool) -> None:
    assert pool(uneven, 5) == [[[0, 1, 2], [*range(5)], [0]], [[3, 4], [*range(5)], [0]]]
