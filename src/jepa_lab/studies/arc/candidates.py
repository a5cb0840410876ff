"""The changes that could prevent the failure of an ARC JEPA, the likeliest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.trials import Candidate
from jepa_lab.studies.arc.remedies import ArcRemedies, codebook_defects
from jepa_lab.training.candidates import of_steps, suggested, unique, without_auxiliary_losses

Config = Mapping[str, Any]
# the auxiliary losses of the ARC study, with the keys of their weights
LOSSES: Mapping[str, tuple[str, ...]] = {
    "sigreg": ("loss.sigreg.weight",),
    "color": ("loss.invariance.color",),
    "translation": ("loss.invariance.translation",),
    "symmetry": ("loss.invariance.symmetry",),
    "relational": ("loss.relational.weight", "loss.relational.self_weight"),
}
RELATIVE = (
    "vq.refresh.rule=relative vq.refresh.threshold=0.1 vq.refresh.cap=0.1 vq.refresh.interval=20"
)
WIDE = (0.03, 0.3)  # range of the temperature
# keys of learned codes, which finite scalar quantisation does not have
OF_CODES = (
    *("size", "commitment", "ema_decay", "init", "weight_on", "update"),
    *("gumbel_start", "gumbel_end", "gumbel_share", "gumbel_scale", "usage_weight"),
)
# published settings under which the context does not determine the target, and better ones
WELL_POSED = (
    ("dataset.problem", "copies", "demos"),
    ("dataset.slot_features", "published", "objects"),
    ("loss.invariance.form", "published", "true"),
    ("model.predictor", "none", "mlp"),
    ("model.projection_form", "relu_end", "linear_end"),
)


def candidates(findings: Sequence[Finding], config: Config) -> list[Candidate]:
    """Returns the changes that the findings suggest, then those of every part of the configuration
    that could be guilty. Each change occurs once.

    Those of the codebook, of the losses and of the problem are the steps of the public project's
    plan, and the corrections that it never tried.
    """
    every = [*suggested(findings, config, ArcRemedies()), *_of_codebook(config)]
    every += [*_of_losses(config), *without_auxiliary_losses(config), *_of_target(config)]
    every += [*of_steps(config), *_of_precision(config), *_of_problem(config), *_of_context(config)]
    return unique(every)


def _of_codebook(config: Config) -> list[Candidate]:
    vq = value_of(config, "vq") or {}
    if not vq.get("enabled"):
        return []
    found = [_change("vq.enabled=false", "the run has a codebook")]
    if vq.get("kind") != "fsq":
        found.append(Candidate(_fsq(vq), "its codes are learned", hot=False))
    if vq.get("kind") != "hard":
        return found
    refresh = vq.get("refresh") or {}
    if refresh.get("enabled"):
        found.append(_change("vq.refresh.enabled=false", "dead codes are revived"))
        slow = "vq.refresh.interval=2000 vq.refresh.threshold=0.01"
        found.append(_change(slow, f"codes are revived every {refresh.get('interval')} steps"))
        if refresh.get("rule") != "relative":
            found.append(_change(RELATIVE, "codes are judged by their share of all tokens"))
    if vq.get("ema_decay") is not None:
        found.append(_change("vq.ema_decay=null", "the codes are moving averages"))
    commitment = vq.get("commitment")
    if commitment and vq.get("in_objective") is not False:
        found.append(
            _change(f"vq.commitment={commitment / 2:g}", "the encoder is held to its codes")
        )
    corrections = codebook_defects(config)
    found += [
        Candidate(tuple(change.split()), cause, hot="vq.init" not in change)
        for cause, change in corrections
    ]
    if len(corrections) > 1:
        together = " ".join(dict.fromkeys(" ".join(change for _, change in corrections).split()))
        found.append(Candidate(tuple(together.split()), "several defects at once", hot=False))
    return found


def _fsq(vq: Config) -> tuple[str, ...]:
    off = [f"vq.{key}=null" for key in OF_CODES if vq.get(key) is not None]
    if (vq.get("refresh") or {}).get("enabled"):
        off.append("vq.refresh.enabled=false")
    return ("vq.kind=fsq", "vq.levels=[8,5,5]", *off)


def _of_losses(config: Config) -> list[Candidate]:
    """Returns a change for every loss that is on, one for all of them, and a wide temperature."""
    found, all_off = [], []
    for name, keys in LOSSES.items():
        off = [f"{key}=0" for key in keys if value_of(config, key)]
        if off:
            found.append(Candidate(tuple(off), f"the loss {name} is on"))
            all_off += off
    if len(found) > 1:
        found.append(Candidate(tuple(all_off), "several auxiliary losses are on"))
    low, high = (value_of(config, f"loss.temperature.{key}") for key in ("min", "max"))
    if value_of(config, "loss.form") == "info_nce" and (low > WIDE[0] or high < WIDE[1]):
        wide = f"loss.temperature.min={WIDE[0]} loss.temperature.max={WIDE[1]}"
        found.append(_change(wide, f"the temperature lies between {low} and {high}"))
    return found


def _of_target(config: Config) -> list[Candidate]:
    name = value_of(config, "target.name")
    if name != "ema":
        return [_change("target=ema", f"the target is {name}")]
    found = []
    own = " target.tau=null" if value_of(config, "target.tau") is not None else ""
    if (value_of(config, "target.tau") or 1.0) < 0.9:
        found.append(_change("target.tau=0.99", "the average forgets within ten steps"))
    return [*found, _change(f"target=shared{own}", "the target is an average")]


def _of_precision(config: Config) -> list[Candidate]:
    name = value_of(config, "precision.name")
    return [] if name in (None, "fp32") else [_change("precision=fp32", f"the precision is {name}")]


def _of_problem(config: Config) -> list[Candidate]:
    """Returns the change to a target that the context determines, with what it requires."""
    better = [f"{key}={good}" for key, bad, good in WELL_POSED if value_of(config, key) == bad]
    if not better:
        return []
    if "dataset.problem=demos" in better:
        if value_of(config, "model.roles") is False:
            better.append("model.roles=true")
        pairs = value_of(config, "dataset.synthetic.pairs")
        if isinstance(pairs, list) and sum(pairs[:1]) < 2:
            better.append("dataset.synthetic.pairs=[3,1]")
    return [Candidate(tuple(better), "the context does not determine the target", hot=False)]


def _of_context(config: Config) -> list[Candidate]:
    kind = value_of(config, "model.context")
    if value_of(config, "dataset.problem") == "copies":  # any aggregation gives the same vector
        return []
    return [
        _change(f"model.context={other}", f"contexts are aggregated by {kind}")
        for other in ("mean", "attention", "learned", "gru", "last")
        if other != kind
    ]


def _change(overrides: str, why: str) -> Candidate:
    return Candidate(tuple(overrides.split()), why)
