"""A lower bound of the memory that a run of seq-JEPA takes."""

from __future__ import annotations

import math
from types import SimpleNamespace

from torch import nn

from jepa_lab.config.extensions import EncoderOptions
from jepa_lab.data.images.image_source import ImageSource, Splits
from jepa_lab.data.views.build import ViewGroup
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.network import ROLLED_OUT, SeqJEPANetwork, target_encoder_of
from jepa_lab.studies.seq_jepa.parts import build_network, build_views
from jepa_lab.studies.seq_jepa.probes import SeqJEPAProbes
from jepa_lab.training.memory import bytes_of_aux, bytes_of_rows, with_depths
from jepa_lab.training.module_memory import (
    bytes_of_activations,
    bytes_of_module,
    device_memory,
    most_bytes_of_activations,
)

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
        rolled_out = min(ROLLED_OUT, len(data.val.images))
        views = max(views, rolled_out * (d.n_views - 1 + config.monitor.rollout_steps))
    steps = d.epochs * (len(source.images) // d.batch_size) / config.optim.accumulate
    known = FLOAT * views * math.prod(shape) + bytes_of_rows(steps, config.monitor.log_every)
    known += bytes_of_aux(config, d.batch_size)
    if isinstance(config.encoder, EncoderOptions):
        return known

    def of_network(c: Config) -> float:
        # of a depth that is extrapolated, everything counts
        beside = known if c is config else math.inf
        return _of_network(c, group, source, shape, beside)

    return known + with_depths(config, of_network, *DEPTHS)


def _of_network(
    config: Config, group: ViewGroup, source: ImageSource, shape: tuple[int, ...], beside: float
) -> float:
    """Returns the bytes of the network beside others. Activations are left out if the run is far
    from the limit with them: torch imports its compiler, a second, to run a module on "meta"."""
    d = config.dataset

    def build() -> nn.Module:
        network, objective = build_network(config, group, source)
        own_running = config.target.bn_buffers == "own_running"
        average = target_encoder_of(network, config.target.name, own_running)
        probes = _probes(config, network, group, source)
        built = {"network": network, "objective": objective, "average": average, "probes": probes}
        return nn.ModuleDict({name: part for name, part in built.items() if part is not None})

    size, built = bytes_of_module(build)
    if built is None:
        return size
    network = built.get_submodule("network")
    assert isinstance(network, SeqJEPANetwork)
    observed = d.batch_size * (d.n_views - 1)
    most = most_bytes_of_activations(network.encoder, observed, *shape)
    if beside + size + most < device_memory(config) / 2:
        return size
    return size + bytes_of_activations(network.encoder, observed, *shape)


def _probes(
    config: Config, network: SeqJEPANetwork, group: ViewGroup, source: ImageSource
) -> nn.Module:
    module = SimpleNamespace(network=network, group=group, n_classes=source.n_classes)
    probes = SeqJEPAProbes(config.probes.leak_head)
    sample = probes.sample(module)
    return nn.ModuleList(p.head(sample, config.probes.hidden) for p in probes.probes(module))
