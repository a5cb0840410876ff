"""Two processes compute what one does: losses, gradients, weights and statistics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import arc_maker, maker
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
}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    started = Pool()
    yield started
    started.close()


def close(found: Steps, expected: Steps, tolerance: float) -> None:
    for part, wanted in zip(found, expected, strict=True):
        assert part.keys() == wanted.keys()
        for name, value in wanted.items():
            scale = max(1.0, float(np.abs(value).max(initial=0.0)))
            assert np.allclose(part[name], value, rtol=0, atol=tolerance * scale), name


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
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        expected = train_steps(config, dtype)
        for found in pool(train_steps, config, dtype):
            close(found._replace(state={}), expected._replace(state={}), tolerance)
