"""Builds the auxiliary losses of a run from its checked configuration."""

from __future__ import annotations

import torch

from jepa_lab.auxiliary.contract import SiteOptions
from jepa_lab.auxiliary.terms import AuxTerm
from jepa_lab.config.run_config import JepaConfig
from jepa_lab.errors import UserError


def build_aux_terms(config: JepaConfig, widths: dict[str, int]) -> dict[str, AuxTerm]:
    """Returns the auxiliary losses with a weight above 0, on taps of these widths.

    `widths` maps each tap to its number of features. The coding rate of a seq-JEPA is not included,
    since it is no module of its own. The heads of every loss are drawn from a forked random stream,
    so the network and everything drawn after it are the same with any auxiliary losses. Raises
    UserError for a site whose tap the network lacks.
    """
    terms = {}
    for name, options in config.aux.items():
        if isinstance(options, SiteOptions) and options.weight > 0:
            unknown = [tap for tap in options.reads if tap not in widths]
            if unknown:
                raise UserError(
                    f"aux.{name}.site={options.where}: {unknown[0]} is none of {', '.join(widths)}"
                )
            with torch.random.fork_rng(devices=[]):
                terms[name] = AuxTerm(options, widths, has_ema_teacher=config.target.name == "ema")
    return terms
