"""seq-JEPA in the benchmark: the network, the objective and the monitor of our study, trained by
the benchmark's own loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from collapse_bench.methods import Method, Terms, scaled
from jepa_lab.data.views.affine import Affine
from jepa_lab.losses import RateLoss
from jepa_lab.networks.aggregator import TransformerAggregator
from jepa_lab.networks.ema import ema_update, make_ema_copy
from jepa_lab.networks.heads import ActionProjection, mlp_predictor
from jepa_lab.studies.seq_jepa.monitor import measure
from jepa_lab.studies.seq_jepa.network import Representations, SeqJEPANetwork
from jepa_lab.studies.seq_jepa.objective import Objective, row_distance

N_VIEWS, ACTION_DIM = 3, 16


class SeqJEPA(Method):
    """Two observed views, turned by up to 90 degrees, and the action towards the third predict its
    encoding. `target` is ema, stopgrad or shared, `rate` the weight of the coding rate."""

    def __init__(
        self,
        encoder: nn.Module,
        norm: str = "",
        shape: tuple[int, int] = (1, 8),
        target: str = "ema",
        rate: float = 0.0,
        tau: float = 0.95,
        conditioned: bool = True,
    ) -> None:
        super().__init__(encoder, norm)
        self.target, self.tau = target, tau
        channels = shape[0]
        self.group = Affine(
            mode="rot_only",
            rotation=(-90.0, 90.0),
            n_views=N_VIEWS,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            first_view="random",
        )
        width = self.dim + ACTION_DIM
        self.network = SeqJEPANetwork(
            encoder,
            TransformerAggregator(width, depth=1, heads=4, ffn_ratio=2, dropout=0.0),
            mlp_predictor(width + ACTION_DIM, self.dim, 128),
            ActionProjection(self.group.action_dim, ACTION_DIM),
            conditioned=conditioned,
        )
        self.objective = Objective(RateLoss() if rate else None, lambda_rate=rate)
        self.teacher = make_ema_copy(encoder, own_running=True) if target == "ema" else None

    def sequences(self, images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Returns views (n, 3, c, h, w) of images in [0, 1] and their actions (n, 2, A)."""
        pixels = (255 * images).round().to(torch.uint8)
        index = torch.arange(len(images))
        seed = int(torch.randint(2**31, (1,), generator=random))
        batch = self.group(pixels, None, index, seed=seed, split="train", epoch=0)
        return batch.views, batch.actions

    def represent(self, views: Tensor, actions: Tensor) -> Representations:
        """Returns the features of views (n, 3, c, h, w) with actions (n, 2, A)."""
        z = self.encode(views[:, :-1].flatten(0, 1)).unflatten(0, (len(views), N_VIEWS - 1))
        z_agg, z_hat = self.network.predict(z, actions)
        if self.teacher is None:
            z_target = self.encode(views[:, -1])
            z_target = z_target if self.target == "shared" else z_target.detach()
        else:
            with torch.no_grad():
                z_target = self.teacher(scaled(views[:, -1]))
        return Representations(z, z_agg, z_hat, z_target)

    def loss_of(self, views: Tensor, actions: Tensor) -> Terms:
        """Returns the loss of sequences, with its terms."""
        found = self.objective(self.represent(views, actions), None)
        return {"total": found.total, **found.terms}

    def after_step(self) -> None:
        if self.teacher is not None:
            ema_update(self.teacher, self.encoder, self.tau, "own_running")

    def monitored(
        self, views: Tensor, actions: Tensor, n_classes: int, prefix: str
    ) -> dict[str, float]:
        """Returns the metrics that the study's monitor logs, with `prefix`."""
        reps = self.represent(views, actions)
        other = self.network.predict(reps.z, actions.roll(1, 0))[1]
        again = self.network.aggregate(reps.z.flip(1), self.group.inverse(actions).flip(1))
        rows = {name: getattr(reps, name) for name in ("z", "z_agg", "z_hat", "z_target")}
        rows |= {
            "loss": row_distance(reps.z_hat, reps.z_target),
            "loss_shuffled": row_distance(other, reps.z_target),
            "loss_copy": row_distance(reps.z[:, -1], reps.z_target),
            "actions": actions,
            "z_agg_pair": torch.stack([reps.z_agg, again], dim=1),
        }
        if prefix == "reference":
            rows["input"] = views[:, -1].flatten(1)
        return measure(rows, prefix, n_classes)
