"""A lower bound of the memory that a run of the ARC JEPA takes."""

from __future__ import annotations

from torch import nn

from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.tokens.tokenisers import Tokeniser
from jepa_lab.studies.arc.encoder import ENTRIES
from jepa_lab.studies.arc.network import targets_of
from jepa_lab.studies.arc.parts import build_network, build_tokeniser
from jepa_lab.training.memory import bytes_of_aux, bytes_of_rows, bytes_of_slices, with_depths
from jepa_lab.training.module_memory import bytes_of_module

DEPTHS = (("model", "depth"),)
FLOAT = 4  # bytes
OF_TOKEN = 3  # vectors that the encoder keeps for each token before its blocks
OF_BLOCK = 8  # and in each block, at least


def bytes_needed(config: ArcConfig, n_tasks: int) -> float:
    """Returns the bytes of the network in training, of the tokens of a batch, of the vectors that
    the encoder keeps for them, and of the metrics. `n_tasks` is the number of training tasks."""
    d, m = config.dataset, config.model
    places = 2 * d.n_demos + 1 if d.problem == "demos" else d.n_frames
    tokeniser = build_tokeniser(d)
    slots = d.max_objects if d.tokeniser == "slots" else 1
    grids = d.batch_size * places
    inputs = tokeniser.n_features + ENTRIES * tokeniser.n_colors
    kept = inputs + m.width * (OF_TOKEN + OF_BLOCK * m.depth)
    steps = d.epochs * n_tasks / d.batch_size / config.optim.accumulate

    def of_network(config: ArcConfig) -> float:
        return bytes_of_module(lambda: _parts(config, tokeniser, places))[0]

    sigreg = config.loss.sigreg
    slices = sigreg.n_slices if sigreg.weight > 0 else 0
    return (
        bytes_of_slices(d.batch_size, slices, sigreg.n_points)
        + bytes_of_aux(config, d.batch_size)
        + grids * slots * (kept * FLOAT + slots)
        + bytes_of_rows(steps, config.monitor.log_every)
        + with_depths(config, of_network, *DEPTHS)
    )


def _parts(config: ArcConfig, tokeniser: Tokeniser, places: int) -> nn.Module:
    """Returns all modules of a run."""
    network, objective = build_network(config, tokeniser, places)
    targets = vars(targets_of(network, config.target.name)).values()
    return nn.ModuleList([network, objective, *(part for part in targets if part is not None)])
