"""Likely causes of a failed ARC run and changes to try, derived from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.config.statuses import COLLAPSES
from jepa_lab.config.tree import value_of
from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import Remedies, causes_of_steps

Config = Mapping[str, Any]
SIGREG = "loss.sigreg.weight=0.1 loss.sigreg.form=reference"
LONGER = ("optim.lr*3", "dataset.epochs*3")


class ArcRemedies(Remedies):
    """Causes and changes for the statuses of an ARC run."""

    no_skill = "chance"
    evaluates = False

    def changes(self, finding: Finding, config: Config) -> tuple[str, ...]:
        status = finding.status
        if status == "codebook_collapse":
            own = tuple(change for _, change in codebook_defects(config))
            return (
                *own,
                "vq.enabled=false",
                "vq=fsq",
                *(("vq.size*0.5",) if value_of(config, "vq.size") else ()),
            )
        if status in COLLAPSES:
            codebook = ("vq.enabled=false",) if value_of(config, "vq.enabled") else ()
            averaged = () if value_of(config, "target.name") == "ema" else ("target=ema",)
            return (
                *averaged,
                *(change for _, change in problem_defects(config)),
                *codebook,
                SIGREG,
                "optim.lr*0.3",
            )
        if status == "no_learning":
            return (*(change for _, change in problem_defects(config)), *LONGER)
        if status == "low_rank":
            return (SIGREG,)
        if status == "ignores_actions":
            return ("model.roles=true", "model.context=attention", "dataset.epochs*3")
        if status == "copy_shortcut":
            return ("model.predictor=mlp", "dataset.epochs*3")
        if status == "regulariser_dominated":
            return (weight_of(finding.quantity, config), "optim.lr*0.3")
        return finding.next

    def causes(self, statuses: set[str], config: Config) -> list[str]:
        found = (
            [cause for cause, _ in codebook_defects(config)]
            if "codebook_collapse" in statuses
            else []
        )
        if statuses & {*COLLAPSES, "no_learning"}:
            found += [cause for cause, _ in problem_defects(config)]
        held = value_of(config, "loss.form") == "info_nce" or value_of(config, "loss.sigreg.weight")
        if statuses & set(COLLAPSES) and value_of(config, "target.name") == "shared" and not held:
            found.append(
                "target=shared lets the targets become easy to predict: neither negatives nor"
                " SIGReg oppose it"
            )
        return found + causes_of_steps(statuses, config)

    def copied(self, config: Config) -> str:
        return (
            "the last frame"
            if value_of(config, "dataset.problem") == "frames"
            else "the query's own input"
        )


def codebook_defects(config: Config) -> list[tuple[str, str]]:
    """Returns (cause, change) for every codebook setting that is known to cause dead codes."""
    vq = value_of(config, "vq") or {}
    refresh = vq.get("refresh") or {}
    if not vq.get("enabled") or vq.get("kind") != "hard":
        return []
    held = vq.get("in_objective") is not False
    known = (
        (
            vq.get("init") == "empty",
            (
                "vq.init=empty: counts begin at 0, so the first update throws codes far from the"
                " tokens"
            ),
            "vq.init=kmeans",
        ),
        (
            not held,
            (
                "vq.in_objective=false: the commitment loss is not minimised, nothing draws tokens"
                " to codes"
            ),
            "vq.in_objective=true vq.weight_on=commitment",
        ),
        (
            held and vq.get("weight_on") == "codebook" and vq.get("ema_decay") is not None,
            (
                "vq.weight_on=codebook: vq.commitment weighs a term that an averaged codebook does"
                " not have"
            ),
            "vq.weight_on=commitment",
        ),
        (
            refresh.get("enabled") and refresh.get("rule") == "legacy_share",
            (
                "vq.refresh.rule=legacy_share: a code is dead below a share of all use, so live"
                " codes are overwritten"
            ),
            "vq.refresh.rule=relative vq.refresh.cap=0.1",
        ),
        (
            vq.get("update") == "forward",
            (
                "vq.update=forward: the codebook moves at every forward pass, by transformed"
                " tokens too"
            ),
            "vq.update=step vq.count_padding=false",
        ),
        (
            refresh.get("enabled") is False,
            "vq.refresh.enabled=false: dead codes stay dead",
            "vq.refresh.enabled=true",
        ),
        (
            vq.get("share") is False and value_of(config, "target.name") == "ema",
            (
                "vq.share=false: the target has a codebook of its own, which drifts from the"
                " online one"
            ),
            "vq.share=true",
        ),
    )
    return [(cause, change) for holds, cause, change in known if holds]


def problem_defects(config: Config) -> list[tuple[str, str]]:
    """Returns (cause, change) for settings that make the target unpredictable, restrict the
    projection or narrow the range of the temperature."""
    low, high = (value_of(config, f"loss.temperature.{key}") for key in ("min", "max"))
    numbers = isinstance(low, int | float) and isinstance(high, int | float)
    demos = "dataset.problem=demos model.roles=true"
    if value_of(config, "dataset.synthetic.pairs") == [1, 0]:
        demos += " dataset.synthetic.pairs=[3,1]"
    known = (
        (
            value_of(config, "dataset.problem") == "copies",
            (
                "dataset.problem=copies: the context does not show the rule, so the target cannot"
                " be predicted"
            ),
            demos,
        ),
        (
            value_of(config, "model.predictor") == "none",
            "model.predictor=none: context and target must have the same vector",
            "model.predictor=mlp",
        ),
        (
            value_of(config, "model.projection_form") == "relu_end",
            (
                "model.projection_form=relu_end: the vectors that are compared have no negative"
                " entries"
            ),
            "model.projection_form=linear_end",
        ),
        (
            value_of(config, "loss.form") == "info_nce" and numbers and low >= 0.07 and high <= 0.2,
            f"loss.temperature lies between {low} and {high}: a narrow range",
            "loss.temperature.min=0.03 loss.temperature.max=0.3",
        ),
    )
    return [(cause, change) for holds, cause, change in known if holds]


def weight_of(quantity: str, config: Config) -> str:
    """Returns a change that divides the weight of a term by ten. `quantity` is the key of the
    term's gradient. For a term without a weight the learning rate is reduced instead."""
    name = quantity.rsplit("/", 1)[-1]
    keys = {
        "sigreg": "loss.sigreg.weight",
        "relational": "loss.relational.weight",
        "vq": "vq.commitment",
        "relational_self": "loss.relational.self_weight",
    }
    key = keys.get(name, f"loss.invariance.{name.removeprefix('invariance_')}")
    own = f"aux.{name.removeprefix('aux_')}.weight"
    return next((f"{key}*0.1" for key in (key, own) if value_of(config, key)), "optim.lr*0.3")
