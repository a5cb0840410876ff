"""A lower bound of the memory that a run of seq-JEPA takes."""

from __future__ import annotations

import copy
import math

from torch import nn

from jepa_lab.config.extensions import EncoderOptions
from jepa_lab.data.images.image_source import ImageSource, Splits
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.studies.seq_jepa.build import build_module, build_views
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.evaluation import rollout
from jepa_lab.studies.seq_jepa.module import SeqJEPA
from jepa_lab.studies.seq_jepa.probes import SeqJEPAProbes
from jepa_lab.training.memory import bytes_of_aux, bytes_of_rows, with_depths
from jepa_lab.training.module_memory import bytes_of_activations, bytes_of_module

DEPTHS = ("model", "depth"), ("model", "predictor_depth"), ("encoder", "depth")
FLOAT = 4  # bytes


def bytes_needed(config: Config, data: Splits) -> float:
    """Returns the bytes of the network and its probes in training, of the views of a batch or of a
    rollout, of the encodings of the views, and of the metrics. A user-defined encoder is not built,
    so neither its network nor its encodings count."""
    d, source = config.dataset, data.train
    group = build_views(config, source)
    shape = len(source.mean), *group.view_size(*source.images.shape[2:])
    views = d.batch_size * d.n_views
    if config.model.positions != "learned":  # these end at a number of views
        rolled_out = min(rollout.BATCH, len(data.val.images))
        views = max(views, rolled_out * (d.n_views - 1 + config.monitor.rollout_steps))
    steps = d.epochs * (len(source.images) // d.batch_size) / config.optim.accumulate
    known = FLOAT * views * math.prod(shape) + bytes_of_rows(steps, config.monitor.log_every)
    known += bytes_of_aux(config, d.batch_size)
    if isinstance(config.encoder, EncoderOptions):
        return known
    return known + with_depths(config, lambda c: _of_network(c, group, source, shape), *DEPTHS)


def _of_network(
    config: Config, group: ViewGroup, source: ImageSource, shape: tuple[int, ...]
) -> float:
    config = copy.deepcopy(config)
    config.hardware.compile = False
    d = config.dataset

    def build() -> nn.Module:
        module = build_module(config, group, source, steps=1)
        return nn.ModuleDict({"module": module, "probes": _probes(config, module)})

    size, built = bytes_of_module(build)
    if built is None:
        return size
    module = built.get_submodule("module")
    assert isinstance(module, SeqJEPA)
    observed = d.batch_size * (d.n_views - 1)
    return size + bytes_of_activations(module.network.encoder, observed, *shape)


def _probes(config: Config, module: SeqJEPA) -> nn.Module:
    source = SeqJEPAProbes(config.probes.leak_head)
    sample = source.sample(module)
    return nn.ModuleList(p.head(sample, config.probes.hidden) for p in source.probes(module))
