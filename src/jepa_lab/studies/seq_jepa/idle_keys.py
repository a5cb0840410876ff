"""Keys of a seq-JEPA without effect in a configuration."""

from __future__ import annotations

from jepa_lab.config.extensions import SourceOptions, ViewOptions
from jepa_lab.config.idle_keys import idle_keys_of_jepa
from jepa_lab.studies.seq_jepa.config import Config
from jepa_lab.studies.seq_jepa.dataset_config import OF_TURNED_VIEWS

OF_RATE = ("alpha", "rate_target", "rate_normalise", "rate_center", "rate_form")
WARMED_UP = ("dino", "dino_headless")  # forms whose temperature moves


def idle_keys(config: Config) -> dict[str, str]:
    """Returns {key: reason} of the keys without effect on a run of the checked configuration."""
    return {
        **idle_keys_of_jepa(config),
        **_of_model(config),
        **_of_loss(config),
        **_of_dataset(config),
        **_of_measures(config),
    }


def _of_model(config: Config) -> dict[str, str]:
    model = config.model
    idle: dict[str, str] = {}
    for key, is_read in model.readers().items():
        # the check refuses the others, except for no dropout
        if not is_read and (model.aggregator == "mean" or key == "dropout"):
            idle[f"model.{key}"] = f"{model.parts} does not have it"
    if model.aggregator == "mean":
        # the evaluation knows learned positions by their name alone
        positions = () if model.positions == "learned" else ("positions",)
        for key in ("depth", "heads", *positions):
            idle[f"model.{key}"] = "model/aggregator=mean does not have it"
    if not model.action_conditioning:
        idle["model.action_bn"] = "model.action_conditioning=false embeds no actions"
    if config.encoder.name == "pixels":
        idle["hardware.channels_last"] = "encoder=pixels has no convolution"
    return idle


def _of_loss(config: Config) -> dict[str, str]:
    loss = config.loss
    idle: dict[str, str] = {}
    if loss.lambda_rate == 0:
        off = "loss.lambda_rate=0 switches the coding rate off"
        idle |= {f"loss.{key}": off for key in OF_RATE}
        idle |= {
            f"aux.{name}.ramp": off
            for name, options in config.aux.items()
            if options.regulariser == "coding_rate"
        }
    elif loss.rate_form != "logdet":
        idle["loss.alpha"] = "only loss.rate_form=logdet reads it"
    if config.recipe.lambda_rate != loss.lambda_rate:
        idle["recipe.lambda_rate"] = f"loss.lambda_rate={loss.lambda_rate:g} replaces it"
    if loss.form in WARMED_UP and loss.temp_warmup == 0:
        idle["loss.teacher_temp_start"] = "loss.temp_warmup=0 begins with loss.teacher_temp"
    return idle


def _of_dataset(config: Config) -> dict[str, str]:
    d = config.dataset
    idle: dict[str, str] = {}
    if isinstance(d.views, ViewOptions):
        idle |= {f"dataset.{key}": "user-defined views do not read it" for key in OF_TURNED_VIEWS}
    elif d.mode in ("rot_only", "trans_only"):
        idle["dataset.scale_law"] = f"dataset.mode={d.mode} keeps the scale"
    if isinstance(d.source, SourceOptions):
        idle["dataset.image_size"] = "a user-defined source does not read it"
    if d.first_view != d.usual_first_view:
        idle["dataset.usual_first_view"] = f"dataset.first_view={d.first_view} replaces it"
    return idle


def _of_measures(config: Config) -> dict[str, str]:
    idle = {}
    if config.monitor.sweep_anchors == 0:
        idle["monitor.sweep_every"] = "monitor.sweep_anchors=0 makes no factor sweeps"
    if config.dataset.n_views == 2:
        idle["probes.leak_head"] = "dataset.n_views=2 has no probe action_from_z_agg"
    return idle
