"""Advice in plain words, for runs whose configuration is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jepa_lab.diagnosis.finding import Finding
from jepa_lab.diagnosis.remedies import Remedies

STOP = (
    "stop the gradient through the target branch, or let a moving average of the encoder make the"
    " targets"
)
APART = "add a term that keeps features apart: variance, coding rate, or negatives"
SLOWER = "lower the learning rate to a third"
CALMER = ("clip the norm of the gradient at 1", SLOWER, "warm the learning rate up")
LONGER = "train three times as many steps"
ADVICE = {
    "complete_collapse": (STOP, "put the predictor on one branch only", APART, SLOWER),
    "dimensional_collapse": (
        "add a term against correlated dimensions: covariance, coding rate, or whitening",
        STOP,
        "vary the augmentations more",
        SLOWER,
    ),
    "uniform_output": ("lower the temperature of the targets", "centre the targets", SLOWER),
    "codebook_collapse": (
        "restart unused codes from outputs of the encoder",
        "initialise the codebook from data",
        "lower the weight of the commitment",
    ),
    "regulariser_dominated": ("lower the weight of the regulariser to a tenth",),
    "no_learning": (
        "check that the two views of a pair show the same image",
        "raise the learning rate threefold",
        LONGER,
    ),
    "copy_shortcut": ("choose targets that differ more from the inputs",),
    "ignores_actions": (LONGER, "give the predictor the action in every layer"),
    "unstable": CALMER,
    "diverged": (*CALMER, "use bfloat16 or float32 in place of float16"),
    "low_rank": ("compare with a linear probe before changing anything",),
    "too_short": (LONGER,),
    "inconclusive": ("measure more rows, or more often, until the verdict is certain",),
}


class PlainRemedies(Remedies):
    """Advice on code whose settings are unknown. The changes are sentences, and no cause is named
    by a key."""

    def changes(self, finding: Finding, config: Mapping[str, Any]) -> tuple[str, ...]:
        return ADVICE.get(finding.status, ())

    def causes(self, statuses: set[str], config: Mapping[str, Any]) -> list[str]:
        return []
