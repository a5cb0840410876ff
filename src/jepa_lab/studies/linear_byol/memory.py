"""A lower bound of the memory that runs of the toy take. Imports no torch."""

from __future__ import annotations

import math

from jepa_lab.studies.linear_byol.config import CHUNK, MAX_BLOCK, ToyConfig
from jepa_lab.studies.linear_byol.grid import axes

DOUBLE = 8  # bytes
RUN = 4000  # bytes of the configuration of a run
STEP = 200  # bytes of a block of steps
# columns of a run's table in memory: of every run, of a linear encoder, and of a linear predictor,
# which also has the singular values of itself and of its optimum
COLUMNS, OF_ENCODER, OF_PREDICTOR = (16, 7, 7)
ENCODERS, PREDICTORS = (3, 2)  # with the velocity, and of the encoder the target too


def bytes_needed(config: ToyConfig) -> float:
    """Returns the bytes of the weights of all runs, of the batches that a group of runs reads, of
    the evaluation set and of the tables."""
    d, wide, hidden = config.d_latent, config.d_obs, config.hidden
    runs = number_of_runs(config)
    encoder = d * wide if config.enc == "linear" else hidden * (wide + hidden + d)
    predictor = {"linear": d * d, "mlp": hidden * (2 * d + hidden), "none": 0}[config.pred]
    weights = DOUBLE * (ENCODERS * encoder + PREDICTORS * predictor)
    rows = config.epochs // config.log_every
    blocks = rows + config.epochs // MAX_BLOCK
    seeds, sizes, *_ = axes(config)
    batches = 0 if config.population else CHUNK * len(seeds) * sum(sizes) * 2 * wide
    evaluation = config.eval_size * 2 * wide if "mlp" in (config.enc, config.pred) else 0
    columns = COLUMNS + OF_ENCODER * (config.enc == "linear")
    columns += (OF_PREDICTOR + 2 * d) * (config.pred == "linear")
    numbers = len(seeds) * wide * d + batches + evaluation + runs * rows * columns
    return float(runs * (RUN + weights) + DOUBLE * numbers + STEP * blocks)


def number_of_runs(config: ToyConfig) -> int:
    """Returns the number of `grid.members`, without making them."""
    return math.prod(map(len, axes(config)))
