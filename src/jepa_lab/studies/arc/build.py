"""Builds the module of a run of the ARC JEPA from a checked configuration."""

from __future__ import annotations

import torch

from jepa_lab.networks.vq.build import Codebook
from jepa_lab.studies.arc.config import ArcConfig
from jepa_lab.studies.arc.data.loader import ArcLoader
from jepa_lab.studies.arc.data.tokens.tokenisers import Tokeniser
from jepa_lab.studies.arc.module import ArcJEPA
from jepa_lab.studies.arc.parts import build_network


def build_module(config: ArcConfig, tokeniser: Tokeniser, places: int, steps: int) -> ArcJEPA:
    """Builds the LightningModule with network and objective, for contexts of `places` grids.

    The initial weights come from the global random stream.
    """
    network, objective = build_network(config, tokeniser, places)
    return ArcJEPA(
        network,
        objective,
        target=config.target.name,
        optim=config.optim,
        steps=steps,
        seed=config.seed,
    )


def begin_codebook(module: ArcJEPA, loader: ArcLoader) -> None:
    """Initialises a data-dependent codebook from the tokens of a first batch, so that measurements
    before training already use it."""
    book = module.vq
    if not isinstance(book, Codebook) or bool(book.initialized):
        return
    context = loader.examples_at(0, loader.batch_size).view.context
    with torch.no_grad():
        tokens = module.network.encoder.eval()(context)[context.mask]
    module.train()
    if len(tokens):
        book.initialise(tokens)
        if isinstance(module.target_vq, Codebook):
            module.target_vq.load_state_dict(book.state_dict())
