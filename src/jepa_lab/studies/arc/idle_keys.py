"""Keys of an ARC JEPA without effect in a configuration."""

from __future__ import annotations

from dataclasses import fields

from jepa_lab.config.idle_keys import idle_keys_of_jepa
from jepa_lab.studies.arc.config import OF_IMAGES, ArcConfig
from jepa_lab.studies.arc.model_config import RefreshConfig, VQConfig

REFRESH = tuple(f.name for f in fields(RefreshConfig) if f.name != "enabled")
# rule of revival -> the keys that it does not read, see callbacks/codebook_refresh.py
UNREAD_BY_RULE = {"staleness": ("threshold",), "legacy_share": ("cap", "cool_down")}


def idle_keys(config: ArcConfig) -> dict[str, str]:
    """Returns {key: reason} of the keys without effect on a run of the checked configuration."""
    idle = {f"{group}.{key}": "only image studies read it" for group, key in OF_IMAGES}
    if config.model.predictor == "none":
        idle["model.hidden"] = "model.predictor=none has no hidden layer"
    if config.early_stop.patience is None:
        idle["early_stop.min_delta"] = "early_stop.patience=null never stops"
    return {
        **idle_keys_of_jepa(config),
        **idle,
        **_of_dataset(config),
        **_of_loss(config),
        **_of_codebook(config),
    }


def _of_dataset(config: ArcConfig) -> dict[str, str]:
    d = config.dataset
    unread = {
        "kind": ("val_share", "split_seed") if d.kind == "synthetic" else (),
        "problem": ("n_frames",) if d.problem == "demos" else ("n_demos",),
        "tokeniser": (
            ("patch",)
            if d.tokeniser == "slots"
            else ("slot_features", "connectivity", "max_objects")
        ),
    }
    idle = {
        f"dataset.{key}": f"dataset.{of}={getattr(d, of)} does not read it"
        for of, keys in unread.items()
        for key in keys
    }
    if d.synthetic is not None and d.synthetic.style == "objects":
        idle["dataset.synthetic.fill"] = "only dataset.synthetic.style=noise reads it"
    return idle


def _of_loss(config: ArcConfig) -> dict[str, str]:
    loss = config.loss
    idle: dict[str, str] = {}
    bounds = tuple(f"temperature.{key}" for key in ("min", "max", "bound"))
    if loss.form == "l2":  # the evaluation compares at temperature.init
        for key in ("queue", "exclude_same_task", "temperature.learn", *bounds):
            idle[f"loss.{key}"] = "only loss.form=info_nce reads it"
    elif not loss.temperature.learn:
        idle |= {f"loss.{key}": "loss.temperature.learn=false keeps init" for key in bounds}
    if loss.sigreg.weight == 0:
        for key in ("n_slices", "n_points", "t_max", "form"):
            idle[f"loss.sigreg.{key}"] = "loss.sigreg.weight=0"
    invariance = loss.invariance
    if not invariance.weights():
        idle["loss.invariance.form"] = "all weights of loss.invariance are 0"
    if invariance.form == "true":
        idle["loss.invariance.max_delta"] = "only loss.invariance.form=published reads it"
    elif invariance.translation == 0:
        idle["loss.invariance.max_delta"] = "loss.invariance.translation=0"
    if loss.relational.weight == loss.relational.self_weight == 0:
        idle["loss.relational.form"] = "loss.relational.weight=0"
    return idle


def _of_codebook(config: ArcConfig) -> dict[str, str]:
    vq = config.vq
    idle: dict[str, str] = {}
    refresh = {f"vq.refresh.{key}" for key in REFRESH}
    if not vq.enabled:
        own = {f"vq.{f.name}" for f in fields(VQConfig) if f.name not in ("enabled", "refresh")}
        return dict.fromkeys(own | refresh | {"vq.refresh.enabled"}, "vq.enabled=false")
    if not vq.refresh.enabled:
        idle |= dict.fromkeys(refresh, "vq.refresh.enabled=false")
    for key in UNREAD_BY_RULE.get(vq.refresh.rule, ()):
        idle.setdefault(f"vq.refresh.{key}", f"vq.refresh.rule={vq.refresh.rule} does not read it")
    if vq.kind != "hard":
        idle["vq.share"] = f"vq.kind={vq.kind} always shares its codebook"
    elif config.target.name != "ema":
        idle["vq.share"] = f"target={config.target.name} has no encoder of its own"
    if vq.kind == "fsq":
        idle["vq.in_objective"] = "vq.kind=fsq has no loss"
    elif not vq.in_objective:
        weights = ("commitment", "weight_on") if vq.kind == "hard" else ("usage_weight",)
        for key in weights:
            idle[f"vq.{key}"] = "vq.in_objective=false leaves the codebook's loss out"
    elif vq.weight_on == "codebook" and vq.ema_decay is not None:
        idle["vq.commitment"] = "vq.weight_on=codebook weighs a term that an average does not have"
    return idle
