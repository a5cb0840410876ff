"""What seq-JEPA minimises: the prediction loss and its weighted companions, every term by its name."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from jepa_lab.losses import LossTerms, RateLoss, cosine_prediction
from jepa_lab.networks.seq_jepa import Representations


class Objective(nn.Module):
    """total = prediction * (1 - cos(z_hat, z_target)) + lambda_rate * (-R) + supervised * cross-entropy.

    The cross-entropy reads z_agg through a linear classifier; it exists for the supervised ceiling only. z_target
    arrives with or without gradient: that is the target branch's decision. A term of weight 0 is not computed.
    """

    def __init__(
        self,
        rate: RateLoss | None,
        *,
        lambda_rate: float = 0.0,
        prediction: float = 1.0,
        supervised: float = 0.0,
        classifier: nn.Linear | None = None,
    ) -> None:
        super().__init__()
        self.rate = rate
        self.lambda_rate = lambda_rate
        self.prediction = prediction
        self.supervised = supervised
        self.classifier = classifier

    def forward(self, reps: Representations, labels: Tensor | None) -> LossTerms:
        """Scalars; `terms` are unweighted."""
        terms = {"prediction": cosine_prediction(reps.z_hat, reps.z_target)}
        total = self.prediction * terms["prediction"]
        if self.rate is not None and self.lambda_rate > 0:
            terms["rate"] = self.rate(reps.z_agg, reps.z)
            total = total + self.lambda_rate * terms["rate"]
        if self.classifier is not None and labels is not None:
            terms["supervised"] = F.cross_entropy(self.classifier(reps.z_agg), labels)
            total = total + self.supervised * terms["supervised"]
        return LossTerms(total, terms)
